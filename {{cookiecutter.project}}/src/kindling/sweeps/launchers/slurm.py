"""Workers as one array of Slurm."""

import io
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ...errors import UsageError, short
from ...project import SOURCE
from .worker import INTERRUPTED, Work, check_number, count, how_it_died, last_line, run_worker

log = logging.getLogger(__name__)

WARNING = signal.SIGUSR2  # that submitit has Slurm send before the time is over
EARLIER = 60  # seconds by which Slurm may send it sooner than it was asked to
PATIENCE = 5  # seconds in which all jobs are in the queue until the reason is told
STRAGGLERS = 300  # seconds that processes of a job may go on after the first has ended
ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
}
DIED = "died"
CANCELLED = ("CANCELLED", "PENDING")  # last known: a task that is cancelled in the queue is gone at once
TIMES = {1: "once", 2: "twice"}


class Slurm:
    """Start workers as tasks of one array, wait until they have ended, and say what became of them.

    Args:
        workers: How many run at once.
        partition: Where.
        account: Who pays.
        qos: Quality of service.
        constraint: Features of the nodes.
        minutes: Time limit of a task.
        requeues: How often a task that ran out of time, or had to make room, is queued again.
        grace: Seconds before the limit at which a worker is told to save.
        cpus_per_task: CPUs of each process.
        memory: Memory of each node.
        setup: Lines of shell that run before the workers.
        more: Other options of sbatch.
    """

    def __init__(
        self,
        workers: int | None,
        partition: str | None,
        account: str | None,
        qos: str | None,
        constraint: str | None,
        minutes: int,
        requeues: int,
        grace: int,
        cpus_per_task: int,
        memory: str | int | None,
        setup: Sequence[str],
        more: Mapping[str, Any],
    ) -> None:
        check_number("workers", workers, 1, optional=True)
        for name, value, least in [
            ("minutes", minutes, 1),
            ("requeues", requeues, 0),
            ("grace", grace, 1),
            ("cpus_per_task", cpus_per_task, 1),
        ]:
            check_number(name, value, least)
        if grace >= 60 * minutes:
            raise UsageError(f"launcher.grace={grace}: expected fewer seconds than launcher.minutes={minutes} have")
        if isinstance(setup, str):
            raise UsageError(f"launcher.setup={setup}: expected a list; use 'launcher.setup=[{setup}]'")
        self.workers = workers
        self.minutes = minutes
        self.requeues = requeues
        self.grace = grace
        self.setup = list(setup)
        self.cpus_per_task = cpus_per_task
        self.options = {
            "partition": partition,
            "account": account,
            "qos": qos,
            "constraint": constraint,
            "mem": memory,
            "cpus_per_task": cpus_per_task,
            "time": minutes,
        }
        self.more = {name: value for name, value in more.items() if value is not None and value is not False}

    def launch(self, work: Work) -> None:
        """Return when every worker has ended; workers that an earlier call left in Slurm count."""
        if not shutil.which("sbatch"):
            raise UsageError(
                "launcher=slurm: there is no sbatch on this machine; start it on the login node of the cluster, "
                "or use launcher=local"
            )
        folder = work.folder.absolute() / "slurm"
        known = [path.name.partition("_")[0] for path in folder.glob("[0-9]*_submission.sh")]
        waiting = {id: task for id, task in (_queue(known) or {}).items() if task.state not in ENDED}
        arrays = sorted({id.partition("_")[0] for id in waiting}, key=int)
        if waiting:
            log.info("%s of this sweep are in Slurm already: job %s", count(len(waiting), "worker"), ", ".join(arrays))
        if work.count > len(waiting):
            arrays.append(self._submit(work, work.count - len(waiting), folder))
        try:
            states = _wait(arrays, work)
        except KeyboardInterrupt:
            numbers = ",".join(arrays)
            log.warning(
                "the jobs go on in Slurm: squeue -j %s; scancel %s ends them; the same command waits for them again",
                numbers,
                " ".join(arrays),
            )
            sys.exit(128 + signal.SIGINT)
        self._tell(states, folder)

    def _submit(self, work: Work, tasks: int, folder: Path) -> str:
        """Return the number of a new array of so many tasks."""
        try:
            import submitit
        except ModuleNotFoundError:
            raise UsageError("launcher=slurm: submitit is not installed; run: pip install submitit") from None
        source = SOURCE
        here = [
            f"export PYTHONPATH={shlex.quote(str(source))}${{PYTHONPATH:+:$PYTHONPATH}}",
            "export SUBMITIT_LOG_LEVEL=WARNING",  # so that the log is the worker's
        ]
        options = self.options | {
            "job_name": work.folder.name,
            "nodes": work.nodes,
            "ntasks_per_node": work.processes,
            "gpus_per_node": work.gpus or None,
            "array_parallelism": self.workers or tasks,
            "signal_delay_s": self.grace,
            "stderr_to_stdout": True,
            "wckey": None,
            # Since Slurm 22.05 srun does not take the number of CPUs from sbatch, and binds each process to one.
            "srun_args": [f"--cpus-per-task={self.cpus_per_task}", f"--wait={STRAGGLERS}"],
            "setup": [*here, *self.setup],
            "additional_parameters": {"requeue": True, **self.more},
        }
        executor = submitit.SlurmExecutor(folder)
        executor.update_parameters(**options)
        task = Task(work.command, self.minutes, self.grace, self.requeues)
        words = io.StringIO()
        try:
            with redirect_stderr(words):
                jobs = executor.submit_array([task] * tasks)
        except submitit.core.utils.FailedJobError as error:
            for left in folder.glob(".submission_file_*"):
                left.unlink()
            raise UsageError(f"launcher=slurm: {_plain(str(error) or words.getvalue())}") from None
        array = jobs[0].job_id.partition("_")[0]
        log.info("%s in Slurm: job %s, logs in %s", count(len(jobs), "worker"), array, short(folder))
        return array

    def _tell(self, states: Mapping[str, str], folder: Path) -> None:
        """Say how many workers did not come to their end, a line for each reason."""
        from submitit.core.utils import pickle_load

        reasons: dict[str, list[str]] = {}
        for id, state in states.items():
            results = [pickle_load(path) for path in sorted(folder.glob(f"{id}_*_result.pkl"))]
            said = [text if kind == "success" else f"{DIED}, {text.splitlines()[-1]}" for kind, text in results]
            if reason := next(filter(None, said), "") if results else self._reason(state):
                reasons.setdefault(reason, []).append(id)
        for reason, ids in reasons.items():
            file = folder / f"{ids[0]}_0_log.out"
            line = last_line(file) if reason.startswith(DIED) else ""
            log.warning("%s %s%s", count(len(ids), "worker"), reason, f": {line} ({short(file)})" if line else "")

    def _reason(self, state: str) -> str:
        """Return why a task that said nothing about its worker ended."""
        if state == "COMPLETED":
            return ""
        if state in CANCELLED:
            return "cancelled"
        if state == "TIMEOUT":
            return f"ran out of time before they had saved; give more launcher.grace than {self.grace} seconds"
        return f"{DIED}, {state}"


class Task:
    """What Slurm runs: a worker, which is told to save when it has to stop, and is queued again.

    Args:
        command: The command line of the worker.
        minutes: Time limit.
        grace: Seconds before it at which Slurm sends its warning.
        requeues: How often the task is queued again.
    """

    def __init__(self, command: list[str], minutes: int, grace: int, requeues: int) -> None:
        self.command = command
        self.minutes = minutes
        self.grace = grace
        self.requeues = requeues

    def __call__(self) -> str:
        """Return what happened to the worker, or nothing if it came to its end."""
        began, told = time.monotonic(), []

        def receive(number: int, frame: FrameType | None) -> None:
            told.append(number)

        for number in (WARNING, signal.SIGTERM):  # in place of submitit's handlers, which don't wait for the worker
            signal.signal(number, receive)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)  # which comes before SIGTERM
        code = run_worker(self.command, lambda: bool(told))
        if told and code in INTERRUPTED:
            return self._go_on((time.monotonic() - began) / 60)
        died = how_it_died(code)
        return f"{DIED}, {died}" if died else ""

    def _go_on(self, minutes: float) -> str:
        """Queue this task again, which ends it, or return why not."""
        import submitit

        environment = submitit.JobEnvironment()
        if environment.global_rank != 0:
            sys.exit()  # the first process speaks for all
        job, restarts = environment.job_id, int(os.environ.get("SLURM_RESTART_COUNT", 0))
        state = subprocess.run(["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True, check=False)
        if state.stdout.strip() != "RUNNING":
            sys.exit()  # somebody cancelled it, or Slurm has queued it again
        if restarts < self.requeues:
            subprocess.run(["scontrol", "requeue", job], check=True)
            sys.exit()
        times = TIMES.get(restarts + 1, f"{restarts + 1} times")
        if minutes >= self.minutes - (self.grace + EARLIER) / 60:
            return f"ran out of time (launcher.minutes={self.minutes}) {times}; give more minutes"
        return f"had to make room {times}; launcher.requeues={2 * self.requeues + 1} queues them more often"


@dataclass
class Place:
    """Where a task is in Slurm's queue."""

    state: str
    partition: str
    reason: str


def _queue(arrays: Sequence[str]) -> dict[str, Place] | None:
    """Return the tasks of arrays that Slurm still knows, also those that have ended, or None if it does not answer."""
    if not arrays:
        return {}
    command = ["squeue", "-h", "-r", "-t", "all", "-j", ",".join(arrays), "-o", "%i|%T|%P|%r"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        return {} if "Invalid job id" in answer.stderr else None
    tasks = (line.split("|", 3) for line in answer.stdout.splitlines())
    return {id: Place(*place) for id, *place in tasks}


def _wait(arrays: Sequence[str], work: Work) -> dict[str, str]:
    """Return the last known state of every task when all have ended; those that have nothing to do are cancelled."""
    runs, pause, said = time.monotonic(), 0.25, ""  # when something ran last
    states: dict[str, str] = {}
    needless: set[str] = set()
    while True:
        queue = _queue(arrays)
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
    return f"{count(len(waiting), 'job')} {verb} in partition {first.partition}: {first.reason}"


def _plain(words: str) -> str:
    """Return what sbatch said, as one line without its name."""
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ").strip() for line in words.splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith("Try "))
