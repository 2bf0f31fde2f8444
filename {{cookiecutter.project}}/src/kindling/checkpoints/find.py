"""Which file is meant: best, last or an epoch of the newest run, a run's folder, the newest whole checkpoint in one."""

import logging
import re
import sys
from pathlib import Path

from ..errors import UsageError, did_you_mean, short

log = logging.getLogger(__name__)


def find_checkpoint(name: str | int, runs: str | Path, option: str = "checkpoint") -> Path:
    """Return the file that `name` means: a file, a run's folder, or what the newest run in `runs` has of that name.

    The latter are "best" and "last", and the number of an epoch, of which the newest run counts that has it.

    Raises:
        UsageError: There is no such checkpoint.
    """
    path, runs = Path(str(name)), Path(runs)
    if name in ("best", "last"):
        return _of_newest(str(name), runs, option)
    if str(name).isdecimal():
        return _of_epoch(int(name), runs, option)
    if path.is_dir():
        path = path / "checkpoints" / ("last.ckpt" if option == "inspect" else "best.ckpt")
    if not path.is_file():
        nearby = [str(other) for other in path.parent.glob("*.ckpt")]
        raise UsageError(
            f"{option}={name}: no such checkpoint{did_you_mean(str(path), nearby)}; "
            "a .ckpt file, a run's folder, best, last or the number of an epoch is expected"
        )
    return path


def is_debug(folder: Path) -> bool:
    """Whether the run in the folder was one of `debug=`, whose result counts for nothing."""
    try:
        text = Path(folder, ".hydra", "hydra.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return re.search(r"^ {6}debug: (?!null$)\S", text.partition("\n    choices:\n")[2], re.MULTILINE) is not None


def _of_newest(name: str, runs: Path, option: str) -> Path:
    """Return the checkpoint of the newest run, of one that is no debug run if there is such a one, and say which."""
    files = [path for path in runs.rglob(f"checkpoints/{name}.ckpt") if path.is_file()]
    if not files:
        raise UsageError(f"{option}={name}: no run in {runs} has one; train a model first")
    serious = [path for path in files if not is_debug(path.parent.parent)]
    found = max(serious or files, key=lambda file: file.stat().st_mtime)
    log.info("%s=%s: %s%s", option, name, short(found), "" if serious else ", of a debug run; there is no other")
    return found


def _of_epoch(epoch: int, runs: Path, option: str) -> Path:
    """Return the newest checkpoint of the end of an epoch, of a debug run if no other has one, and say which it is."""
    files = {path: path.stat().st_mtime for path in runs.rglob("checkpoints/*.ckpt") if path.is_file()}
    debug = {folder: is_debug(folder) for folder in {path.parent.parent for path in files}}
    there: dict[Path, set[int]] = {}
    for path in sorted(files, key=lambda path: (debug[path.parent.parent], -files[path])):
        found = _ended_epoch(path)
        if found == epoch:
            log.info("%s=%s: %s", option, epoch, short(path))
            return path
        there.setdefault(path.parent.parent, set()).update([found] if found else [])
    if not any(there.values()):
        raise UsageError(f"{option}={epoch}: no run in {runs} has a checkpoint of an epoch's end; train a model first")
    newest = next(folder for folder, epochs in there.items() if epochs)
    epochs = ", ".join(map(str, sorted(there[newest])))
    raise UsageError(
        f"{option}={epoch}: no run in {runs} has a checkpoint of this epoch; there are those of {epochs} in "
        f"{short(newest)}, and train.py +callbacks=keep_epochs keeps each"
    )


def _ended_epoch(path: Path) -> int | None:
    """Return the number of the epoch, counted from one, at whose end a checkpoint was saved; None if amid one."""
    from .io import read  # here, as --help does without torch

    try:
        resume = read(path, mmap=True, whole=False).get("resume")
    except UsageError:
        return None  # damaged, or none of ours
    if not resume or not (resume["epoch_is_ending"] or resume["batches"][0] == resume["batches"][1]):
        return None
    return int(resume["epochs"])


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the whole checkpoint of the latest step in a run's folder, `last.ckpt` before others of that step.

    Raises:
        UsageError: There are checkpoints, and each of them is damaged.
    """
    from .io import is_whole, read  # here, as --help does without torch

    steps, files = {}, []
    for path in folder.glob("checkpoints/*.ckpt"):
        if path.is_file():
            files.append(path)
        elif path.exists():  # a pipe, from which one reads for ever
            print(f"{short(path)} is no file and is left aside", file=sys.stderr)
    for path in files:
        try:
            steps[path] = read(path, mmap=True, whole=False)["global_step"]
        except UsageError:
            print(f"{short(path)} is damaged and is left aside", file=sys.stderr)
    for path in sorted(steps, key=lambda path: (steps[path], path.name == "last.ckpt"), reverse=True):
        if is_whole(path):
            return path
        print(f"{short(path)} is damaged and is left aside", file=sys.stderr)
    if files:
        raise UsageError(f"{short(folder)}: every checkpoint is damaged; begin anew without resume")
    return None
