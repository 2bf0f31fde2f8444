"""Whether a training needs processes of its own, one for each device."""

import os
import socket
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from ..errors import UsageError


def starts_processes(trainer: Any) -> bool:
    """Whether the trainer needs processes that nothing outside, such as torchrun or srun, has started.

    One process of a strategy for several counts: the group that it joins must not outlive it.

    Raises:
        UsageError: They belong on several machines, where something outside has to start them; or this machine can't
            find the first of these, for which torch would wait half an hour.
    """
    from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

    if trainer.num_nodes > 1 and (environment := getattr(trainer.strategy, "cluster_environment", None)):
        try:
            socket.getaddrinfo(environment.main_address, None)
        except socket.gaierror as error:
            raise UsageError(
                f"trainer.num_nodes={trainer.num_nodes}: no address of the first node, {environment.main_address}, is "
                f"known here ({error.strerror}); set MASTER_ADDR to one"
            ) from None
    launcher = trainer.strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher):  # one process, or a notebook's way
        return False
    if launcher.cluster_environment.creates_processes_externally:
        return False
    if trainer.num_nodes > 1 and "MASTER_ADDR" not in os.environ:
        raise UsageError(
            f"trainer.num_nodes={trainer.num_nodes}: nothing tells where the other nodes are; start this with torchrun "
            "or srun on each of them, as docs/scaling.md shows"
        )
    return True


def trainer_of_processes(config: DictConfig) -> Any:
    """Return a trainer without callbacks and loggers if it needs processes that nothing has started, else None."""
    alone = {"gpus": ("auto", 0, 1), "devices": (None, 1), "num_nodes": (None, 1), "strategy": (None, "auto")}
    if all(config.get(name, values[0]) in values for name, values in alone.items()):
        return None
    trainer = instantiate(config, logger=[], callbacks=[])
    return trainer if starts_processes(trainer) else None
