"""What runs on a node of Slurm."""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

from ...exits import INTERRUPTED
from .worker import how_it_died, run_worker

WARNING = signal.SIGUSR2  # that submitit has Slurm send before the time is over
EARLIER = 60  # seconds by which Slurm may send it sooner than it was asked to
DIED = "died"
TIMES = {1: "once", 2: "twice"}


class SlurmTask:
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
