"""Workers of a loader leave signals to the process that trains, and end when it says so."""

import os
import signal
import subprocess
import time
from typing import Any

import pytest
import torch
from kindling.data.loader import Loader
from kindling.data.workers import deafen, unsignaled
from torch.utils.data import DataLoader, Dataset

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals are not held back here")


class Numbers(Dataset):
    """Numbers, each with the process that loads it; the one with number `hangs` never comes."""

    def __init__(self, hangs: int = -1) -> None:
        self.hangs = hangs

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        while index == self.hangs:
            time.sleep(0.01)
        return torch.tensor([index, os.getpid()])


def loader(engine: bool, hangs: int = -1, **options: Any) -> Any:
    made = (Loader if engine else DataLoader)(Numbers(hangs), batch_size=None, num_workers=2, **options)
    deafen(made)
    deafen(made)  # Lightning asks for loaders more than once
    return made


@pytest.mark.parametrize("engine", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_does_not_end_a_worker(engine: bool, number: signal.Signals) -> None:
    first: list[int] = []
    batches = iter(loader(engine, prefetch_factor=2, worker_init_fn=first.append))
    read = [next(batches)]
    subprocess.run(["kill", f"-{int(number)}", str(int(read[0][1]))], check=True)  # not by the process that trains
    time.sleep(0.1)
    read += list(batches)
    assert [int(index) for index, _ in read] == list(range(8))
    assert len({int(process) for _, process in read}) == 2


def test_its_loader_ends_a_worker_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.3)
    batches = iter(loader(False, hangs=2))
    worker = int(next(batches)[1])
    del batches
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_processes_are_started_with_signals_held_back() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with unsignaled():
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= {signal.SIGTERM, signal.SIGINT}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
