"""What a checkpoint has built: its configuration is data, checked as a whole before anything of it is built."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ..errors import UsageError
from .kinds import Untrusted, find

Found = dict[tuple[str, bool], Callable[..., Any]]  # by its name, and whether it is only bound to arguments

TARGET, ARGS, PARTIAL, CONVERT, RECURSIVE = "_target_", "_args_", "_partial_", "_convert_", "_recursive_"
CONVERSIONS = ("none", "partial", "object", "all")  # by the first, Hydra hands containers on as OmegaConf's own

# With these, libraries run code of the hub, or fetch what they build.
REMOTE = ("trust_remote_code", "auto_map", "custom_pipeline", "custom_pipelines", "code_revision", "use_kernels")
FETCHED = ("use_pretrained_backbone", "backbone_kwargs")  # of architectures in Transformers
WORD = re.compile(r"[\w.-]*")


def build(config: dict[str, Any], path: str | Path) -> Any:
    """Build what a part of the configuration in the checkpoint at `path` describes, as `hydra.utils.instantiate` does.

    Nothing in it is resolved: an interpolation is refused, as none is left where `train.py` has written.

    Raises:
        UsageError: It names something that may not be built or is no longer there, or that can't be built like this.
    """
    where = f"checkpoint={path}"
    check(config, where)
    for text in _texts(config):
        if "${" in text:
            raise UsageError(f"{where}: its config holds {text[:80]!r}, which is not trusted: train.py writes values")
    found = {}
    for node in _nodes(config):
        _check_keywords(node, where)
        target, bound = node[TARGET], node.get(PARTIAL) is True
        found[target, bound] = find(target, where, bound)
        if isinstance(node.get("pretrained"), str) and hasattr(found[target, bound], "rebuild"):
            raise UsageError(
                f"{where}: it wants to fetch {node['pretrained'][:80]!r}, which is not trusted; "
                "a checkpoint of a pretrained model holds its architecture"
            )
    return _build(config, found, where)


def untrusted(config: Any) -> list[str]:
    """Return the names in a configuration that `build` would refuse to build."""
    refused = []
    for node in _nodes(config):
        try:
            find(node[TARGET], "", node.get(PARTIAL) is True)
        except Untrusted:
            refused.append(str(node[TARGET]))
        except UsageError:  # of another mistake, which is told where it matters
            continue
    return list(dict.fromkeys(refused))


def check(config: Any, where: str) -> None:
    """Raise a UsageError if a part of a configuration would let a library run code of the hub, or fetch something."""
    for node in _dictionaries(config):
        of_transformers = "model_type" in node or str(node.get(TARGET)).startswith("transformers.")
        for name, value in node.items():
            name = str(name)
            refused = name in REMOTE and value not in (None, False)
            refused |= name.endswith(("_implementation", "_implementation_internal")) and not _are_words(value)
            refused |= of_transformers and name in FETCHED and bool(value)
            refused |= of_transformers and name == "backbone" and not _are_words(value)
            if refused:
                raise UsageError(f"{where}: it sets {name}={str(value)[:80]}, which is not trusted: it may fetch code")


def _are_words(value: Any) -> bool:
    return all(WORD.fullmatch(text) for text in _texts(value))


def _check_keywords(node: dict[Any, Any], where: str) -> None:
    expected = {ARGS: list, PARTIAL: bool, RECURSIVE: bool, CONVERT: str}
    wrong = [name for name, kind in expected.items() if name in node and not isinstance(node[name], kind)]
    if wrong or node.get(CONVERT, "none") not in CONVERSIONS or not all(isinstance(name, str) for name in node):
        raise UsageError(f"{where}: its config is damaged: {node[TARGET]} has arguments that no command gives it")


def _build(node: Any, found: Found, where: str, convert: str = "none") -> Any:
    if isinstance(node, list):
        return [_build(value, found, where, convert) for value in node]
    if not isinstance(node, dict):
        return node
    if TARGET not in node:
        return {name: _build(value, found, where, convert) for name, value in node.items()}
    convert, bound = node.get(CONVERT, convert), node.get(PARTIAL) is True
    arguments = {}
    for name, value in node.items():
        if name not in (TARGET, PARTIAL, CONVERT, RECURSIVE):
            built = _build(value, found, where, convert) if node.get(RECURSIVE, True) else value
            arguments[name] = _contain(built, convert)
    positional, factory = arguments.pop(ARGS, []), found[node[TARGET], bound]
    if bound:
        return partial(factory, *positional, **arguments)
    try:
        return factory(*positional, **arguments)
    except UsageError:
        raise
    except Exception as error:  # the class's own, which is kept as the cause
        reason = (str(error).strip().splitlines() or [""])[0][:300]
        raise UsageError(
            f"{where}: {node[TARGET]} can't be built with what was written down ({type(error).__name__}: {reason}); "
            "use the code of that time"
        ) from error


def _contain(value: Any, convert: str) -> Any:
    """Return an argument that is a container as Hydra hands it on."""
    if convert == "none" and isinstance(value, dict | list):
        return OmegaConf.create(value, flags={"allow_objects": True})
    return value


def _dictionaries(node: Any) -> Iterator[dict[Any, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from _dictionaries(value)


def _nodes(config: Any) -> Iterator[dict[Any, Any]]:
    return (node for node in _dictionaries(config) if TARGET in node)


def _texts(node: Any) -> Iterator[str]:
    """Yield each text in a container, those that are keys included."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from _texts(name)
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)
