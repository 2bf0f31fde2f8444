"""Whether the state in a checkpoint has the form of what takes it over: loops, callbacks, optimizers, schedules."""

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch
from pytorch_lightning import Trainer

from ..errors import UsageError

KNOWN = ("torch.", "pytorch_lightning.", "lightning_fabric.", "kindling.")  # classes whose states keep their types
NUMBERS = (int, float, torch.Tensor)
COUNTERS = "loops."  # whose whole numbers are 0 or more
LENGTH = ("total_steps", "_schedule_phases")  # in the state of a OneCycleLR; left out where it keeps its own


def check_loops_and_callbacks(checkpoint: dict[str, Any], trainer: Trainer, where: str) -> None:
    """Check what Lightning takes over right after the weights.

    Args:
        checkpoint: What was read.
        trainer: It has not taken over anything yet.
        where: The option and the file, for messages.

    Raises:
        UsageError: A part of the state is missing, or of another type.
    """
    whole = _is_whole(checkpoint)
    loop: Any = trainer.fit_loop
    loops = {"fit_loop": loop.state_dict() | {"state_dict": {}}}
    if "loops" in checkpoint:
        _refuse(_odd(checkpoint["loops"], loops, "loops", whole), where)
    saved = checkpoint.get("callbacks", {})
    callbacks: Any = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if _is_known(callback) and callback.state_key in saved:
            state, name = saved[callback.state_key], f"callbacks.{callback.state_key}"
            _refuse(_odd(state, callback.state_dict(), name, whole), where)
            _refuse(_odd_best(state, name), where)


def check_optimizers(checkpoint: dict[str, Any], trainer: Trainer, where: str) -> None:
    """Check the state of optimizers and schedules, which have been built by now.

    Raises:
        UsageError: A part of the state is missing, or of another type.
    """
    whole = _is_whole(checkpoint)
    configs = trainer.lr_scheduler_configs
    states, schedules = checkpoint.get("optimizer_states", []), checkpoint.get("lr_schedulers", [])
    for name, saved, fresh in (("optimizer_states", states, trainer.optimizers), ("lr_schedulers", schedules, configs)):
        if name in checkpoint and len(saved) != len(fresh):
            raise UsageError(f"{where}: {name} in it has {len(saved)} entries, and this training {len(fresh)}")
    for number, (state, optimizer) in enumerate(zip(states, trainer.optimizers, strict=False)):
        name = f"optimizer_states.{number}"
        _refuse(_odd(state, {"state": {}, "param_groups": []}, name, whole), where)
        if _is_known(optimizer):
            groups = optimizer.state_dict()["param_groups"]
            _refuse(_odd(state["param_groups"], groups, f"{name}.param_groups", whole), where)
            _refuse(_odd_among(state["state"], f"{name}.state"), where)
    for number, (state, config) in enumerate(zip(schedules, configs, strict=False)):
        if _is_known(config.scheduler):
            schedule: dict[str, Any] = config.scheduler.state_dict()
            known = {key: value for key, value in schedule.items() if key in state or key not in LENGTH}
            same = set(state) <= set(schedule)  # another class, which the command line has chosen, has other entries
            _refuse(_odd(state, known, f"lr_schedulers.{number}", whole and same), where)


def _refuse(odd: Iterator[str], where: str) -> None:
    if name := next(odd, None):
        raise UsageError(f"{where}: the file is damaged: {name} in it is not what train.py writes")


def _is_whole(checkpoint: dict[str, Any]) -> bool:
    """Whether nothing may be missing: all was saved, by the Lightning that there is."""
    same = checkpoint.get("pytorch-lightning_version") == version("pytorch-lightning")
    return same and not checkpoint.get("left_out")


def _is_known(owner: Any) -> bool:
    return f"{type(owner).__module__}.".startswith(KNOWN)


def _odd(saved: Any, fresh: Any, name: str, whole: bool) -> Iterator[str]:
    """Yield the names of what is missing in a state, or of another type than in a fresh one, which may lack entries."""
    if fresh is None:
        return  # nothing is known of it
    if isinstance(fresh, dict) and isinstance(saved, dict):
        for key, value in fresh.items():
            if key in saved:
                yield from _odd(saved[key], value, f"{name}.{key}", whole)
            elif whole:
                yield f"{name}.{key}"
    elif isinstance(fresh, list | tuple) and isinstance(saved, list | tuple):
        for number, pair in enumerate(zip(saved, fresh, strict=False)):
            yield from _odd(*pair, f"{name}.{number}", whole)
    elif not _is_like(saved, fresh, name):
        yield name


def _is_like(saved: Any, fresh: Any, name: str) -> bool:
    if isinstance(fresh, bool):
        return isinstance(saved, bool)
    if isinstance(fresh, int) and name.startswith(COUNTERS):
        return type(saved) is int and saved >= 0
    if isinstance(fresh, NUMBERS):
        return isinstance(saved, NUMBERS) and not isinstance(saved, bool)
    return isinstance(saved, type(fresh)) or (isinstance(fresh, list | tuple) and isinstance(saved, list | tuple))


def _odd_among(states: dict[Any, Any], name: str) -> Iterator[str]:
    """Yield what the state of one parameter has not as those of the most others have it."""
    for number, state in states.items():
        if not isinstance(state, dict):
            yield f"{name}.{number}"
            return
    found = Counter((key, type(value)) for state in states.values() for key, value in state.items())
    expected = {key: kind for (key, kind), _ in reversed(found.most_common())}  # the most frequent type of each
    having = Counter(key for state in states.values() for key in state)
    needed = [key for key, count in having.items() if 2 * count > len(states)]
    for number, state in states.items():
        for key in [*needed, *state]:
            if type(state.get(key)) is not expected[key]:
                yield f"{name}.{number}.{key}"


def _odd_best(state: dict[str, Any], name: str) -> Iterator[str]:
    """Yield what is no score among those of the checkpoints that were kept."""
    for path, score in (state.get("best_k_models") or {}).items():
        if not isinstance(path, str) or not isinstance(score, NUMBERS) or isinstance(score, bool):
            yield f"{name}.best_k_models"
