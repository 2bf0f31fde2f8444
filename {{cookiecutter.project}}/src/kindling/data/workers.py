"""Worker processes of a loader, which leave signals to the process that trains.

Slurm, `timeout`, a container's stop and Ctrl-C signal all processes of a training. Its workers would die of it, and the
training of their death, before it has finished the step and saved.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils.data import DataLoader

from ..exits import SIGNALS


class Deaf:
    """What a worker does first: it leaves signals alone, but for the one by which its own loader ends it.

    Args:
        then: What it would have done first.
    """

    def __init__(self, then: Callable[[int], None] | None) -> None:
        self.then = then

    def __call__(self, worker: int) -> None:
        if hasattr(signal, "pthread_sigmask"):  # Windows signals no groups
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            threading.Thread(target=_await_end, args=(os.getppid(),), daemon=True, name="await-end").start()
        if self.then:
            self.then(worker)


def deafen(loader: DataLoader[Any]) -> None:
    """Let the workers that a loader is going to start leave signals to this process."""
    if loader.num_workers and not isinstance(loader.worker_init_fn, Deaf):
        loader.worker_init_fn = Deaf(loader.worker_init_fn)


@contextmanager
def unsignaled() -> Iterator[None]:
    """Start processes in the block with signals held back, until they know what to do with them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _await_end(parent: int) -> None:
    """End this process when its parent asks for it with SIGTERM; where nobody says who did, at the second one."""
    received = 0
    while True:
        if hasattr(signal, "sigwaitinfo"):
            found = signal.sigwaitinfo(SIGNALS)
            ends = found.si_signo == signal.SIGTERM and found.si_pid == parent
        else:  # macOS
            received += signal.sigwait(SIGNALS) == signal.SIGTERM
            ends = received == 2
        if ends:
            os._exit(0)
