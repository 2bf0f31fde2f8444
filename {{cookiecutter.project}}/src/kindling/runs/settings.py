"""Configurations as dotted names and values, and how two of them differ."""

from collections.abc import Iterable
from typing import Any

REPEATS = ("seed", "data.seed", "trainer.seed", "data.fold")  # what is varied to measure the spread, not to compare
GLOBAL = ("experiment", "debug")  # groups whose files set options of any group, in the order of configs/train.yaml

# Options that a resumed run does not take over.
FOR_ONE_START = ("resume", "init", "checkpoint_io", "paths.run", "tune")
# How a run is started, shown and called.
PRESENTATION = (
    *("logger", "user", "account", "tags", "group", "job_type", "name", "name_pattern", "hydra"),
    *("trainer.logger", "trainer.enable_model_summary", "trainer.fast", "trainer.stop_at_nan"),
)
# What says where things lie and how a run is shown, but not what it computes.
UNIMPORTANT = (
    *PRESENTATION,
    *("paths", "overrides", "resume", "rerun", "tune"),
    *("data.dir", "data.path", "data.url", "data.sha256", "trainer.default_root_dir"),
    *("callbacks.record", "callbacks.report", "callbacks.progress", "callbacks.learning_rate", "callbacks.summary"),
    *("checkpoint_io.save", "trainer.callbacks"),
)


def flatten(config: Any) -> dict[str, Any]:
    """Return each leaf of a nested configuration by its dotted name; a list is a leaf."""
    found: dict[str, Any] = {}

    def add(node: Any, name: str) -> None:
        if isinstance(node, dict):
            for own, value in node.items():
                add(value, f"{name}.{own}" if name else str(own))
        elif name:
            found[name] = node

    add(config, "")
    return found


def without_repetitions(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration without what its parts repeat of it, as `task.model` does if it is `${model}`."""
    return {
        part: {name: value for name, value in node.items() if name not in config or config[name] != value}
        if isinstance(node, dict)
        else node
        for part, node in config.items()
    }


def is_in(name: str, parents: Iterable[str]) -> bool:
    """Whether the option is one of `parents` or lies in one."""
    parts, known = name.split("."), set(parents)
    return any(".".join(parts[:number]) in known for number in range(1, len(parts) + 1))


def is_important(name: str) -> bool:
    """Whether an option says what a run computes, not where things lie or how the run is started and shown."""
    last = name.rpartition(".")[2]
    return not (is_in(name, UNIMPORTANT) or last == "dir" or last.endswith(("_dir", "dirpath")))


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the important options in which two configurations differ, as "name old -> new"."""
    before, after = flatten(without_repetitions(old)), flatten(without_repetitions(new))
    return [
        f"{name} {before.get(name)} -> {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and is_important(name) and not is_in(name, FOR_ONE_START)
    ]
