"""The jobs of a sweep, of which any process that sees its folder may take some."""

import json
import logging
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ..exits import INTERRUPTED, SIGNALS, describe_code, exit_code
from ..files import new_file
from ..overrides import quote
from ..runs.folder import outer_rank
from ..runs.read import last_error, read_metrics, read_record
from .lock import Lock, try_lock

log = logging.getLogger(__name__)

RESTARTS = 2  # of a job whose process was killed


@dataclass
class Job:
    """A job that this process has taken.

    Args:
        number: Its number, which names its folder.
        overrides: Its options.
        folder: Its run's folder.
        lock: Held by whoever works on it.
    """

    number: int
    overrides: list[str]
    folder: Path
    lock: Lock

    @property
    def arguments(self) -> list[str]:
        """Its command line: that of a single run, which begins or goes on."""
        return [*self.overrides, f"paths.run={quote(self.folder)}", "resume=auto"]


class Jobs(ABC):
    """The jobs of a sweep, in its folder, which all who work on them share.

    Args:
        folder: The sweep's.
        restarts: How often a job is started again whose process was killed.
    """

    def __init__(self, folder: Path, restarts: int = RESTARTS) -> None:
        self.folder = folder
        self.restarts = restarts
        (folder / ".locks").mkdir(parents=True, exist_ok=True)
        self.guard = FileLock(folder / ".locks" / "all")

    @abstractmethod
    def take(self) -> Job | None:
        """Return a job that waits, or whose process died, for this process to do; None if there is none."""

    @abstractmethod
    def end(self, job: Job, code: int, stops: bool = False) -> bool:
        """Note how a job that this process took has ended, and give it up.

        Args:
            job: The job.
            code: The exit code of its process.
            stops: Whether the sweep was interrupted, and its jobs with it.

        Returns:
            Whether it is done or has failed; else it is to go on, from its checkpoint if there is one.
        """

    @abstractmethod
    def left(self) -> int:
        """Return how many jobs have not ended, running ones included."""

    @abstractmethod
    def idle(self) -> int:
        """Return how many of those nobody works on."""

    @abstractmethod
    def news(self) -> list[str]:
        """Return a line for each job that has ended since this was last called, whoever did it."""

    def lock(self, number: int) -> Lock | None:
        return try_lock(self.folder / ".locks" / str(number))

    def is_free(self, number: int) -> bool:
        """Whether nobody works on a job."""
        if lock := self.lock(number):
            lock.release()
        return lock is not None

    def goes_on(self, job: Job, code: int, stops: bool) -> bool:
        """Whether a job is to be started again: it has saved and ended, or its process was killed, which is counted."""
        if code in INTERRUPTED or (stops and -code in SIGNALS):  # it may not have come as far as to save
            return True
        if 0 <= code <= exit_code(0):
            return False
        file = self._kills(job.number)
        kills = 1 + (int(file.read_text(encoding="utf-8") or 0) if file.is_file() else 0)
        file.write_text(f"{kills}\n", encoding="utf-8")
        if kills > self.restarts:
            return False
        (job.folder / "error.txt").unlink(missing_ok=True)  # of one of several processes
        line = "#%d was %s, and is started again (%d of %d)%s"
        log.warning(line, job.number, describe_code(code), kills, self.restarts, _hint(code))
        return True

    def _kills(self, number: int) -> Path:
        """Return the file that counts how often the process of a job was killed."""
        return self.folder / ".locks" / f"{number}.killed"

    def error(self, job: Job, code: int) -> str:
        """Return why a job has failed, in a line, and write it into the job's folder, too."""
        file = job.folder / "error.txt"
        if code < 0 or not file.is_file():
            how = f"was {describe_code(code)}" if code < 0 else f"ended with {describe_code(code)}"
            job.folder.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as appended:
                appended.write(f"The process {how}{_hint(code)}\n")
        return last_error(job.folder)


class Listed(Jobs):
    """Jobs whose options are known from the beginning: every combination of a plain multirun.

    Args:
        folder: The sweep's.
        overrides: The options of each.
        again: Whether jobs that have failed before are tried once more.
    """

    def __init__(self, folder: Path, overrides: list[list[str]], again: bool) -> None:
        super().__init__(folder)
        self.overrides = overrides
        self._announced = {number for number in range(len(overrides)) if self._finished(number)}
        for number in range(len(overrides)) if again else ():
            (folder / str(number) / "error.txt").unlink(missing_ok=True)
            self._kills(number).unlink(missing_ok=True)

    def take(self) -> Job | None:
        with self.guard:
            for number, overrides in enumerate(self.overrides):
                if not self._ended(number) and (lock := self.lock(number)):
                    if not self._ended(number):
                        return Job(number, overrides, self.folder / str(number), lock)
                    lock.release()
        return None

    def end(self, job: Job, code: int, stops: bool = False) -> bool:
        try:
            if self.goes_on(job, code, stops):
                return False
            if code:
                self.error(job, code)
            return True
        finally:
            job.lock.release()

    def left(self) -> int:
        return sum(not self._ended(number) for number in range(len(self.overrides)))

    def idle(self) -> int:
        return sum(not self._ended(number) and self.is_free(number) for number in range(len(self.overrides)))

    def news(self) -> list[str]:
        ended = [
            number for number in range(len(self.overrides)) if number not in self._announced and self._ended(number)
        ]
        self._announced.update(ended)
        return [f"#{number} {self._how(number)}  {' '.join(self._own(number))}" for number in ended]

    def _how(self, number: int) -> str:
        return "finished" if self._finished(number) else f"failed: {last_error(self.folder / str(number))}"

    def _own(self, number: int) -> list[str]:
        """Return the options that not all jobs share."""
        return [line for line in self.overrides[number] if not all(line in others for others in self.overrides)]

    def _finished(self, number: int) -> bool:
        return (self.folder / str(number) / "metrics.json").is_file()

    def _ended(self, number: int) -> bool:
        return self._finished(number) or (self.folder / str(number) / "error.txt").is_file()


def _hint(code: int) -> str:
    return "; was there enough memory?" if code in (-9, exit_code(9)) else ""


def read_numbers(folder: Path) -> dict[str, float]:
    """Return what a finished run has reached, and the numbers of its record."""
    found = read_record(folder) | read_metrics(folder)
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def announce_job(folder: Path, job: Job | None) -> None:
    """Tell the other processes that something outside has started together with this one which job they share."""
    if outer_rank() == 0:
        with new_file(folder / ".locks" / shared_step()) as new:
            new.write_text(json.dumps(job.arguments if job else []) + "\n", encoding="utf-8")


def shared_step() -> str:
    """Return a name that the processes share which Slurm has started together."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    return "step-" + "-".join(os.environ.get(name, "0") for name in names)
