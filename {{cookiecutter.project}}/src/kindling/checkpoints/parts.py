"""Which parts of a checkpoint are written, taken over or left out."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any

from ..errors import UsageError, did_you_mean

# What every checkpoint says about itself; include and exclude choose among the rest.
ALWAYS = (
    *("pytorch-lightning_version", "epoch", "global_step", "config", "left_out"),
    *("hyper_parameters", "hparams_name", "hparams_type"),
    *("datamodule_hyper_parameters", "datamodule_hparams_name", "datamodule_hparams_type"),
)

# What a checkpoint may do without. The rest is little, and evaluate.py, predict.py, inspect= and init= ask for it.
OPTIONAL = (
    "state_dict",
    "callbacks",
    "loops",
    "optimizer_states",
    "lr_schedulers",
    "epoch_logs",
    "epoch_metrics",
    "current_model_state",
)


def choose(checkpoint: dict[str, Any], choice: dict[str, Any], option: str) -> dict[str, Any]:
    """Return the parts of `checkpoint` that match `include`, if it is given, and do not match `exclude`.

    Args:
        checkpoint: What Lightning wrote or read.
        choice: The patterns, under `include` and `exclude`.
        option: What the choice is called in messages.

    Raises:
        UsageError: A pattern matches nothing.
    """
    include, exclude = choice.get("include"), choice.get("exclude") or []
    if include is None and not exclude:
        return checkpoint
    paths = list(_paths(checkpoint))
    for kind, patterns in (("include", include or []), ("exclude", exclude)):
        for pattern in patterns:
            if not any(matches(path, [pattern]) for path in paths):
                guess = did_you_mean(pattern, {path.rpartition(".")[0] or path for path in paths} | set(checkpoint))
                raise UsageError(f"{option}.{kind}: nothing in the checkpoint is called {pattern}{guess}")

    def wanted(path: str) -> bool:
        if path.split(".")[0] in ALWAYS:
            return True
        return (include is None or matches(path, include)) and not matches(path, exclude)

    chosen: dict[str, Any] = _prune(checkpoint, wanted, "")
    return chosen | {"left_out": True}


def fill(loaded: Any, fresh: Any) -> Any:
    """Return `loaded` with a copy of what only `fresh`, a container of the same form, has."""
    if isinstance(loaded, dict) and isinstance(fresh, dict):
        missing = {name: deepcopy(value) for name, value in fresh.items() if name not in loaded}
        return {name: fill(value, fresh[name]) if name in fresh else value for name, value in loaded.items()} | missing
    if isinstance(loaded, list) and isinstance(fresh, list) and len(loaded) == len(fresh):
        return [fill(*pair) for pair in zip(loaded, fresh, strict=True)]
    return loaded


def misfits(loaded: dict[str, Any], own: dict[str, Any]) -> list[str]:
    """Return the names of the tensors in `loaded` that `own`, the weights of a task, does not have in this shape."""

    def shape(value: Any) -> Any:
        return getattr(value, "shape", None)

    return [name for name, value in loaded.items() if name not in own or shape(own[name]) != shape(value)]


def matches(path: str, patterns: list[str]) -> bool:
    """Whether the path, or one that it lies under, matches one of the patterns."""
    choices = [choice for pattern in patterns for choice in pattern.split("|")]
    return any(fnmatchcase(path, choice) or fnmatchcase(path, f"{choice}.*") for choice in choices)


def _paths(node: Any, prefix: str = "") -> Iterator[str]:
    items = _items(node)
    for name, child in items:
        yield from _paths(child, f"{prefix}{name}.")
    if not items and prefix:
        yield prefix[:-1]


def _items(node: Any) -> list[tuple[Any, Any]]:
    """Return the named parts of a container; a list of numbers is one part."""
    if isinstance(node, dict):
        return list(node.items())
    if isinstance(node, list) and any(isinstance(item, dict) for item in node):
        return list(enumerate(node))
    return []


def _prune(node: Any, wanted: Callable[[str], bool], prefix: str) -> Any:
    items = _items(node)
    if not items:
        return node
    kept = {}
    for name, child in items:
        path = f"{prefix}{name}"
        if _items(child):
            pruned = _prune(child, wanted, f"{path}.")
            if pruned or isinstance(node, list):
                kept[name] = pruned
        elif wanted(path):
            kept[name] = child
    return list(kept.values()) if isinstance(node, list) else kept
