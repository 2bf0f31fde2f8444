"""Files and folders that appear whole or not at all."""

import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ATTEMPTS = 100  # to be the last of several processes that replace one folder at once


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a file to write to, which replaces `path` when the block ends, unless it raises."""
    with _beside(path) as new:
        yield new
        new.replace(path)


@contextmanager
def new_folder(path: Path, mark: str) -> Iterator[Path]:
    """Give an empty folder to write to, which replaces `path` when the block ends, unless it raises.

    A process that was killed leaves a hidden folder behind, which the next one removes. Processes that do not know of
    each other write to folders of their own, and the last one replaces what the others made.

    Args:
        path: The folder.
        mark: A file in it. A folder that another process made meanwhile stays if that file has the same content there.
    """
    with _beside(path) as new:
        new.mkdir()
        yield new
        with suppress(FileNotFoundError):
            if Path(path, mark).read_bytes() == Path(new, mark).read_bytes():
                return
        old = new.with_suffix(".old")
        for attempt in range(ATTEMPTS):
            with suppress(FileNotFoundError):
                path.rename(old)
            try:
                new.rename(path)
                return
            except OSError:
                if attempt == ATTEMPTS - 1 or not path.exists():
                    raise
            finally:
                shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a hidden name beside `path` that is this process's own; what is left there is removed in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = re.compile(rf"\.{re.escape(path.name)}\.{re.escape(socket.gethostname())}-(\d+)\.(new|old)")
    for other in path.parent.iterdir():
        if (match := own.fullmatch(other.name)) and not is_running(int(match[1])):
            _remove(other)
    new = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.new")
    try:
        yield new
    finally:
        _remove(new)


def is_running(process: int) -> bool:
    """Whether a process of this machine, other than this one, has the number."""
    if process == os.getpid():  # a killed one had the same number, as is usual in a container
        return False
    if os.name == "nt":  # there, to ask is to kill
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
