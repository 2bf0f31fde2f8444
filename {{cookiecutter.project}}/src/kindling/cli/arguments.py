"""What an editor is told about the arguments of a class: a JSON schema from its signature and its docstring."""

import functools
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from .signatures import find, is_union, parameters, takes_more

Schema = dict[str, Any]

NODE = {"$ref": "#/definitions/node"}  # what names a class of its own
TEXT = {"type": "string"}
OPEN = {"type": "string", "pattern": r"^\?\?\?$|\$\{"}  # what is known later: an interpolation, or a missing value
PLAIN: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    None: {"type": "null"},
    type(None): {"type": "null"},
}
KEYWORDS: dict[str, Schema] = {
    "_target_": {"type": "string", "description": "The class or function that is called with the keys beside it."},
    "_partial_": {"type": "boolean", "description": "Whether it is only bound to them, and called later with more."},
    "_convert_": {"enum": ["none", "partial", "object", "all"], "description": "all: plain lists and dictionaries."},
    "_recursive_": {"type": "boolean", "description": "Whether classes that its arguments name are built first."},
    "_args_": {"type": "array", "description": "Arguments without a name."},
}
SECTION = re.compile(r"(Args|Arguments|Parameters|Keyword Args):\s*")
ENTRY = re.compile(r"\*{0,2}(\w+)(?:\s*\([^:]*\))?\s*:(?:\s+(.*))?")


def target_schema(target: str, more: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of a part of a config that names this class or function.

    Args:
        target: Its name.
        more: Keys that the part has beside its arguments.
    """
    arguments = argument_schemas(target)
    schema: Schema = {"properties": KEYWORDS | arguments | dict(more or {})}
    if summary := _summary(find(target)):
        schema["description"] = summary
    if arguments and not takes_more(target):
        schema["additionalProperties"] = False
    return schema


@functools.cache
def argument_schemas(target: str) -> dict[str, Schema]:
    """Return the schema of each argument, with what the docstring says of it."""
    said = _described(find(target))
    return {name: _argument(parameter, said.get(name)) for name, parameter in parameters(target).items()}


def lenient(schema: Schema) -> Schema:
    """Return a schema that takes what is known later, too: an interpolation, or ??? for a value to be given."""
    if not schema or schema == TEXT:
        return schema
    return {"anyOf": [*schema.get("anyOf", [schema]), OPEN]}


def _argument(parameter: inspect.Parameter, said: str | None) -> Schema:
    schema = lenient(_of_type(parameter.annotation))
    default = parameter.default
    if default is None and "anyOf" in schema:
        schema["anyOf"] = [part for part in schema["anyOf"] if part != PLAIN[None]] + [PLAIN[None]]
    if isinstance(default, str | int | float | None):
        schema = schema | {"default": default}
    return schema | {"description": said} if said else dict(schema)


def _of_type(annotation: Any) -> Schema:
    """Return the schema of the values that `signatures.accepts` takes for an argument of this type."""
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if is_union(annotation):
        parts = [_of_type(part) for part in arguments]
        flat = [inner for part in parts for inner in part.get("anyOf", [part])]
        return {"anyOf": [part for place, part in enumerate(flat) if part not in flat[:place]]} if all(parts) else {}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is typing.Annotated:
        return _of_type(arguments[0])
    kind = origin or annotation
    if kind in PLAIN:
        return dict(PLAIN[kind])
    if (
        not isinstance(kind, type)
        or kind in (Any, object, inspect.Parameter.empty)  # Any is a class from Python 3.11 on
        or getattr(kind, "_is_protocol", False)
    ):
        return {}
    return _of_class(kind, arguments)


def _of_class(kind: type, arguments: tuple[Any, ...]) -> Schema:
    if issubclass(kind, str | PurePath | Enum):
        return dict(TEXT)
    if kind in (tuple, set, frozenset) or issubclass(list, kind):
        items = {} if kind is tuple and arguments[1:] != (...,) else _of_type(arguments[0]) if arguments else {}
        return {"anyOf": [{"type": "array"} | ({"items": lenient(items)} if items else {}), NODE]}
    if issubclass(dict, kind):
        values = _of_type(arguments[1]) if len(arguments) == 2 else {}
        return {"type": "object"} | ({"additionalProperties": lenient(values)} if values else {})
    return dict(NODE)


def _documented(found: Any) -> Iterator[str]:
    """Yield the docstrings that describe arguments: of a function and what it returns, of a class and its bases."""
    if not isinstance(found, type):
        yield inspect.getdoc(found) or ""
        found = getattr(found, "__annotations__", {}).get("return")
    for base in found.__mro__[:-1] if isinstance(found, type) else ():
        yield inspect.cleandoc(vars(base).get("__doc__") or "")
        yield inspect.cleandoc(getattr(vars(base).get("__init__"), "__doc__", None) or "")


def _described(found: Any) -> dict[str, str]:
    """Return what the docstrings say of each argument; those of a class win over those of its bases."""
    said: dict[str, str] = {}
    for text in _documented(found) if found is not None else ():
        said = _entries(text) | said
    return said


def _entries(docstring: str) -> dict[str, str]:
    """Return the entries below `Args:`, each as one paragraph."""
    found: dict[str, list[str]] = {}
    inside, depth, name = False, -1, ""
    for line in docstring.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent == 0:
            inside, depth = bool(SECTION.fullmatch(line)), -1
        elif inside and line.strip():
            depth = indent if depth < 0 else depth
            if indent == depth and (match := ENTRY.fullmatch(line.strip())):
                name = match[1]
                found[name] = [match[2]] if match[2] else []
            elif name:
                found[name].append(line.strip())
    return {name: " ".join(lines) for name, lines in found.items() if lines}


def _summary(found: Any) -> str:
    """Return the first paragraph of the docstring."""
    text = inspect.getdoc(found) if callable(found) else None
    return " ".join((text or "").split("\n\n")[0].split())
