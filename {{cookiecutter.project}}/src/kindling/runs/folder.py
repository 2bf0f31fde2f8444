"""A folder for each run, also for runs that start in the same second."""

import itertools
import os
from pathlib import Path

from omegaconf import DictConfig

from ..overrides import is_override


def choose_folder(config: DictConfig, kind: str) -> None:
    """Make the folder of a run or a sweep and put it in the config, unless the command line names it.

    Processes that something outside has started together share the folder of the first, which alone writes to it.

    Args:
        config: With Hydra's part of it, before Hydra has made a folder.
        kind: "run" or "sweep".
    """
    hydra, rank = config.hydra, outer_rank()
    has_folder = bool(hydra.output_subdir)
    if rank:
        hydra.output_subdir = None
        hydra.job_logging.root.handlers = ["console"]
    given = [*hydra.overrides.task, *hydra.overrides.hydra]
    if any(override.startswith(("paths.run=", f"hydra.{kind}.dir=")) for override in given if is_override(override)):
        return
    if not has_folder:
        return
    wanted = str(hydra[kind].dir)
    try:
        folder = claim(Path(wanted)) if rank is None else _agree(config, Path(wanted), rank)
    except OSError:  # Hydra meets it, too, and then it is told
        return
    if str(folder) == wanted:
        return
    config.paths.run = str(folder)
    if kind == "sweep":  # whose jobs are composed anew
        hydra.overrides.hydra.append(f"hydra.sweep.dir='{folder}'")


def outer_rank() -> int | None:
    """Return which of several processes this is that something outside has started together, such as torchrun or srun.

    None: nothing has, or just this one.
    """
    for count, number in (("WORLD_SIZE", "RANK"), ("SLURM_NTASKS", "SLURM_PROCID")):
        if number in os.environ and int(os.environ.get(count, 1)) > 1:
            return int(os.environ[number])
    return None


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


def _agree(config: DictConfig, wanted: Path, rank: int) -> Path:
    """Return the folder that all processes share: under Slurm it is named after the job, else the first one tells."""
    if "RANK" not in os.environ:
        return Path(config.paths.runs, f"slurm-{os.environ['SLURM_JOB_ID']}-{os.environ.get('SLURM_STEP_ID', 0)}")
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)  # torchrun's own
    key = f"run-folder-{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    if rank == 0:
        store.set(key, str(claim(wanted)))
    return Path(store.get(key).decode())
