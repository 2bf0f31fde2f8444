"""How checkpoints reach the disk and come back: whole or not at all, and as plain data."""

import os
import re
import struct
import zlib
from glob import escape
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ..errors import UsageError, short
from ..files import new_file
from .config import plain_hparams
from .form import checked
from .moved import upgrade
from .parts import OPTIONAL, choose


class CheckpointIO(TorchCheckpointIO):
    """Save and load chosen parts of a run's state.

    A part is a path, such as `optimizer_states.0.param_groups.0.lr`; in a pattern `*` stands for any characters, dots
    included, and `a|b` for either. What is left out starts afresh from the configuration when a run is resumed.

    Args:
        save: `include`, patterns of what to save (null for everything) besides what each reader needs, or `exclude`,
            patterns of what not to.
        load: The same for what a resumed run takes over.
    """

    def __init__(self, save: dict[str, Any] | None = None, load: dict[str, Any] | None = None) -> None:
        self.save = dict(save or {})
        self.load = dict(load or {})
        for name, choice in (("save", self.save), ("load", self.load)):
            if choice.get("include") is not None and choice.get("exclude"):
                raise UsageError(
                    f"checkpoint_io.{name}: include says all that is wanted; leave exclude out, or include"
                )

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write to a temporary file and rename it when all of it is on the disk: a crash leaves the old file whole.

        Raises:
            UsageError: The disk is full, or the folder can't be written to.
        """
        choice = self.save
        if choice.get("include") is not None:  # a checkpoint that nothing reads is no use
            needed = [escape(name) for name in checkpoint if name not in OPTIONAL]
            choice = choice | {"include": [*choice["include"], *needed]}
        checkpoint = choose(plain_hparams(checkpoint), choice, "checkpoint_io.save")
        path = Path(path)
        try:
            with new_file(path) as new, new.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:
            kept = f"; {short(path)} of an earlier step is still good" if path.is_file() else ""
            cause: BaseException | None = error  # torch wraps what the disk said
            while cause and not getattr(cause, "strerror", None):
                cause = cause.__context__
            reason = getattr(cause, "strerror", None) or str(error).splitlines()[0]
            raise UsageError(f"{short(path)} could not be written ({reason}){kept}; make room, then resume") from error

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True) -> Any:
        return read(path)

    def choose(self, checkpoint: dict[str, Any]) -> None:
        """Leave in `checkpoint`, which was loaded, what a resumed run takes over."""
        chosen = dict(choose(checkpoint, self.load, "checkpoint_io.load"))
        checkpoint.clear()
        checkpoint.update(chosen)


def read(path: str | Path, mmap: bool = False, option: str = "checkpoint", whole: bool = True) -> dict[str, Any]:
    """Return the content of the checkpoint at `path`, on the CPU and under today's names.

    Args:
        path: A file.
        mmap: Read tensors when they are used.
        option: Which option named the file, for messages.
        whole: Whether every byte is checked first; it takes 0.05 s for 17 MB.

    Raises:
        UsageError: The file is damaged, or no checkpoint, or holds anything but plain data.
    """
    name = f"{option}={path}"
    if not Path(path).is_file():
        raise UsageError(f"{name}: there is no such file")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # what a damaged file makes of torch's reader: of many kinds
        found = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
        reason = f"it holds a {found[1]}, and only plain data is read" if found else type(error).__name__
        raise UsageError(f"{name}: not a checkpoint that can be opened ({reason})") from None
    checkpoint = checked(checkpoint, name)
    if whole and not is_whole(path):
        raise UsageError(f"{name}: the file is damaged; use another checkpoint of the run")
    return upgrade(checkpoint)


def is_whole(path: str | Path) -> bool:
    """Whether the file is as it was written to its last byte, which torch does not look at."""
    try:
        with ZipFile(path) as file:
            return file.testzip() is None
    except (BadZipFile, OSError, RuntimeError, ValueError, LookupError, EOFError, zlib.error, struct.error):
        return False  # each of them of a byte that has changed in what describes the parts
