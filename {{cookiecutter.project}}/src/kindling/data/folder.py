"""The folder of a dataset: what in it is ours, and may be replaced."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import UsageError, short

FACTS = "dataset.json"
SAMPLES = "samples.parquet"
KEPT = ".gitignore"  # which DVC writes beside them
STATED = {"format", "settings", "hash", "num_samples"}  # in every `dataset.json` that was written here
PARTS = re.compile(r"[0-9a-f]{12}")  # of tokens/ and columns/
UNFINISHED = re.compile(r"\..+\.(new|old)")


def named(folder: str | None) -> Path:
    """Return the folder that `data.dir` names.

    Raises:
        UsageError: It names none.
    """
    if not folder or not str(folder).strip():
        raise UsageError(f"data.dir={folder}: name a folder, such as data.dir=data/reviews")
    return Path(folder)


def check_replaceable(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but a dataset.

    Raises:
        UsageError: It is a file, the current folder or one above it, or something else lies in it.
    """
    try:
        folder.lstat()
        others = sorted(_foreign(folder)) if folder.is_dir() else []
    except FileNotFoundError:
        return
    except OSError as error:  # a name that is too long
        raise UsageError(f"data.dir={str(folder)[:80]}: {error.strerror}; choose another folder") from None
    remedy = "name a folder for this dataset alone, such as data.dir=data/reviews"
    if not folder.is_dir():
        raise UsageError(f"data.dir={short(folder)}: this is no folder; {remedy}")
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UsageError(f"data.dir={folder}: this is the current folder, or one above it; {remedy}")
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise UsageError(f"data.dir={short(folder)}: {others[0]}{more} in it would be lost; {remedy}")


def is_dataset(folder: Path) -> bool:
    """Whether the facts about a dataset that was made here lie in the folder."""
    try:
        found = json.loads(Path(folder, FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.keys() >= STATED


def carry_over(folder: Path, new: Path) -> None:
    """Copy what is not ours and is kept to the folder that replaces `folder`."""
    with suppress(FileNotFoundError):
        shutil.copy2(folder / KEPT, new / KEPT)


def _foreign(folder: Path) -> Iterator[str]:
    own = {KEPT, FACTS, SAMPLES} if is_dataset(folder) else {KEPT}
    for path in folder.iterdir():
        if path.name in ("tokens", "columns") and path.is_dir() and not path.is_symlink():
            names = (other.name for other in path.iterdir())
            yield from (f"{path.name}/{name}" for name in names if not _is_part(name))
        elif path.name not in own and not UNFINISHED.fullmatch(path.name):
            yield path.name


def _is_part(name: str) -> bool:
    return bool(PARTS.fullmatch(name) or UNFINISHED.fullmatch(name))
