"""Random numbers that depend on where training stands, not on how it came there."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_from(*key: int) -> int:
    """Return 32 bits that look random and depend on every number in `key`."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest(), "big")


def seed_all(*key: int) -> None:
    """Seed the generators of Python, NumPy and torch (on the CPU and the current GPU) with the numbers in `key`.

    `torch.manual_seed` visits every backend, which takes over ten times as long.
    """
    seed = seed_from(*key)
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(seed)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed all generators that `seed_all` seeds with the numbers in `key`, and put them back afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    device = _get_device_state()
    seed_all(*key)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if device is not None:
            _set_device_state(device)


def _get_device_state() -> torch.Tensor | None:
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return torch.cuda.default_generators[torch.cuda.current_device()].get_state()
    return torch.mps.get_rng_state() if torch.backends.mps.is_available() else None


def _set_device_state(state: torch.Tensor) -> None:
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.default_generators[torch.cuda.current_device()].set_state(state)
    else:
        torch.mps.set_rng_state(state)
