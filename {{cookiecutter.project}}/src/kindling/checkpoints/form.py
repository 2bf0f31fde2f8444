"""Whether what a file holds has the form of a checkpoint: what a damaged or invented one holds instead is one line."""

import re
from collections.abc import Callable
from typing import Any

from ..errors import UsageError

MOST_VALUES = 100_000  # in a configuration; ours have some hundreds
DEEPEST = 50
PLAIN = (str, int, float, bool, type(None))
VERSION = re.compile(r"\d+(\.\d+)+\S{0,40}")
PARTS = ("task", "data", "trainer", "model", "optimizer", "scheduler", "callbacks", "logger", "paths", "checkpoint_io")
NUMBERS = ("max_epochs", "max_steps", "accumulate_grad_batches")  # of the trainer

Test = Callable[[Any], bool]


def plain(config: Any, option: str) -> Any:
    """Return a configuration of dictionaries, lists and plain values, which is neither too deep nor endless.

    A file may hold containers that hold themselves, or one container in a thousand places.

    Raises:
        UsageError: It is none.
    """
    left = MOST_VALUES

    def copy(node: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise UsageError(f"{option}: the config in it is damaged: it has no end")
        if isinstance(node, dict):
            if not all(type(name) in (str, int) for name in node):
                raise UsageError(f"{option}: the config in it is damaged: it has keys that are no names")
            return {name: copy(value, depth + 1) for name, value in node.items()}
        if isinstance(node, list | tuple):
            return [copy(value, depth + 1) for value in node]
        if type(node) not in PLAIN:
            raise UsageError(f"{option}: the config in it is damaged: it holds a {type(node).__name__}")
        return node

    return copy(config, 0)


def checked(checkpoint: Any, option: str) -> dict[str, Any]:
    """Return what was read from a file, whose parts are of the kinds that commands rely on.

    Args:
        checkpoint: What the file holds.
        option: The option and the file, for messages.

    Raises:
        UsageError: It is no checkpoint of `train.py`, or a part of it is not what it should be.
    """
    if not isinstance(checkpoint, dict) or not {"global_step", "state_dict"} <= checkpoint.keys():
        raise UsageError(f"{option}: not a checkpoint that train.py wrote: it holds weights alone")
    for name, test in TESTS.items():
        if name in checkpoint and not test(checkpoint[name]):
            raise UsageError(f"{option}: the file is damaged: {name} in it is not what train.py writes")
    for name in ("config", "hyper_parameters"):
        old = {"task", "data", "trainer"} <= checkpoint.get(name, {}).keys()  # once the config was kept there
        if (name == "config" and name in checkpoint) or old:
            checkpoint = checkpoint | {name: _checked_config(plain(checkpoint[name], option), option)}
    return dict(checkpoint)


def _checked_config(config: dict[str, Any], option: str) -> dict[str, Any]:
    wrong = [part for part in PARTS if not isinstance(config.get(part), dict | type(None))]
    wrong += ["overrides"] * (not _are(str)(config.get("overrides") or []))
    built = [part for part in ("task", "data", "trainer") if part in config]
    wrong += [part for part in built if not isinstance((config[part] or {}).get("_target_"), str)] if not wrong else []
    data, trainer = config.get("data"), config.get("trainer")
    if isinstance(trainer, dict):
        wrong += [f"trainer.{name}" for name in NUMBERS if not isinstance(trainer.get(name), int | float | None)]
    wrong += ["data.dir"] * (isinstance(data, dict) and not isinstance(data.get("dir", ""), str))
    if wrong:
        raise UsageError(f"{option}: the config in it is damaged: {wrong[0]} is not what train.py writes")
    return config


def _is(*kinds: type) -> Test:
    return lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _are(*kinds: type) -> Test:
    return lambda value: isinstance(value, list) and all(isinstance(item, kinds) for item in value)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_place(value: Any) -> bool:
    """Whether it is where training stands, as `carry_over.Resume` writes it down."""
    if not _is_named(value) or not {"metrics", "epochs", "epoch_is_ending", "batches"} <= value.keys():
        return False
    batches, metrics = value["batches"], value["metrics"]
    numbers = isinstance(batches, list) and len(batches) == 2 and all(type(item) in (int, float) for item in batches)
    named = _is_named(metrics) and all(type(metric) in (int, float) for metric in metrics.values())
    return numbers and named and _is_count(value["epochs"]) and isinstance(value["epoch_is_ending"], bool)


def _are_optimizers(value: Any) -> bool:
    return _are(dict)(value) and all(
        isinstance(state.get("state", {}), dict) and _are(dict)(state.get("param_groups", [])) for state in value
    )


def _is_signal(value: Any) -> bool:
    return _is_named(value) and isinstance(value.get("by"), str) and isinstance(value.get("in"), str | None)


TESTS: dict[str, Test] = {
    "global_step": _is_count,
    "epoch": _is_count,
    "pytorch-lightning_version": lambda value: isinstance(value, str) and bool(VERSION.fullmatch(value)),
    "state_dict": _is_named,
    "config": _is_named,
    "hyper_parameters": lambda value: isinstance(value, dict),
    "datamodule_hyper_parameters": lambda value: isinstance(value, dict),
    "loops": _is_named,
    "callbacks": _is_named,
    "optimizer_states": _are_optimizers,
    "lr_schedulers": _are(dict),
    "resume": _is_place,
    "interrupted": _is_signal,
    "epoch_logs": _is(dict, list),
    "epoch_metrics": _are(dict),
    "train_loss": lambda value: isinstance(value, list),
    "left_out": _is(bool),
}
