"""A start of a run in its folder: alone there, over no other run, and taken back if it was a mistake."""

import os
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from ..errors import UsageError, short
from ..exits import JOB
from ..files import new_file, new_folder
from .folder import choose_folder, outer_rank
from .lock import FILE as LOCK
from .lock import lock_folder

COMPOSED = ".hydra"  # the folder of what Hydra has composed
FILES = ("config.yaml", "hydra.yaml", "overrides.yaml")  # in it


class Start:
    """What the folder of a run held before this start, which can take back what it wrote.

    Args:
        folder: The run's.
        made: Folders that this start made, the innermost first.
    """

    def __init__(self, folder: Path, made: list[Path]) -> None:
        self.folder = folder
        self.made = made
        self.release: Callable[[], None] = lambda: None  # lets other processes in
        self._before = _state(folder)
        self._composed = {path: path.read_bytes() for path in _composed(folder) if path.is_file()}

    def take_back(self, log: str) -> None:
        """Remove what was written for a run that never began, and put back what was there; nothing if it has begun.

        Args:
            log: Name of the file that the logging wrote to.
        """
        own = {self.folder / log, self.folder / LOCK, *_composed(self.folder)}
        after = _state(self.folder)
        if any(self._before.get(path) != state for path, state in after.items() if state and path not in own):
            return
        for path in _composed(self.folder):
            if path in self._composed:
                with new_file(path) as new:
                    new.write_bytes(self._composed[path])
            else:
                path.unlink(missing_ok=True)
        if self.folder / log not in self._before:
            Path(self.folder, log).unlink(missing_ok=True)
        for path in sorted(path for path in after if path not in self._before and not after[path])[::-1]:
            remove_empty([path])
        remove_empty(self.made)


def begin(config: DictConfig, kind: str) -> Start | None:
    """Choose and make the folder of a run or a sweep, and be alone in it; None if there is none to write to.

    What Hydra composes is left to `keep_config`, as Hydra's own files can be cut off.

    Args:
        config: With Hydra's part of it, before Hydra has made a folder.
        kind: "run" or "sweep".

    Raises:
        UsageError: Another process trains in the folder, or it holds a run that this start is not to go on with.
    """
    if not config.hydra.output_subdir:
        return None
    try:
        wanted = Path(str(config.hydra[kind].dir)).absolute()
        missing = missing_folders(wanted)
        choose_folder(config, kind)
        folder = Path(str(config.hydra[kind].dir)).absolute()
        if outer_rank():  # the first process writes for all
            return None
        config.hydra.output_subdir = None
        if kind == "sweep":  # whose jobs are composed anew
            config.hydra.overrides.hydra.append("hydra.output_subdir=null")
        folder.mkdir(parents=True, exist_ok=True)
        start = Start(folder, [folder, *missing[1:]] if missing or folder != wanted else [])
        start.release = lock_folder(folder)
    except (OSError, OmegaConfBaseException):  # Hydra meets it, too, and then it is explained
        return None
    if not config.get("resume") and JOB not in os.environ:
        try:
            refuse_taken(folder)
        except UsageError:
            start.release()
            raise
    _remove_leftovers(folder)
    return start


def refuse_taken(folder: Path) -> None:
    """Refuse to begin a run where another one lies.

    Raises:
        UsageError: The folder holds metrics, checkpoints or a sweep.
    """
    name = short(folder)
    if Path(folder, "metrics.json").exists() or any(folder.glob("checkpoints/*.ckpt")):
        raise UsageError(
            f"{name}: a run lies there; resume={name} goes on with it, another paths.run=<folder> begins one"
        )
    if Path(folder, "sweep.yaml").exists() or any(path.parent.name.isdigit() for path in folder.glob(f"*/{COMPOSED}")):
        raise UsageError(f"{name}: a sweep lies there; choose another paths.run=<folder>")


def keep_config(config: DictConfig) -> None:
    """Write what Hydra has composed into the folder of the job: all of it or nothing, as it was or as it is now."""
    task = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
    hydra = deepcopy(OmegaConf.masked_copy(config, "hydra"))
    with read_write(hydra.hydra):
        hydra.hydra.output_subdir = COMPOSED
    contents = dict(zip(FILES, map(OmegaConf.to_yaml, (task, hydra, config.hydra.overrides.task)), strict=True))
    folder = Path(config.hydra.runtime.output_dir, COMPOSED)
    if folder.is_dir():
        for name, text in contents.items():
            with new_file(folder / name) as new:
                new.write_text(text, encoding="utf-8")
        return
    with new_folder(folder, "hydra.yaml") as made:
        for name, text in contents.items():
            Path(made, name).write_text(text, encoding="utf-8")


def missing_folders(folder: Path) -> list[Path]:
    """Return the folder and those above it that are not there, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, the innermost first, up to one that holds something."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _composed(folder: Path) -> list[Path]:
    return [folder / COMPOSED / name for name in FILES]


def _state(folder: Path) -> dict[Path, tuple[int, int] | None]:
    """Return size and time of each file in the folder and in those right below, and None for each folder."""
    found: dict[Path, tuple[int, int] | None] = {}
    for path in (*folder.glob("*"), *folder.glob("*/*")):
        with suppress(OSError):
            about = path.stat()
            found[path] = None if path.is_dir() else (about.st_size, about.st_mtime_ns)
    return found


def _remove_leftovers(folder: Path) -> None:
    """Remove halves of checkpoints that killed processes have left: nobody else writes here now."""
    for path in folder.glob("checkpoints/.*.ckpt.*.new"):
        if path.is_file():
            path.unlink(missing_ok=True)
