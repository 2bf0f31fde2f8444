"""In which settings runs differ."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..runs.run import Run
from ..runs.settings import GLOBAL, REPEATS, is_important, is_in


def differing(runs: Sequence[Run]) -> list[str]:
    """Return the settings in which the runs differ: what command lines set, then what was changed in files.

    Left out is what follows from another setting: what is interpolated, and what the file of a group brings along.
    """
    on_command_lines = dict.fromkeys(name for run in runs for name in run.overrides)
    names = dict.fromkeys([*on_command_lines, *(name for run in runs for name in (*run.choices, *run.settings))])
    # A run that left no configuration has only what its command line set.
    known = [run for run in runs if len(run.settings) > len(run.overrides | run.choices)]
    varied = [
        name for name in names if is_important(name) and not is_in(name, REPEATS) and _varies(name, known or runs)
    ]
    chosen = [name for name in varied if name in on_command_lines]
    files = {json.dumps(run.choices, sort_keys=True, default=str): run for run in known}.values()
    interpolated = {name for run in files for name in run.interpolated()}
    for name in varied:
        if name in chosen or is_in(name, interpolated):
            continue
        group = name.partition(".")[0]
        causes = [other for other in ("task", *GLOBAL) if other in varied and other != name]
        if group in varied and group != name:
            causes.append(group)
        if not (causes and _follows(name, causes, known)):
            chosen.append(name)
    return chosen


def telling(keys: Sequence[str], rows: Sequence[Mapping[str, str]], most: int) -> list[str]:
    """Return at most so many of the settings: those that tell most rows apart, in the order of `keys`."""
    chosen: list[str] = []
    if len(keys) <= most:
        return list(keys)

    def apart(names: Sequence[str]) -> int:
        return len({tuple(row[name] for name in names) for row in rows})

    while len(chosen) < most:
        best = max((key for key in keys if key not in chosen), key=lambda key: apart([*chosen, key]))
        if apart([*chosen, best]) == apart(chosen):
            break
        chosen.append(best)
    return [key for key in keys if key in chosen]


def text_of(run: Run, name: str) -> str:
    """Return a setting in full, as text that is equal for equal values."""
    if name not in run.settings:
        return ""
    value = run.settings[name]
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _varies(name: str, runs: Sequence[Run]) -> bool:
    return len({text_of(run, name) for run in runs}) > 1


def _follows(name: str, causes: list[str], runs: Sequence[Run]) -> bool:
    """Whether runs that agree in the causes agree in the setting."""
    values: dict[Any, str] = {}
    return all(
        values.setdefault(tuple(text_of(run, cause) for cause in causes), text_of(run, name)) == text_of(run, name)
        for run in runs
    )
