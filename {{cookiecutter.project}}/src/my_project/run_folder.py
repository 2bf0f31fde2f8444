"""A folder for each run, also for runs that start in the same second."""

import itertools
import os
from pathlib import Path

from omegaconf import DictConfig

from .arguments import is_override


def choose_folder(config: DictConfig, kind: str) -> None:
    """Make the folder of a run or a sweep and put it in the config, unless the command line names it.

    Args:
        config: With Hydra's part of it, before Hydra has made a folder.
        kind: "run" or "sweep".
    """
    given = [*config.hydra.overrides.task, *config.hydra.overrides.hydra]
    if any(override.startswith(("paths.run=", f"hydra.{kind}.dir=")) for override in given if is_override(override)):
        return
    if not config.hydra.output_subdir or _is_one_of_several():
        return
    wanted = str(config.hydra[kind].dir)
    try:
        folder = claim(Path(wanted))
    except OSError:  # Hydra meets it, too, and then it is told
        return
    if str(folder) == wanted:
        return
    config.paths.run = str(folder)
    if kind == "sweep":  # whose jobs are composed anew
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{folder}'")


def claim(folder: Path) -> Path:
    """Make the folder, with -2, -3, ... after its name if others have it, and return it."""
    names = itertools.chain([folder.name], (f"{folder.name}-{number}" for number in itertools.count(2)))
    for path in (folder.with_name(name) for name in names):
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.mkdir()
                return path
            except FileExistsError:
                break
            except FileNotFoundError:  # another run, which failed, has just removed the folder of the day
                continue
    raise AssertionError("there is always a next number")


def _is_one_of_several() -> bool:
    """Whether something else started this process together with others, which share a folder."""
    return "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) > 1
