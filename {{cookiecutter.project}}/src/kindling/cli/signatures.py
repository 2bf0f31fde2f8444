"""What a class or function of the config takes: the arguments that its YAML does not list, and of which types."""

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import PurePath
from typing import Any

from hydra._internal.utils import _locate

from ..startup import import_torchmetrics

Parameters = dict[str, inspect.Parameter]

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def parameters(target: str) -> Parameters:
    """Return what can be given by name to the class or function of this name, by its signature.

    A class hands further options (`**kwargs`) on to its base, a function to the class that it returns. Nothing is
    returned for what can't be imported, which is said elsewhere, or has no signature.
    """
    found: Parameters = {}
    for function in functions(target):
        signature = _signature(function)
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        found = {p.name: p for p in signature.parameters.values() if p.kind in named and p.name != "self"} | found
    return found


def takes_more(target: str) -> bool:
    """Whether a class or function takes options that no signature names, or is not known."""
    return all(_hands_on(function) for function in functions(target))


def functions(target: str) -> list[Callable[..., Any]]:
    """Return the functions that see the options for this name, each what the one before does not name itself."""
    found: list[Callable[..., Any]] = []
    for function in _chain(find(target)):
        found.append(function)
        if not _hands_on(function):
            break
    return found


def find(target: str) -> Any:
    """Return the class or function of this name; None if it can't be imported."""
    import_torchmetrics()  # before Lightning does, as where a job begins
    try:
        return _locate(target)
    except ImportError:
        return None


def accepts(parameter: inspect.Parameter, value: Any) -> bool:
    """Whether a value is of the type that an argument is annotated with, as far as that is plain."""
    if value is parameter.default or "${" in str(value):
        return True
    return _fits(parameter.annotation, value)


def described(parameter: inspect.Parameter) -> str:
    """Return the type of an argument in a few words."""
    annotation = parameter.annotation
    parts = typing.get_args(annotation) if is_union(annotation) else (annotation,)
    names = dict.fromkeys(WORDS[part] for part in parts if part in WORDS)
    if WORDS[float] in names:
        names.pop(WORDS[int], None)
    return " or ".join(names or map(_name, parts))


def _chain(target: Any) -> Iterator[Callable[..., Any]]:
    """Yield the functions that see the options, each for what the one before does not name itself."""
    if not isinstance(target, type) and callable(target):
        yield target
        target = _signature(target).return_annotation
    if isinstance(target, type):
        yield from (vars(base)["__init__"] for base in target.__mro__[:-1] if "__init__" in vars(base))


def _hands_on(function: Callable[..., Any]) -> bool:
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in _signature(function).parameters.values())


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:  # a name that is imported for type checkers alone
        return inspect.signature(function)
    except (TypeError, ValueError):  # of C, without a signature
        return inspect.Signature()


def _fits(annotation: Any, value: Any) -> bool:
    if is_union(annotation):
        return any(_fits(part, value) for part in typing.get_args(annotation))
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return value in typing.get_args(annotation)
    if origin is typing.Annotated:
        return _fits(typing.get_args(annotation)[0], value)
    kind = origin or annotation
    if kind is None or kind is type(None):
        return value is None
    if (
        not isinstance(kind, type)
        or kind in (Any, object, inspect.Parameter.empty)
        or getattr(kind, "_is_protocol", False)
    ):
        return True  # Any, a type variable, a name that could not be resolved
    return _is_a(kind, value)


def _is_a(kind: type, value: Any) -> bool:
    if isinstance(value, dict) and "_target_" in value:
        return True
    if isinstance(value, str):
        return issubclass(kind, str | PurePath | Enum)
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, int | float):
        return kind is float or (kind is int and isinstance(value, int))
    if isinstance(value, list):
        return kind in (tuple, set, frozenset) or issubclass(list, kind)
    return isinstance(value, kind)


def is_union(annotation: Any) -> bool:
    """Whether a type is one of several."""
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _name(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(map(str, typing.get_args(annotation)))
    return f"a {getattr(annotation, '__name__', annotation)}"
