"""Which file is meant: best or last of the newest run, a run's folder, the newest whole checkpoint in one."""

import sys
from pathlib import Path

from ..errors import UsageError, did_you_mean, short


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


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the whole checkpoint of the latest step in a run's folder, `last.ckpt` before others of that step.

    Raises:
        UsageError: There are checkpoints, and each of them is damaged.
    """
    from .io import is_whole, read  # here, as --help does without torch

    steps, files = {}, list(folder.glob("checkpoints/*.ckpt"))
    for path in files:
        try:
            steps[path] = read(path, mmap=True)["global_step"]
        except UsageError:
            print(f"{short(path)} is damaged and is left aside", file=sys.stderr)
    for path in sorted(steps, key=lambda path: (steps[path], path.name == "last.ckpt"), reverse=True):
        if is_whole(path):
            return path
        print(f"{short(path)} is damaged and is left aside", file=sys.stderr)
    if files:
        raise UsageError(f"{short(folder)}: every checkpoint is damaged; begin anew without resume")
    return None
