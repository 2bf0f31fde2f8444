"""Who works on a job."""

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Lock:
    """A lock of one process and of those that it forks: it is free when the last of them has ended, however it did.

    Not `filelock`, which takes its locks away from forked processes.

    Args:
        path: The file that stands for what is locked.

    Raises:
        OSError: Somebody else has it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _try_lock(self._file)
        except OSError:
            os.close(self._file)
            raise

    def release(self) -> None:
        """Give it up, but for the processes that hold it, too."""
        os.close(self._file)


def try_lock(path: Path) -> Lock | None:
    """Return the lock, or None if somebody else has it."""
    try:
        return Lock(path)
    except OSError:
        return None
