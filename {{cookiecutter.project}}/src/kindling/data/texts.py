"""The texts of samples as they are on disk, one or several each."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from . import store
from .tokenizer import Texts

SHOWN = 300  # characters of a text
TEXTS_PER_CHUNK = 1_000  # when they are read again: a tokenizer holds 50 bytes for each token


def normalize(text: str) -> bytes:
    """Return bytes that are the same for texts that differ in case or white space only."""
    return " ".join(text.casefold().split()).encode()


def pair(texts: list[list[str]]) -> Texts:
    """Return each sample's only text, or the first of its texts and the others."""
    if not texts or len(texts[0]) == 1:
        return [text for (text,) in texts]
    return [(first, "\n".join(others)) for first, *others in texts]


def shorten(text: str) -> str:
    """Return the text, cut off if it is too long to be shown."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def read_texts(folder: Path, columns: Sequence[str]) -> Iterator[list[list[str]]]:
    """Yield the texts of each sample in the order of the file, in chunks."""
    for batch in store.read_columns(folder, list(columns), TEXTS_PER_CHUNK):
        texts = [batch.column(column).to_pylist() for column in columns]
        yield [list(sample) for sample in zip(*texts, strict=True)]


def read_texts_at(folder: Path, columns: Sequence[str], rows: np.ndarray) -> list[str]:
    """Return the texts of the samples with numbers `rows`, each sample in one line."""
    wanted, found, start = sorted({int(row) for row in rows}), dict[int, str](), 0
    for batch in store.read_columns(folder, list(columns), TEXTS_PER_CHUNK):  # a group of rows may not fit in memory
        end = start + len(batch)
        for row in wanted[bisect_left(wanted, start) : bisect_left(wanted, end)]:
            texts = [batch.column(column)[row - start].as_py() for column in columns]
            found[row] = " | ".join(" ".join(text.split()) for text in texts)
        start = end
        if len(found) == len(wanted):
            break
    return [found[int(row)] for row in rows]
