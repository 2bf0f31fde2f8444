"""The name of a run, from its config and its best value: `M8__bert-BS32-AdamW-1e-3-seed42__max.7835`."""

import re
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ..digits import in_name
from ..errors import UsageError, did_you_mean, short
from .read import read_record


def name_of(pattern: str, *, _root_: DictConfig) -> str:
    """Return the pattern with each `{option}` replaced by the option's value, in brief.

    Raises:
        UsageError: The config has no such option.
    """

    def value(match: re.Match[str]) -> str:
        option = match[1]
        parent, _, last = option.rpartition(".")
        node = OmegaConf.select(_root_, parent) if parent else _root_
        if not isinstance(node, DictConfig) or last not in node:
            known = [".".join(filter(None, (parent, str(name)))) for name in node] if node else []
            raise UsageError(f"name_pattern={pattern}: there is no option {option}{did_you_mean(option, known)}")
        return brief(node[last])

    return re.sub(r"\{([\w.]+)\}", value, pattern)


def brief(value: Any) -> str:
    """Return a value in few characters: 2e-4, .975, true, 32x3_64 for a list, its class for what is built."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return in_name(value)
    if isinstance(value, Mapping):
        return brief(str(value.get("_target_", "")).rpartition(".")[2])
    if isinstance(value, str | int):
        return re.sub(r"[^\w.+-]+", "-", str(value)).strip("-")
    runs = [(name, len(list(group))) for name, group in groupby(map(brief, value))]
    return "_".join(f"{name}x{count}" if count > 1 else name for name, count in runs)


def full_name(number: int, name: str, mode: str, best: float | None) -> str:
    """Return the name of a run with its number and, once there is one, its best value."""
    return f"M{number}__{name}" + (f"__{mode}{brief(float(best))}" if best is not None else "")


def run_name(folder: str | Path) -> str:
    """Return the name of the run in `folder` as it is now, or where it lies if it has none."""
    return str(read_record(folder).get("name") or short(folder))


def next_number(runs: str | Path) -> int:
    """Return one more than the largest number of a run in the folder `runs`, and never the same one twice."""
    from filelock import FileLock  # here, as --help does without

    from ..files import new_file

    runs = Path(runs)
    runs.mkdir(parents=True, exist_ok=True)
    with FileLock(runs / ".number.lock"):
        file = runs / ".number"
        try:
            last = int(file.read_text())
        except (FileNotFoundError, ValueError):
            last = max((_number(file.parent) for file in runs.rglob("run.json")), default=0)
        with new_file(file) as new:
            new.write_text(f"{last + 1}\n")
    return last + 1


def _number(folder: Path) -> int:
    number = read_record(folder).get("number")
    return number if isinstance(number, int) else 0
