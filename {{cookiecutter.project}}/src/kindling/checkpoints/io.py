"""How checkpoints reach the disk and come back: whole or not at all, as plain data, with the parts that are wanted."""

import os
import pickle
from collections.abc import Iterator
from copy import deepcopy
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ..errors import UsageError, did_you_mean, short

# What every checkpoint says about itself; include and exclude choose among the rest.
ALWAYS = ("pytorch-lightning_version", "epoch", "global_step", "hyper_parameters", "hparams_name", "left_out")


class CheckpointIO(TorchCheckpointIO):
    """Save and load chosen parts of a run's state.

    A part is a path, such as `optimizer_states.0.param_groups.0.lr`; in a pattern `*` stands for any characters, dots
    included, and `a|b` for either. What is left out starts afresh from the configuration when a run is resumed.

    Args:
        save: `include`, patterns of what to save (null for everything), and `exclude`, patterns of what not to.
        load: The same for what a resumed run takes over.
    """

    def __init__(self, save: dict[str, Any] | None = None, load: dict[str, Any] | None = None) -> None:
        self.save = save or {}
        self.load = load or {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write to a temporary file and rename it when all of it is on the disk: a crash leaves the old file whole.

        Raises:
            UsageError: The disk is full, or the folder can't be written to.
        """
        checkpoint = choose(checkpoint, self.save, "checkpoint_io.save")
        path = Path(path)
        new = path.with_name(f".{path.name}.{os.getpid()}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except (OSError, RuntimeError) as error:
            kept = f"; {short(path)} of an earlier step is still good" if path.is_file() else ""
            cause: BaseException | None = error  # torch wraps what the disk said
            while cause and not getattr(cause, "strerror", None):
                cause = cause.__context__
            reason = getattr(cause, "strerror", None) or str(error).splitlines()[0]
            raise UsageError(f"{short(path)} could not be written ({reason}){kept}; make room, then resume") from error
        finally:
            new.unlink(missing_ok=True)

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True) -> Any:
        return read(path)

    def choose(self, checkpoint: dict[str, Any]) -> None:
        """Leave in `checkpoint`, which was loaded, what a resumed run takes over."""
        chosen = dict(choose(checkpoint, self.load, "checkpoint_io.load"))
        checkpoint.clear()
        checkpoint.update(chosen)


def read(path: str | Path, mmap: bool = False) -> dict[str, Any]:
    """Return the content of the checkpoint at `path`, on the CPU.

    Args:
        path: A file.
        mmap: Read tensors when they are used, without checking that the file is not damaged.

    Raises:
        UsageError: The file is no whole checkpoint, or holds anything but plain data.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UsageError(f"checkpoint={path}: not a checkpoint that can be opened ({type(error).__name__})") from None
    if not isinstance(checkpoint, dict) or not {"hyper_parameters", "state_dict"} <= checkpoint.keys():
        raise UsageError(f"checkpoint={path}: not a checkpoint that train.py wrote: it holds weights alone")
    return checkpoint


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

    chosen = _prune(checkpoint, wanted, "")
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
    return [name for name, value in loaded.items() if name not in own or own[name].shape != value.shape]


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


def _prune(node: Any, wanted: Any, prefix: str) -> Any:
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
