"""How far a long loop over rows has come."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import nullcontext
from typing import TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger(__name__)

SECONDS = 30  # between two lines in a log: an hour leaves 120

Chunk = TypeVar("Chunk", bound=Sized)


def show_progress(chunks: Iterable[Chunk], name: str, total: int | None = None) -> Iterator[Chunk]:
    """Pass chunks of rows on: on a terminal under a bar that counts the rows, elsewhere with a line now and then.

    Args:
        chunks: What is passed on.
        name: What becomes of the rows.
        total: Number of rows, if it is known.
    """
    silent = not sys.stderr.isatty()
    done, of_total = 0, f" of {total}" if total else ""
    started = told = time.monotonic()
    bar = tqdm(total=total, desc=name, unit=" rows", unit_scale=True, leave=False, disable=silent)
    with bar, nullcontext() if silent else logging_redirect_tqdm():
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            bar.update(len(chunk))
            now = time.monotonic()
            if silent and now - told >= SECONDS:
                log.info("%s: %d%s rows, %d a second", name, done, of_total, done / (now - started))
                told = now
