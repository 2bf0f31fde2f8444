"""The processes of a training on several devices: started on one resolved config, watched, and ended together.

Lightning would start them by repeating the command line, which under -m is the whole sweep
(https://github.com/Lightning-AI/pytorch-lightning/issues/11300).
"""

import inspect
import json
import logging.config
import math
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ..addresses import hidden
from ..errors import Interrupted, ProcessFailed, Pruned, UsageError
from ..exits import PROCESS, describe_code, stopping_signals
from ..project import SOURCE
from ..runs.end import end_job

PATIENCE = 3.0  # seconds that the others have to end by themselves when one has failed


def run_processes(cfg: DictConfig, trainer: Any) -> None:
    """Run the command once per device of this machine, on this config, and wait for all of them.

    Args:
        cfg: The job's, which is resolved here and not composed again.
        trainer: Says how many processes it needs.

    Raises:
        Interrupted: A signal, passed on to each of them, ended training after a whole step.
        UsageError: One of them met a mistake of the user.
        ProcessFailed: One of them failed or died; the others were ended.
    """
    count, nodes = trainer.num_devices, trainer.num_nodes
    environment = trainer.strategy.cluster_environment
    job_logging = OmegaConf.to_container(HydraConfig.get().job_logging, resolve=True)
    content = {"config": hidden(OmegaConf.to_container(cfg, resolve=True)), "logging": job_logging}
    file = Path(os.environ["PROJECT_ROOT"], Path(sys.argv[0]).name)
    command = [sys.executable, str(file) if file.is_file() else sys.argv[0], *sys.argv[1:]]
    shared = {
        "MASTER_ADDR": environment.main_address,
        "MASTER_PORT": str(environment.main_port),
        "NODE_RANK": str(environment.node_rank()),
        "WORLD_SIZE": str(count * nodes),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")])),
    }
    with TemporaryDirectory(prefix="processes-") as folder:
        Path(folder, "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        started: list[subprocess.Popen[bytes]] = []
        sys.stdout.flush()
        with _passing_on(started):
            for local in range(count):
                own = {"LOCAL_RANK": str(local), "RANK": str(environment.node_rank() * count + local), PROCESS: folder}
                # In a session of its own: Ctrl-C reaches it once, passed on from here.
                process = subprocess.Popen(command, env=os.environ | shared | own, start_new_session=True)
                started.append(process)
            ended_here = _wait(started, Path(folder))
        _tell_end(started, Path(folder), ended_here)


def is_process() -> bool:
    """Whether this process was started by `run_processes`."""
    return PROCESS in os.environ


def be_process(main: Callable[[], Any], explain: Callable[[BaseException], str | None]) -> None:
    """Be one of several processes: call `main` with the config that all share.

    Args:
        main: The function of the command.
        explain: Returns one line if an exception is a mistake of the user, else None.
    """
    end_with_parent()
    folder = Path(os.environ.pop(PROCESS))
    content = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    first = os.environ["RANK"] == "0"
    _configure_logging(content["logging"], first)
    failed, end = True, dict[str, Any]()
    try:
        inspect.unwrap(main)(OmegaConf.create(content["config"]))
        failed = False
    except Interrupted as interrupted:
        end = {"kind": "interrupted", "signal": interrupted.signal, "checkpoint": interrupted.checkpoint}
    except Pruned as pruned:
        end = {"kind": "pruned", "text": str(pruned)}
    except BaseException as error:
        if line := explain(error):
            end = {"kind": "mistake", "text": line}
        else:
            line = traceback.format_exception_only(error)[-1].strip()
            end = {"kind": "error", "line": line, "text": "".join(traceback.format_exception(error))}
    if end:
        end |= {"time": time.time(), "local": int(os.environ["LOCAL_RANK"])}
        (folder / f"{os.environ['LOCAL_RANK']}.json").write_text(json.dumps(end), encoding="utf-8")
    end_job(failed)
    if end:  # not through the interpreter's end, which waits for a group whose other processes may be gone
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def _wait(started: Sequence[subprocess.Popen[bytes]], folder: Path) -> set[int]:
    """Wait for all; once one has failed, end those that do not end by themselves, and return which."""
    deadline, ended_here = math.inf, set()
    while running := [rank for rank, process in enumerate(started) if process.poll() is None]:
        if deadline == math.inf and any(process.returncode for process in started):
            kinds = {end["kind"] for end in _ends(folder)}
            if not kinds or kinds & {"error", "mistake"}:  # an interruption ends all, the first after its report
                deadline = time.monotonic() + PATIENCE
        if time.monotonic() > deadline:
            ended_here.update(running)
            for rank in running:
                started[rank].kill()
        time.sleep(0.02)
    return ended_here


def _tell_end(started: Sequence[subprocess.Popen[bytes]], folder: Path, ended_here: set[int]) -> None:
    """Raise what the process that failed first has raised, if one has."""
    ends = sorted(_ends(folder), key=lambda end: end["time"])
    known = ended_here | {end["local"] for end in ends}
    codes = {rank: process.returncode for rank, process in enumerate(started) if rank not in known}
    # Libraries abort when another process is gone; what that one has said comes first.
    dead = {rank: code for rank, code in codes.items() if code and not (ends and code == -signal.SIGABRT)}
    if dead and not any(end["kind"] == "interrupted" for end in ends):
        rank, code = next(iter(dead.items()))
        how = f"was {describe_code(code)}" if code < 0 else f"ended with {describe_code(code)}"
        hint = "; was there enough memory?" if code == -signal.SIGKILL else ""
        raise ProcessFailed(f"process {rank} of {len(started)} {how}{hint}", signal=max(0, -code))
    for end in ends:
        match end["kind"]:
            case "interrupted":
                raise Interrupted(end["signal"], end["checkpoint"])
            case "pruned":
                raise Pruned(end["text"])
            case "mistake":
                raise UsageError(end["text"])
            case "error":
                line = f"process {end['local']} of {len(started)} failed: {end['line']}"
                raise ProcessFailed(line, end["text"])


def _ends(folder: Path) -> list[dict[str, Any]]:
    found = []
    for file in folder.glob("*.json"):
        try:
            found.append(json.loads(file.read_text(encoding="utf-8")))
        except ValueError:  # it is being written
            continue
    return found


@contextmanager
def _passing_on(started: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Pass signals on to the processes, which decide together where to stop, instead of ending here."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in started:
            if process.poll() is None:
                process.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, pass_on) for number in stopping_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()


def _configure_logging(settings: dict[str, Any], first: bool) -> None:
    """Log as the command does; all but the first process speak of errors alone."""
    if not first:
        settings = settings | {"root": {"level": "ERROR", "handlers": ["console"]}, "loggers": {}}
        settings["handlers"] = {"console": settings["handlers"]["console"]}
    logging.config.dictConfig(settings)
