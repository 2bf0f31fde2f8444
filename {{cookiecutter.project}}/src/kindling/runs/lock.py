"""One training at a time in a folder: a lock that ends with its process, however that ends."""

import errno
import logging
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import UsageError, short
from ..files import is_running

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: int) -> None:
        os.lseek(file, 1 << 30, os.SEEK_SET)  # nobody can read what is locked there, and all are to read who has it
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(file: int) -> None:
        # Not `flock`: workers of a loader, which are forked, would hold it for seconds after the process was killed.
        # NFS and Lustre know this one between machines.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


FILE = ".lock"  # in the folder, while somebody trains there; a killed process leaves it behind, unlocked
TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # other errors: the file system has no locks

log = logging.getLogger(__name__)


def lock_folder(folder: Path) -> Callable[[], None]:
    """Keep other processes from training in the folder, and return what lets them in.

    Where the file system has no locks, a process of the same machine is known by its number.

    Raises:
        UsageError: Another process trains there.
        OSError: The folder can't be written to.
    """
    path = folder / FILE
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _try_lock(file)
        except OSError as error:
            if error.errno in TAKEN or _holder_runs(path):
                os.close(file)
                raise UsageError(_in_use(folder)) from None
            log.warning("%s: no locks here (%s), so that a second training would not be refused", folder, error)
        if _is_at(file, path):
            break
        os.close(file)  # the one before has just removed it
    os.ftruncate(file, 0)
    os.write(file, f"{os.getpid()} {socket.gethostname()}\n".encode())

    def release() -> None:
        with suppress(OSError):  # Windows removes no open file
            path.unlink()
        os.close(file)

    return release


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _holder(path: Path) -> tuple[int, str] | None:
    """Return the process that has written itself down in the file, and its machine."""
    try:
        number, host = path.read_text(encoding="utf-8").split()
        return int(number), host
    except (OSError, ValueError):
        return None


def _holder_runs(path: Path) -> bool:
    holder = _holder(path)
    return holder is not None and holder[1] == socket.gethostname() and is_running(holder[0])


def _in_use(folder: Path) -> str:
    holder = _holder(folder / FILE)
    who = f"process {holder[0]} on {holder[1]}" if holder else "another process"
    return f"{short(folder)}: {who} trains there; wait until it has ended, or choose another paths.run=<folder>"
