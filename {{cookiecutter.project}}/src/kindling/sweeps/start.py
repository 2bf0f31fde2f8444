"""From the command line to a sweep: a search, or a multirun with a launcher, whose jobs have processes of their own."""

import logging
from collections.abc import Callable
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from ..errors import UsageError, short
from ..overrides import RERUN, config_folder, is_override, option_name, searched
from ..runs.folder import claim, outer_rank
from ..runs.start import missing_folders, remove_empty
from .space import Space, read_space
from .sweep import ABOUT, Sweep

OWN = ("sweep.log", ABOUT, "study.log", "study.log.lock")  # files in the folder of a sweep that has just begun


def run_sweep(file: Path, arguments: list[str], check: Callable[[Path, list[str]], object]) -> int | None:
    """Run the sweep of a command line and return the exit code; None if it is a plain multirun, which is Hydra's.

    Args:
        file: The command.
        arguments: Its command line.
        check: Checks the overrides of the space.

    Raises:
        UsageError: There is something wrong with the space, the folder or the launcher.
    """
    overrides = [argument for argument in arguments if is_override(argument)]
    flags = [argument for argument in arguments if argument not in (*overrides, "-m", "--multirun")]
    cfg = _compose(file, flags, [override for override in overrides if not _is_sweep(override)])
    space = _space(cfg, overrides)
    if space is None:
        return None
    check(file, ["-m", *space.fixed.values(), *(str(found.input_line) for found in space.varied.values())])
    folder, made = _folder(cfg, overrides)
    _log_to(folder)
    sweep = Sweep(file, [flag for flag in flags if flag != RERUN], overrides, cfg, space, folder)
    if outer_rank():
        return sweep.follow()
    try:
        return sweep.run()
    except (UsageError, HydraException):  # a mistake, which nothing has been submitted with
        if made and not any(path.name.isdigit() for path in folder.iterdir()):  # it has not begun
            _take_back(folder, made)
        raise


def _space(cfg: DictConfig, overrides: list[str]) -> Space | None:
    """Return what a sweep tries; None if it is a plain multirun."""
    search, launcher = cfg.get("sweep"), cfg.get("launcher")
    if search and "space" not in search:
        raise UsageError("sampler and pruner are for a search; add sweep=search, or another of configs/sweep")
    if search or launcher:
        return read_space(search.space if search else None, overrides)
    read_space(None, overrides).grid()  # which refuses ranges
    if outer_rank() is not None:
        raise UsageError("-m: a sweep starts its processes itself; start it without torchrun or srun")
    return None


def _compose(file: Path, flags: list[str], overrides: list[str]) -> DictConfig:
    name, folder = file.stem, config_folder(flags)
    for flag, value in zip(flags, [*flags[1:], ""], strict=False):
        option, _, attached = flag.partition("=")
        if option in ("--config-name", "-cn"):
            name = attached or value
    more = [searched(folder)] if folder else []
    with initialize_config_dir(version_base="1.3", config_dir=str(file.parent / "configs")):
        return compose(name, [*overrides, *more], return_hydra_config=True)


def _is_sweep(override: str) -> bool:
    return OverridesParser.create().parse_override(override).is_sweep_override()


def _folder(cfg: DictConfig, overrides: list[str]) -> tuple[Path, list[Path]]:
    """Return the sweep's folder, and those that were made for it just now, the innermost first.

    A search is known by its name, and goes on under it; a multirun gets a new folder.

    Raises:
        UsageError: A run lies there.
    """
    folder = Path(cfg.paths.run).absolute()
    missing = missing_folders(folder)
    if not any(option_name(line) == "paths.run" for line in overrides):
        if not cfg.get("sweep"):
            folder = claim(folder)
            return folder, [folder, *missing[1:]]
        folder = Path(cfg.paths.runs).absolute() / "sweeps" / str(cfg.sweep.name or cfg.hydra.runtime.choices["sweep"])
        missing = missing_folders(folder)
    if Path(folder, ".hydra").is_dir():
        raise UsageError(f"{short(folder)}: a run lies there; choose another paths.run=<folder> for the sweep")
    folder.mkdir(parents=True, exist_ok=True)
    return folder, missing


def _take_back(folder: Path, made: list[Path]) -> None:
    """Remove what a sweep writes into its folder before its first job, and the folders if they hold nothing else."""
    locks = folder / ".locks"
    for path in [*(folder / name for name in OWN), *locks.glob("*")]:
        path.unlink(missing_ok=True)
    remove_empty([locks])
    remove_empty(made)


def _log_to(folder: Path) -> None:
    """Log what happens to the sweep on the screen and in a file; nothing if something has set up logging."""
    screen, kept = logging.StreamHandler(), logging.FileHandler(folder / "sweep.log", encoding="utf-8", delay=True)
    screen.setFormatter(logging.Formatter("%(message)s"))
    kept.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[screen, kept])
