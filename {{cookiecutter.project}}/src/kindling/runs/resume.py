"""What `resume=` means: which run goes on, from which checkpoint, and with which options."""

import os
import sys
from pathlib import Path
from typing import Any

from ..checkpoints.find import newest_checkpoint
from ..errors import UsageError, did_you_mean, short
from ..exits import JOB
from ..overrides import is_override, option_name, quote, value_of
from ..project import home
from .foreign import check_overrides
from .read import read_overrides, read_yaml
from .settings import FOR_ONE_START


def resumed(file: Path, arguments: list[str]) -> list[str]:
    """Return the arguments with which a run goes on: those that it had, its folder and checkpoint, and the new ones.

    Args:
        file: The command.
        arguments: The command line, in which resume=auto, a run's folder or a checkpoint may stand.

    Raises:
        UsageError: There is nothing to resume, or it can't be resumed.
    """
    given = {option_name(argument): argument for argument in arguments if is_override(argument)}
    name = value_of(given.get("resume", "resume=null"))
    if name is None:
        return arguments
    if {"-m", "--multirun"} & set(arguments):
        raise UsageError(f"resume={name}: one run can be resumed at a time; leave out -m")
    runs = Path(value_of(given.get("paths.runs", f"paths.runs={quote(home(file) / 'runs')}")))
    folder, checkpoint = _find(str(name), runs, value_of(given.get("paths.run", "paths.run=null")))
    old = _overrides(folder, checkpoint)
    if checkpoint:
        old = [
            o
            for o in old
            if option_name(o) not in FOR_ONE_START and not option_name(o).startswith("checkpoint_io.load")
        ]
    kept = [override for override in old if option_name(override) not in {*given, "resume", "paths.run"}]
    if built := check_overrides(kept, f"resume={name}", file.parent / "configs"):
        print(
            f"{file.name}: as {short(checkpoint or folder or name)} says, it builds {', '.join(built)}", file=sys.stderr
        )
    new = [argument for argument in arguments if option_name(argument) != "resume"]
    if checkpoint and (tuned := [argument for argument in new if option_name(argument).partition(".")[0] == "tune"]):
        if name != "auto":
            raise UsageError(f"{tuned[0]} resume={name}: a run goes on with what it began with; leave out tune")
        new = [argument for argument in new if argument not in tuned]  # of a job always started with resume=auto
    if checkpoint:
        kept.append(f"resume={quote(checkpoint)}")
    elif folder and folder.is_dir():
        print(f"{file.name}: {short(folder)} has no checkpoint yet; it begins anew", file=sys.stderr)
    if folder and "paths.run" not in given:
        kept.append(f"paths.run={quote(folder)}")
    return kept + new


def describe_position(checkpoint: dict[str, Any]) -> str:
    """Return where training stood when `checkpoint` was saved, in a few words."""
    from ..checkpoints.config import read_config  # here, as --help does without torch

    trainer, resume = read_config(checkpoint).get("trainer", {}), checkpoint["resume"]
    batch, batches = resume["batches"]
    ended = resume["epoch_is_ending"] or batch == batches
    end = f"/{trainer['max_epochs']}" if (trainer.get("max_epochs") or -1) > 0 else ""
    place = (
        f"the end of epoch {resume['epochs']}{end}"
        if ended
        else f"epoch {resume['epochs']}{end}, batch {batch}" + (f"/{batches}" if batches != float("inf") else "")
    )
    return f"{place}, step {checkpoint['global_step']}"


def _find(name: str, runs: Path, run: str | None) -> tuple[Path | None, Path | None]:
    """Return the run's folder, if it has one, and its checkpoint, if it has one."""
    if name == "auto":
        if run and not Path(run).is_dir():
            return Path(run), None  # the first start of a job that is always started with resume=auto
        folder = Path(run) if run else _newest(runs)
        return folder, newest_checkpoint(folder)
    path = Path(name)
    if path.is_file():
        folder = path.absolute().parent.parent
        return (folder if Path(folder, ".hydra").is_dir() else None), path.absolute()
    if path.is_dir() and (Path(path, ".hydra").is_dir() or Path(path, "checkpoints").is_dir()):
        return path.absolute(), newest_checkpoint(path.absolute())
    nearby = [str(other) for other in path.parent.glob("*")] if path.parent.is_dir() else []
    raise UsageError(
        f"resume={name}: no such run{did_you_mean(name, nearby)}; auto, a run's folder or a .ckpt file is expected"
    )


def _newest(runs: Path) -> Path:
    folders = {path.parent for path in runs.rglob(".hydra")}
    if not folders:
        raise UsageError(f"resume=auto: there is no run in {short(runs)}; train a model first")
    return max(folders, key=_last_sign).absolute()


def _last_sign(folder: Path) -> float:
    files = [Path(folder, ".hydra", "overrides.yaml"), *folder.glob("checkpoints/*.ckpt")]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def _overrides(folder: Path | None, checkpoint: Path | None) -> list[str]:
    if checkpoint:
        from ..checkpoints.config import read_config  # here, as --help does without torch
        from ..checkpoints.io import read

        content = read(checkpoint, mmap=True, option="resume")
        return list(read_config(content).get("overrides") or [])
    cut_off = folder and JOB not in os.environ and Path(folder, ".hydra").is_dir()  # a job brings all its options along
    if folder and cut_off and not isinstance(composed := _composed(folder), list):
        raise UsageError(
            f"resume={short(folder)}: its options are lost, as its start was cut off ({composed}); "
            "remove the folder and start the run again"
        )
    return read_overrides(folder) if folder else []


def _composed(folder: Path) -> list[str] | str:
    """Return the overrides with which a run began, or what is wrong with them."""
    file = folder / ".hydra" / "overrides.yaml"
    if not file.is_file():
        return f"there is no {short(file)}"
    found = read_yaml(file)
    return found if isinstance(found, list) else f"{short(file)} is not whole"
