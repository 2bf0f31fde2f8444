"""The random numbers of training."""

import random
from functools import cached_property
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ..errors import UsageError, did_you_mean
from ..seeding import seed_all

CHOICES = ("batch", "epoch", "run")


class Seeds(Callback):
    """Seed all random numbers of training anew with every batch, so that dropout does not depend on the past.

    Any batch can then be repeated alone: after a crash, in another process, from the checkpoint of an epoch. With
    `every` "epoch" or "run" the generators run on, and checkpoints hold their states (those of the first process:
    several processes resume exactly with "batch" alone).

    Args:
        seed: First number of every seed; the others are the process, the epoch and the batch.
        every: "batch", "epoch", or "run" to seed nothing.
    """

    def __init__(self, seed: int, every: str = "batch") -> None:
        if every not in CHOICES:
            raise UsageError(f"trainer.reseed={every}: there is no such choice{did_you_mean(every, CHOICES)}")
        self.seed = seed
        self.every = every
        self._restored: dict[str, Any] | None = None

    @cached_property  # Lightning asks for it whenever it calls a hook
    def state_key(self) -> str:
        return self._generate_state_key(every=self.every)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.every == "epoch":
            self._restored = None
            seed_all(self.seed, trainer.global_rank, trainer.current_epoch)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self.every == "batch":
            seed_all(self.seed, trainer.global_rank, trainer.current_epoch, batch_idx)
        elif self._restored:
            _set_states(self._restored)
            self._restored = None

    def state_dict(self) -> dict[str, Any]:
        return {} if self.every == "batch" else _get_states()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict


def _get_states() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, np.int64)), *rest),  # a checkpoint holds no arrays
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def _set_states(states: dict[str, Any]) -> None:
    name, keys, *rest = states["numpy"]
    random.setstate(states["python"])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
