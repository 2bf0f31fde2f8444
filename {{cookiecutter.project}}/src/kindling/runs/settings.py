"""In which settings runs differ."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from .read import Run

REPEATS = ("seed", "data.fold")  # what is varied to measure the spread, not to compare

# What says where things lie and how a run is shown, but not what it computes.
UNIMPORTANT = (
    *(*REPEATS, "data.seed", "trainer.seed", "paths", "logger", "overrides", "resume", "rerun", "tune", "hydra"),
    *("user", "account", "tags", "group", "job_type", "name", "name_pattern"),
    *("data.dir", "data.path", "data.url", "data.sha256", "trainer.default_root_dir"),
    *("callbacks.record", "callbacks.report", "callbacks.progress", "callbacks.learning_rate", "callbacks.summary"),
    *("checkpoint_io.save", "trainer.logger", "trainer.callbacks", "trainer.enable_model_summary"),
)
# Options that a resumed run does not take over.
FOR_ONE_START = ("resume", "init", "checkpoint_io", "paths.run", "tune")
GLOBAL = ("task", "experiment", "debug")  # groups whose files set keys of any group


def differing(runs: Sequence[Run]) -> list[str]:
    """Return the settings in which the runs differ: what command lines set, then what was changed in files.

    Left out is what follows from another setting: what is interpolated, and what the file of a group brings along.
    """
    on_command_lines = dict.fromkeys(key for run in runs for key in run.overrides)
    keys = dict.fromkeys([*on_command_lines, *(key for run in runs for key in (*run.choices, *run.settings))])
    # A run that left no configuration tells only what its command line set.
    known = [run for run in runs if len(run.settings) > len(run.overrides | run.choices)]
    varied = [key for key in keys if not is_in(key, UNIMPORTANT) and _varies(key, known or runs)]
    chosen = [key for key in varied if key in on_command_lines]
    files = {json.dumps(run.choices, sort_keys=True, default=str): run for run in known}.values()
    interpolated = {key for run in files for key in run.interpolated()}
    for key in varied:
        if key in chosen or is_in(key, interpolated):
            continue
        group = key.partition(".")[0]
        causes = [other for other in GLOBAL if other in varied and other != key]
        if group in varied and group != key:
            causes.append(group)
        if not (causes and _follows(key, causes, known)):
            chosen.append(key)
    return chosen


def is_in(key: str, parents: Sequence[str] | set[str]) -> bool:
    """Whether the key is one of `parents` or lies in one."""
    parts = key.split(".")
    return any(".".join(parts[:number]) in parents for number in range(1, len(parts) + 1))


def of(run: Run, key: str) -> str:
    """Return the setting as text that is equal for equal values."""
    if key not in run.settings:
        return ""
    value = run.settings[key]
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _varies(key: str, runs: Sequence[Run]) -> bool:
    return len({of(run, key) for run in runs}) > 1


def _follows(key: str, causes: list[str], runs: Sequence[Run]) -> bool:
    """Whether runs that agree in the causes agree in the key."""
    values: dict[Any, str] = {}
    return all(
        values.setdefault(tuple(of(run, cause) for cause in causes), of(run, key)) == of(run, key) for run in runs
    )


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what differs between two configurations, as "key old -> new"; where things lie does not count."""
    before, after = dict(flat(old)), dict(flat(new))
    elsewhere = ("task.", "callbacks.record.", "trainer.callbacks", "trainer.logger", "trainer.checkpoint_io")
    of_one_start = (*FOR_ONE_START, "paths", "overrides", "rerun", "name", "name_pattern")
    return [
        f"{name} {before.get(name)} -> {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
        and not name.startswith(elsewhere)
        and name.partition(".")[0] not in of_one_start
        and "dir" not in name.rpartition(".")[2]
        and not name.endswith(".run.resume")
    ]


def flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of each leaf of nested dicts."""
    if isinstance(config, dict):
        for name, value in config.items():
            yield from flat(value, f"{prefix}{name}.")
    else:
        yield prefix[:-1], config
