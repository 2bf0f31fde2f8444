"""A checkpoint is self-contained: the weights, and the config that rebuilds the task and its data."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.utils import get_object, instantiate
from pytorch_lightning import LightningModule

from ..data.module import DataModule
from ..errors import UsageError, did_you_mean, short
from ..project import trusted
from .io import choose, misfits, read

log = logging.getLogger(__name__)

# A checkpoint is data: what its config names is built, but from these packages alone.
TRUSTED = [
    "kindling",
    "torch.nn",
    "torch.optim",
    "torchmetrics",
    "transformers",
]


def find_checkpoint(name: str, runs: str | Path, option: str = "checkpoint") -> Path:
    """Return the file that `name` means: a file, a run's folder, or "best" or "last" of the newest run in `runs`.

    Raises:
        UsageError: There is no such checkpoint.
    """
    path, runs = Path(name), Path(runs)
    if name in ("best", "last"):
        found = sorted(runs.rglob(f"checkpoints/{name}.ckpt"), key=lambda file: file.stat().st_mtime)
        if not found:
            raise UsageError(f"{option}={name}: no run in {runs} has one; train a model first")
        return found[-1]
    if path.is_dir():
        path = path / "checkpoints" / ("last.ckpt" if option == "inspect" else "best.ckpt")
    if not path.is_file():
        nearby = [str(other) for other in path.parent.glob("*.ckpt")]
        raise UsageError(
            f"{option}={name}: no such checkpoint{did_you_mean(str(path), nearby)}; "
            "a .ckpt file, a run's folder, best or last is expected"
        )
    return path


def load_task(path: str | Path) -> LightningModule:
    """Rebuild the task that wrote the checkpoint at `path`, on the CPU, in evaluation mode.

    Raises:
        UsageError: The file is no checkpoint, or its config names what is not trusted.
    """
    checkpoint = read(path, mmap=True)
    task: LightningModule = _build(checkpoint["hyper_parameters"]["task"], path)
    task.load_state_dict(checkpoint["state_dict"])
    task.save_hyperparameters(checkpoint["hyper_parameters"])
    return task.eval()


def load_data(path: str | Path, root: str | Path = ".") -> DataModule:
    """Rebuild the data that the checkpoint at `path` was trained on, with its tokenizer and classes.

    Args:
        path: The checkpoint.
        root: The project's folder: a dataset inside it is found again when the project has moved.

    Raises:
        UsageError: The file is no checkpoint, or its config names what is not trusted.
    """
    checkpoint = read(path, mmap=True)
    config = checkpoint["hyper_parameters"]["data"]
    data: DataModule = _build(config | {"dir": str(Path(root, config["dir"]))}, path)
    data.load_state_dict(checkpoint[type(data).__qualname__])
    return data


def load_weights(task: LightningModule, data: DataModule, path: Path, exclude: list[str]) -> None:
    """Give `task` the weights of the checkpoint at `path`, and `data` what its inputs were made with.

    Args:
        task: The task, whose model may differ in what is left out.
        data: Its data, which take over the tokenizer and not the classes.
        path: The checkpoint.
        exclude: Patterns of what keeps its fresh weights, such as `state_dict.model.head.*`; see `CheckpointIO`.

    Raises:
        UsageError: The weights do not fit the model, or a pattern matches nothing.
    """
    checkpoint = read(path)
    kept = choose(checkpoint, {"include": ["state_dict"], "exclude": exclude}, "checkpoint_io.load")["state_dict"]
    own = task.state_dict()
    others = misfits(kept, own)
    others += [name for name in own if name not in checkpoint["state_dict"]]
    if others:
        raise UsageError(
            f"init={path}: {others[0]} does not fit this model; use checkpoint_io=fine_tune for a fresh head, "
            f"or checkpoint_io.load.exclude=[state_dict.{others[0]}]"
        )
    task.load_state_dict(own | kept)
    data.inherit(checkpoint[checkpoint["hyper_parameters"]["data"]["_target_"].rpartition(".")[2]])
    log.info("Weights of %s, step %d", short(path), checkpoint["global_step"])


def _build(config: dict[str, Any], path: str | Path) -> Any:
    for target in _targets(config):
        module = getattr(get_object(target), "__module__", "") if _trusted(target) else ""
        if not _trusted(module):
            raise UsageError(
                f"checkpoint={path}: it wants to run {target}, which is not trusted; "
                "if you know who made it, add the package to TRUSTED in checkpoint.py"
            )
    return instantiate(config)


def _trusted(name: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in [*TRUSTED, *trusted()])


def _targets(config: Any) -> Iterator[str]:
    if isinstance(config, dict):
        if "_target_" in config:
            yield str(config["_target_"])
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _targets(value)
