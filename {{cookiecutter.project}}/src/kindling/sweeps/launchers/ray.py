"""Workers as tasks of Ray."""

import logging
import math
import os
import secrets
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from ...digits import counted
from ...errors import UsageError, short
from ...exits import STORAGE, exit_code
from ...project import SOURCE
from ...startup import before_import
from .worker import Work, check_number, how_it_died, last_line, run_worker

log = logging.getLogger(__name__)

PATIENCE = 3  # seconds for the machine at an address to answer; Ray itself would try for many minutes
STARTS = 3
OUT_OF_SIGHT = "out of sight"


class Ray:
    """Start workers as tasks of Ray, wait until they have ended, and say what became of them.

    Args:
        workers: How many run at once.
        address: A Ray that runs; without one, Ray is started on this machine, and ended again.
        cpus_per_job: CPUs of a worker; without, one for each of its processes.
        gpus_per_job: GPUs of a worker; without, those of its processes.
    """

    def __init__(
        self, workers: int | None, address: str | None, cpus_per_job: float | None, gpus_per_job: float | None
    ) -> None:
        check_number("workers", workers, 1, optional=True)
        for name, value in (("cpus_per_job", cpus_per_job), ("gpus_per_job", gpus_per_job)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
                raise UsageError(f"launcher.{name}={value}: expected null or a number from 0")
        self.workers = workers
        self.address = address
        self.cpus_per_job = cpus_per_job
        self.gpus_per_job = gpus_per_job

    def launch(self, work: Work) -> None:
        """Return when every worker has ended."""
        if work.nodes > 1:
            raise UsageError(f"trainer.num_nodes={work.nodes}: with launcher=ray a job runs on one node; use torchrun")
        before_import("ray")
        if self.address is None and "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
            # Read by the import, too: a token for as long as this Ray runs. It would write one into the home folder.
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        try:
            import ray
        except ModuleNotFoundError:
            raise UsageError("launcher=ray: Ray is not installed; run: pip install ray") from None
        cpus = work.processes if self.cpus_per_job is None else self.cpus_per_job
        gpus = work.gpus if self.gpus_per_job is None else self.gpus_per_job
        before = signal.getsignal(signal.SIGTERM)
        try:
            self._connect(cpus)
            self._check_room(cpus, gpus)
            self._run(work, ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(do))
        finally:
            ray.shutdown()
            signal.signal(signal.SIGTERM, before)

    def _connect(self, cpus: float) -> None:
        import ray

        source = str(SOURCE)
        storage = {STORAGE: os.environ[STORAGE]} if STORAGE in os.environ else {}
        path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
        options: dict[str, Any] = {
            "runtime_env": {"env_vars": {"PYTHONPATH": path} | storage},
            "logging_level": logging.ERROR,
            "log_to_driver": False,
        }
        if (quoted := shlex.quote(sys.executable)) != sys.executable:  # Ray would take a space for its end
            options["runtime_env"]["py_executable"] = quoted
        if self.address is None:
            # More than the machine has, if so many workers are asked for.
            options["num_cpus"] = max(os.cpu_count() or 1, math.ceil(cpus * (self.workers or 1)))
            _start(options)
            return
        hindrance = f"launcher.address={self.address}: no Ray answers there; start one with ray start, or leave it out"
        if not answers(self.address):
            raise UsageError(hindrance)
        try:
            ray.init(self.address, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            token = "" if "RAY_AUTH_MODE" in os.environ else "; if it asks for a token, set RAY_AUTH_MODE=token"
            raise UsageError(f"{hindrance}{token} ({str(error).splitlines()[0]})") from None

    def _check_room(self, cpus: float, gpus: float) -> None:
        """Say what no node has enough of; a Ray on this machine does not grow, so that a job would wait for ever."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        for name, key, needed in (("CPU", "cpus_per_job", cpus), ("GPU", "gpus_per_job", gpus)):
            most = max((node.get(name, 0) for node in nodes), default=0)
            if needed > most:
                line = f"launcher.{key}={needed:g}: no node of this Ray has more than {counted(int(most), name)}"
                if self.address is None:
                    raise UsageError(line)
                log.warning("%s; jobs wait for one that has", line)

    def _run(self, work: Work, task: Any) -> None:
        import ray

        folder = work.folder.absolute() / "ray"
        folder.mkdir(parents=True, exist_ok=True)
        known = len(list(folder.glob("*.log")))
        logs = [folder / f"{known + number}.log" for number in range(work.count)]
        log.info("%s in Ray, logs in %s", counted(work.count, "worker"), short(folder))
        running: dict[Any, Path] = {}
        reasons: dict[str, list[Path]] = {}
        with _terminated_like_interrupted():
            try:
                while running or logs:
                    while logs and len(running) < (self.workers or work.count):
                        file = logs.pop(0)
                        running[task.remote(work.command, str(Path.cwd()), str(file))] = file
                    ended, _ = ray.wait(list(running), num_returns=1, timeout=1)
                    for one in ended:
                        reasons.setdefault(_outcome(one), []).append(running.pop(one))
                    if not work.watch():
                        logs.clear()  # nothing is left for those that have not begun
                    if OUT_OF_SIGHT in reasons:
                        raise UsageError(
                            f"launcher=ray: a node does not see {folder}; jobs need a file system that all share"
                        )
            finally:
                if running:
                    _stop(list(running), f"{counted(len(running), 'worker')} {'is' if len(running) == 1 else 'are'}")
        work.watch()
        _tell(reasons)


def do(command: list[str], folder: str, log: str) -> str:
    """Run a worker on a node of Ray and return what happened to it, or nothing if it came to its end."""
    if not Path(folder).is_dir() or not Path(log).parent.is_dir():
        return OUT_OF_SIGHT
    told: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        told.append(number)

    before = signal.signal(signal.SIGINT, receive)  # which ray.cancel sends
    try:
        code = run_worker(command, lambda: bool(told), Path(folder), Path(log))
    finally:
        signal.signal(signal.SIGINT, before)
    died = how_it_died(code)
    return f"died, {died}" if died else ""


def _start(options: dict[str, Any]) -> None:
    """Start Ray on this machine; if that is busy, it may take longer than the 30 seconds that Ray gives itself."""
    import ray

    for tries in range(1, STARTS + 1):
        try:
            ray.init("local", include_dashboard=False, **options)
            return
        except Exception as error:  # Ray has no class of its own for it
            ray.shutdown()
            if "timed out during startup" not in str(error):
                raise
            if tries == STARTS:
                raise UsageError(f"launcher=ray: Ray does not start: {' '.join(str(error).split())}") from None


def answers(address: str) -> bool:
    """Whether something listens at an address with a host; "auto" has none."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        if ":" not in address:
            return True
        socket.create_connection((parts.hostname or "localhost", parts.port or 10001), PATIENCE).close()
    except (OSError, ValueError):
        return False
    return True


def _outcome(task: Any) -> str:
    import ray

    try:
        reason: str = ray.get(task)
        return reason
    except ray.exceptions.RayError as error:  # the node is gone, or has run out of memory
        return f"died, {str(error).splitlines()[0]}"


def _stop(running: list[Any], workers: str) -> None:
    """Tell workers to save, and wait for them, whatever comes."""
    import ray

    log.warning("%s told to save and to end", workers)
    for task in running:
        ray.cancel(task)
    while running:
        try:
            _, running = ray.wait(running, num_returns=len(running), timeout=1)
        except KeyboardInterrupt:
            log.warning("they are saving")


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM end the launcher as Ctrl-C does, with an exit code of its own."""
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        received.append(number)
        sys.exit()

    signal.signal(signal.SIGTERM, end)  # in place of Ray's own
    try:
        yield
    except SystemExit:
        if received:
            sys.exit(exit_code(received[0]))  # of which Ray makes a 1
        raise


def _tell(reasons: dict[str, list[Path]]) -> None:
    """Say how many workers did not come to their end, a line for each reason."""
    for reason, files in reasons.items():
        if reason:
            line = last_line(files[0])
            log.warning(
                "%s %s%s", counted(len(files), "worker"), reason, f": {line} ({short(files[0])})" if line else ""
            )
