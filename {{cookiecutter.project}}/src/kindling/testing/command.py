"""Commands in processes of their own, forked from one that has imported everything, so that they start in a moment."""

import multiprocessing
import multiprocessing.connection
import os
import random
import runpy
import signal
import socket
import sys
import time
from collections.abc import Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..exits import ROOT
from ..overrides import option_name, quote
from ..project import SOURCE, root

TIME_LIMIT = 600  # seconds after which a command is taken to hang
PATIENCE = 5  # seconds that a process has to end by itself when the other one has failed
PRELOADED = "kindling.testing.preload"


class Ended(NamedTuple):
    """How a command ended: its exit code and what it printed."""

    code: int
    said: str


def run_command(
    name: str, options: Sequence[str], folder: Path, processes: int = 1, make: bool = False, paths: bool = True
) -> Ended:
    """Run a command of the project as a user would, on the CPU, and return how it ended.

    Args:
        name: Such as "train".
        options: Its options.
        folder: Where it runs, and where what it prints goes.
        processes: How many run it together, as torchrun would start them.
        make: Whether to make the dataset of a training first.
        paths: Whether the command takes the folders of data and runs, which are then in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = [f"paths.data={quote(folder / 'data')}", f"paths.runs={quote(folder)}"] if paths else []
    arguments = [str(_command_file(name)), *besides(places, options)]
    shared = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    if processes > 1:
        shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port(), "TORCHELASTIC_RUN_ID": "check"}
        shared |= {"GROUP_RANK": "0", "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    files = [folder / f"{name}-{rank}.txt" for rank in range(processes)]
    started = []
    try:
        for rank, file in enumerate(files):
            environment = shared | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {})
            started.append(_context().Process(target=_be_command, args=(file, environment, arguments, make)))
            started[-1].start()
        first = _wait(started)
    finally:
        for process in started:
            process.kill()
    return Ended(started[first].exitcode or 0, files[first].read_text(encoding="utf-8", errors="replace"))


def _command_file(name: str) -> Path:
    """Return the command's file: of the project that runs, else of the one that this engine belongs to."""
    file = root() / f"{name}.py"
    return file if file.is_file() else SOURCE.parent / f"{name}.py"


def _context() -> Any:
    """Return how processes are started: forked, where that is possible, from one that has imported everything."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in (str(SOURCE), *sys.path) if path)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    return context


def _be_command(file: Path, environment: dict[str, str], arguments: list[str], make: bool) -> None:
    with file.open("wb", buffering=0) as said:
        for number in (1, 2):
            os.dup2(said.fileno(), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    if "fork" in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method("fork", force=True)  # of its workers, as if it had not been forked itself
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background ignores
    os.environ.update(environment)
    torch.set_num_threads(1)
    # What a command does not seed is to differ from one process to the next.
    random.seed(), np.random.seed(), torch.seed()
    sys.argv = arguments
    if make:
        _make_dataset(Path(arguments[0]), arguments[1:])
    os.chdir(file.parent)
    runpy.run_path(arguments[0], run_name="__main__")


def _make_dataset(file: Path, overrides: list[str]) -> None:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from hydra.utils import instantiate

    from ..cli.resolvers import register_resolvers

    os.environ[ROOT] = str(file.parent)
    register_resolvers()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(file.parent / "configs")):
            cfg = compose(file.stem, overrides)
    except HydraException:
        return  # the command itself says what is wrong with its options
    data = instantiate(cfg.data)
    if hasattr(data, "make"):
        data.make()


def _wait(started: Sequence[Any]) -> int:
    """Wait for all, and return which of them failed first, or the first one."""
    end, failed = time.monotonic() + TIME_LIMIT, 0
    running = dict(enumerate(started))
    while running and time.monotonic() < end:
        multiprocessing.connection.wait([process.sentinel for process in running.values()], end - time.monotonic())
        for rank in [rank for rank, process in running.items() if not process.is_alive()]:
            if running.pop(rank).exitcode and not started[failed].exitcode:
                failed, end = rank, min(end, time.monotonic() + PATIENCE)
    return failed if not running or started[failed].exitcode else next(iter(running))


def besides(defaults: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return the options and those of the defaults that they don't set."""
    given = {option_name(option) for option in options}
    return [*(default for default in defaults if option_name(default) not in given), *options]


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])
