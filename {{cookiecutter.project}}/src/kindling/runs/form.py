"""What stands in the files of a run: a key of another type than train.py writes is left aside, and named in a line."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import short

log = logging.getLogger(__name__)

Test = Callable[[Any], bool]


def _is(*kinds: type) -> Test:
    return lambda value: isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)


def _has(**tests: Test) -> Test:
    """Return whether a value has names, and under these what it should, as far as it has them."""

    def test(value: Any) -> bool:
        return isinstance(value, dict) and all(check(value[name]) for name, check in tests.items() if name in value)

    return test


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_best(value: Any) -> bool:
    return value is None or (_has(epoch=COUNT, value=NUMBER)(value) and {"epoch", "value"} <= value.keys())


TEXT, COUNT, NUMBER = _is(str), _is(int), _is(int, float)
TEXT_OR_NOTHING = _is(str, type(None))
RECORD: dict[str, Test] = {
    **dict.fromkeys(("name", "command", "status", "started", "monitor", "mode"), TEXT),
    **dict.fromkeys(("number", "parameters", "resumed"), COUNT),
    "seconds": NUMBER,
    "seed": _is(int, type(None)),
    "error": TEXT_OR_NOTHING,
    "overrides": _are_texts,
    "git": _has(commit=TEXT_OR_NOTHING, branch=TEXT_OR_NOTHING, dirty=_is(bool), left_out=_are_texts),
    "data": _has(dir=TEXT_OR_NOTHING, hash=TEXT_OR_NOTHING, md5=TEXT_OR_NOTHING),
    "machine": _has(host=TEXT_OR_NOTHING),
    "best": _is_best,
}


def usable(content: dict[str, Any], path: Path, tests: dict[str, Test], otherwise: Test = lambda value: True) -> Any:
    """Return what a file holds without the keys whose values can't be used.

    Args:
        content: What was read.
        path: The file, for the line about a key that is left aside.
        tests: Of the values of keys that are known.
        otherwise: Test of the other values.
    """
    odd = [name for name, value in content.items() if not tests.get(name, otherwise)(value)]
    if odd:
        log.warning("%s: %s in it is not what train.py writes, and is left aside", short(path), ", ".join(odd))
    return {name: value for name, value in content.items() if name not in odd}


def is_row(row: dict[Any, Any]) -> bool:
    """Whether a row of `csv/metrics.csv` has a step, and numbers in the other columns."""
    try:
        for value in row.values():
            float(value or 0)
        int(row["step"]), int(row.get("epoch") or 0)
    except (KeyError, ValueError, TypeError):
        return False
    return True
