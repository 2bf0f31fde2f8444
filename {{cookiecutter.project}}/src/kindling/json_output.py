"""What a command found, as JSON: in a file, or alone on the standard output."""

import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from .errors import UsageError, short
from .files import new_file


@contextmanager
def json_output(where: str | None) -> Iterator[dict[str, Any]]:
    """Give a dictionary, which is written as JSON when the block ends, unless it raises.

    Args:
        where: A file; "-" for the standard output, where all else that the block prints then goes to the standard
            error; None for nowhere.

    Raises:
        UsageError: The file can't be written to.
    """
    found: dict[str, Any] = {}
    if where == "-":
        with _to_standard_error():
            yield found
        print(_text(found))
        return
    yield found
    if where is not None:
        try:
            with new_file(Path(where)) as new:
                new.write_text(f"{_text(found)}\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"json={short(where)}: can't be written to ({error.strerror})") from error


@contextmanager
def _to_standard_error() -> Iterator[None]:
    """Let what this process and its children print go to the standard error."""
    sys.stdout.flush()
    before = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(before, 1)
        os.close(before)


def _text(found: dict[str, Any]) -> str:
    return json.dumps(_plain(found), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return the value with null for NaN and infinity, which JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
