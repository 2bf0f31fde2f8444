"""Commands in processes of their own, which can be sent signals, killed and sabotaged.

They are forked from one process that has imported everything, so that they start in a moment.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import commands
import pytest

if sys.platform == "win32":
    pytest.skip("Windows does not fork processes and sends them no signals", allow_module_level=True)

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "kindling.runs.console",
        "kindling.training.trainer",
        "kindling.data.file",
        "kindling.sweeps.pictures",
        "kindling.sweeps.finish",
        "kindling.sweeps.search",
        "torchmetrics",
    ]
)


def forked(function: Callable[..., None], *args: Any) -> Any:
    """Start a process that calls a function of a module."""
    process, before = CONTEXT.Process(target=function, args=args), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    process.start()
    return process


class Process:
    """A command that runs.

    Args:
        folder: Where its data and runs are, and what it prints goes.
        name: The command.
        *overrides: Its options.
        sabotage: A function of a module, called in the process before the command.
    """

    def __init__(self, folder: Path, name: str, *overrides: str, sabotage: Callable[[], None] | None = None) -> None:
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        self.err.write_text("")
        self._process = forked(_run, self.out, self.err, sabotage, folder, name, *overrides)

    def until(self, happened: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until something that it does is seen."""
        end = time.monotonic() + seconds
        try:
            while not happened():
                assert self._process.is_alive(), self.err.read_text()
                assert time.monotonic() < end, self.err.read_text()
                time.sleep(0.002)
        except BaseException:
            self._process.kill()  # pytest would wait for it
            raise

    def send(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self, seconds: float = 60) -> commands.Result:
        """Return how it ended; the exit code is minus the number of the signal that killed it."""
        self._process.join(seconds)
        code = self._process.exitcode
        if code is None:
            self._process.kill()  # pytest would wait for it
        assert code is not None, self.err.read_text()
        return commands.Result(code, self.out.read_text(), self.err.read_text())


def _run(out: Path, err: Path, sabotage: Callable[[], None] | None, folder: Path, name: str, *overrides: str) -> None:
    for file, number in ((out, 1), (err, 2)):
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)  # for the processes that it starts
    multiprocessing.set_start_method("fork", force=True)  # of its workers, as if it had not been forked itself
    if sabotage:
        sabotage()
    sys.exit(commands.run(folder, name, *overrides))
