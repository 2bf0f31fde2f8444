"""From a checkpoint to what it holds: the task with its weights, and its data with their state."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.utilities.model_helpers import is_overridden

from ..errors import UsageError, short
from .config import attach, read_config
from .io import read
from .parts import choose, misfits
from .trust import build

log = logging.getLogger(__name__)


def load_task(path: str | Path) -> LightningModule:
    """Rebuild the task that wrote the checkpoint at `path`, on the CPU, in evaluation mode.

    Raises:
        UsageError: The file is no checkpoint or damaged, or its config names what is not trusted.
    """
    checkpoint = read(path, mmap=True)
    task: Any = build(_part(checkpoint, "task", path), path)
    if not isinstance(task, LightningModule):
        raise UsageError(f"checkpoint={path}: its task is a {type(task).__name__}, and no LightningModule")
    if is_overridden("configure_model", task):
        task.configure_model()
    with _or_damaged(path):
        task.on_load_checkpoint(checkpoint)
    if task.strict_loading and (others := misfits(checkpoint["state_dict"], task.state_dict())):
        raise UsageError(
            f"checkpoint={path}: its {others[0]} does not fit {type(task).__name__} as it is now; "
            "use the code of that time"
        )
    with _or_damaged(path):
        task.load_state_dict(checkpoint["state_dict"], strict=task.strict_loading)
    attach(task, read_config(checkpoint))
    return task.eval()


def load_data(path: str | Path, root: str | Path = ".") -> LightningDataModule:
    """Rebuild the data that the checkpoint at `path` was trained on, with the state that it holds of them.

    Args:
        path: The checkpoint.
        root: The project's folder: a dataset inside it (`data.dir`) is found again when the project has moved.

    Raises:
        UsageError: The file is no checkpoint, or its config names what is not trusted.
    """
    checkpoint = read(path, mmap=True)
    config = _part(checkpoint, "data", path)
    if "dir" in config:
        config = config | {"dir": str(Path(root, config["dir"]))}
    data: Any = build(config, path)
    if not isinstance(data, LightningDataModule):
        raise UsageError(f"checkpoint={path}: its data are a {type(data).__name__}, and no LightningDataModule")
    state = checkpoint.get(type(data).__qualname__)
    if state is not None:
        with _or_damaged(path):
            data.load_state_dict(state)
    elif isinstance(config.get("pretrained"), str):  # its tokenizer would be fetched in place of the one that is gone
        raise UsageError(f"checkpoint={path}: the file is damaged: it does not hold what its data were made with")
    return data


def load_weights(task: LightningModule, data: LightningDataModule, path: Path, exclude: list[str]) -> None:
    """Give `task` the weights of the checkpoint at `path`, and `data` what its inputs were made with.

    Args:
        task: The task, whose model may differ in what is left out.
        data: Its data. If they have `inherit`, they take over the tokenizer, say, and not the classes.
        path: The checkpoint, of any Lightning trainer.
        exclude: Patterns of what keeps its fresh weights, such as `state_dict.model.head.*`; see `CheckpointIO`.

    Raises:
        UsageError: The weights do not fit the model, or a pattern matches nothing.
    """
    checkpoint = read(path, option="init")
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
    source = str((read_config(checkpoint).get("data") or {}).get("_target_")).rpartition(".")[2]
    if hasattr(data, "inherit") and source in checkpoint:
        with _or_damaged(path):
            data.inherit(checkpoint[source])
    log.info("Weights of %s, step %d", short(path), checkpoint["global_step"])


@contextmanager
def _or_damaged(path: str | Path) -> Iterator[None]:
    """Say in one line that a part of the checkpoint is not what its own class can load."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # the class's own, which is kept as the cause
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UsageError(
            f"checkpoint={path}: a part of it can't be loaded ({reason}); it is damaged, or of other code"
        ) from error


def _part(checkpoint: dict[str, Any], name: str, path: str | Path) -> dict[str, Any]:
    part: dict[str, Any] | None = read_config(checkpoint).get(name)
    if not part or "_target_" not in part:
        raise UsageError(
            f"checkpoint={path}: it does not say how its {name} was built, as train.py's do; "
            "the class's own load_from_checkpoint() opens it"
        )
    return part
