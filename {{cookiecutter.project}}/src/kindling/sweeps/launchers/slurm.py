"""Workers as one array of Slurm."""

import io
import logging
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from ...digits import counted
from ...errors import UsageError, short
from ...exits import exit_code
from ...project import SOURCE
from .slurm_queue import CANCELLED, ENDED, read_queue, wait
from .slurm_task import DIED, SlurmTask
from .worker import Work, check_number, last_line

log = logging.getLogger(__name__)

STRAGGLERS = 300  # seconds that processes of a job may go on after the first has ended


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
        waiting = {id: task for id, task in (read_queue(known) or {}).items() if task.state not in ENDED}
        arrays = sorted({id.partition("_")[0] for id in waiting}, key=int)
        if waiting:
            log.info(
                "%s of this sweep are in Slurm already: job %s", counted(len(waiting), "worker"), ", ".join(arrays)
            )
        if work.count > len(waiting):
            arrays.append(self._submit(work, work.count - len(waiting), folder))
        try:
            states = wait(arrays, work)
        except KeyboardInterrupt:
            numbers = ",".join(arrays)
            log.warning(
                "the jobs go on in Slurm: squeue -j %s; scancel %s ends them; the same command waits for them again",
                numbers,
                " ".join(arrays),
            )
            sys.exit(exit_code(signal.SIGINT))
        self._report(states, folder)

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
        task = SlurmTask(work.command, self.minutes, self.grace, self.requeues)
        words = io.StringIO()
        try:
            with redirect_stderr(words):
                jobs = executor.submit_array([task] * tasks)
        except submitit.core.utils.FailedJobError as error:
            for left in folder.glob(".submission_file_*"):
                left.unlink()
            raise UsageError(f"launcher=slurm: {_plain(str(error) or words.getvalue())}") from None
        array: str = jobs[0].job_id.partition("_")[0]
        log.info("%s in Slurm: job %s, logs in %s", counted(len(jobs), "worker"), array, short(folder))
        return array

    def _report(self, states: Mapping[str, str], folder: Path) -> None:
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
            log.warning("%s %s%s", counted(len(ids), "worker"), reason, f": {line} ({short(file)})" if line else "")

    def _reason(self, state: str) -> str:
        """Return why a task that said nothing about its worker ended."""
        if state == "COMPLETED":
            return ""
        if state in CANCELLED:
            return "cancelled"
        if state == "TIMEOUT":
            return f"ran out of time before they had saved; give more launcher.grace than {self.grace} seconds"
        return f"{DIED}, {state}"


def _plain(words: str) -> str:
    """Return what sbatch said, as one line without its name."""
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ").strip() for line in words.splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith("Try "))
