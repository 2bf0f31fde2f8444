"""What a launcher starts, and how one worker is run and told to save."""

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...exits import INTERRUPTED, describe_code

if TYPE_CHECKING:
    from ..jobs import Jobs

ENDED_WELL = (0, 1)  # of a worker: its job is done, or failed and that is on record
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
LONGEST_LINE = 160  # of a log, in a message


@dataclass
class Work:
    """Workers to start: each takes one job of a sweep, does it, and ends.

    Args:
        command: The command line of a worker.
        count: Jobs that are left.
        folder: The sweep's; the launcher keeps its logs there.
        nodes: Machines of a job.
        processes: Processes of a job on each of its machines.
        gpus: GPUs of a job on each of its machines.
        watch: Tells on the screen which jobs have ended since it was last called, and returns how many are left.
        jobs: The jobs themselves, for a launcher that needs no workers.
        file: The command of a job, to which `flags` and the job's own arguments are added.
        flags: Options of the command that all jobs share, such as --config-dir.
        shared: Names of classes and functions that all jobs build, for a launcher that imports them once.
    """

    command: list[str]
    count: int
    folder: Path
    nodes: int
    processes: int
    gpus: int
    watch: Callable[[], int]
    jobs: "Jobs | None" = None
    file: Path = Path()
    flags: Sequence[str] = ()
    shared: Sequence[str] = ()


def run_worker(
    command: list[str], told: Callable[[], bool], folder: Path | None = None, log: Path | None = None
) -> int:
    """Run a worker and return its exit code, which is negative if a signal killed it.

    Args:
        command: Its command line.
        told: Whether it is to save its job and end by now.
        folder: Where it runs, if not here.
        log: Where its output goes, if not to this process's.
    """
    with log.open("ab") if log else nullcontext() as output:
        # Slurm and Ctrl-C signal whole groups of processes, and a second signal would keep the worker from saving; but
        # then kill -9 of the group does not reach it either.
        worker = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        asked = False
        while (code := worker.poll()) is None:
            if not asked and told():
                worker.terminate()
                asked = True
            time.sleep(0.1)
    return code


def _end_with_parent() -> None:
    """Let Linux send this process SIGTERM when the one that started it is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def how_it_died(code: int) -> str:
    """Return what an exit code says, or nothing if the worker ended as workers do."""
    if code in ENDED_WELL or code in INTERRUPTED:
        return ""
    return describe_code(code)


def last_line(log: Path) -> str:
    """Return the last line of a log that says something, or nothing."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 10_000))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    return next((line[:LONGEST_LINE] for line in reversed(lines) if line), "")


def check_number(name: str, value: object, least: int, optional: bool = False) -> None:
    """Raise a UsageError unless the option is a whole number that is large enough."""
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(
            f"launcher.{name}={value}: expected {'null or ' if optional else ''}a whole number from {least}"
        )
