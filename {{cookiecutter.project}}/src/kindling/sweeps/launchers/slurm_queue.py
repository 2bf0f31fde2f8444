"""Slurm's queue: where the tasks of a sweep are, and waiting until they have ended."""

import logging
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ...digits import counted
from .worker import Work

log = logging.getLogger(__name__)

PATIENCE = 5  # seconds in which all jobs are in the queue until the reason is logged
ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
    *("REVOKED", "TIMEOUT"),
}
CANCELLED = ("CANCELLED", "PENDING")  # last known: a task that is cancelled in the queue is gone at once


@dataclass
class Place:
    """Where a task is in Slurm's queue."""

    state: str
    partition: str
    reason: str


def read_queue(arrays: Sequence[str]) -> dict[str, Place] | None:
    """Return the tasks of arrays that Slurm still knows, also those that have ended, or None if it does not answer."""
    if not arrays:
        return {}
    command = ["squeue", "-h", "-r", "-t", "all", "-j", ",".join(arrays), "-o", "%i|%T|%P|%r"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        return {} if "Invalid job id" in answer.stderr else None
    tasks = (line.split("|", 3) for line in answer.stdout.splitlines())
    return {id: Place(*place) for id, *place in tasks}


def wait(arrays: Sequence[str], work: Work) -> dict[str, str]:
    """Return the last known state of every task when all have ended; those that have nothing to do are cancelled."""
    runs, pause, said = time.monotonic(), 0.25, ""  # when something ran last
    states: dict[str, str] = {}
    needless: set[str] = set()
    while True:
        queue = read_queue(arrays)
        if queue is None:
            hindrance = "Slurm does not answer; the jobs go on"
        else:
            states |= {id: task.state for id, task in queue.items()}
            active = {id: task for id, task in queue.items() if task.state not in ENDED}
            waiting = {id: task for id, task in active.items() if task.state == "PENDING"}
            if not work.watch() and waiting:
                needless |= set(waiting)
                subprocess.run(["scancel", "--state=PENDING", *arrays], check=False)
            if not active:
                return {id: state for id, state in states.items() if id not in needless or state not in CANCELLED}
            hindrance = _hindrance(list(waiting.values())) if len(waiting) == len(active) else ""
        if not hindrance:
            runs = time.monotonic()
        elif hindrance != said and time.monotonic() - runs > PATIENCE:
            log.info(said := hindrance)
        time.sleep(pause)
        pause = min(2 * pause, 2)


def _hindrance(waiting: Sequence[Place]) -> str:
    """Return where tasks wait and what for; the first is the next to start."""
    first = waiting[0]
    verb = "wait" if len(waiting) > 1 else "waits"
    return f"{counted(len(waiting), 'job')} {verb} in partition {first.partition}: {first.reason}"
