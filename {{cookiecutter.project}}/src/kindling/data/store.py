"""A dataset on disk: `samples.parquet` and the facts about it in `dataset.json`."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError, short
from ..files import new_file, new_folder
from . import splits
from .folder import STATED, carry_over, check_replaceable
from .progress import show_progress
from .readers import Row, open_parquet
from .values import is_list, is_text, to_arrow

FORMAT = 1  # raised when the files change their meaning, so that older datasets are made anew
ROWS_PER_CHUNK = 10_000
ROWS_PER_STEP = 200  # of the progress that is shown
HASH = "hash"  # column with the hash that decides the split
SPLIT = "split"  # column with the split that a sample belongs to, where the data divide themselves

Samples = Iterable[tuple[Row, bytes]]  # a sample, as its schema says, and what identifies it


def make(
    folder: Path,
    samples: Samples,
    schema: pa.Schema,
    settings: dict[str, Any],
    targets: tuple[str, ...] = (),
    about: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `samples` to `folder` and return the facts about them.

    The dataset appears in one rename: a build that was killed leaves a hidden folder behind, never half a dataset.

    Args:
        folder: Where the dataset goes; a dataset that stood there is replaced.
        samples: In a fixed order.
        schema: Their columns; one called `split` says which split a sample belongs to.
        settings: What the dataset was made from.
        targets: Columns with what is to be predicted. Texts among them are names of classes.
        about: More facts.

    Raises:
        UsageError: Something else lies in the folder, a split would be empty, or there is one class only.
    """
    check_replaceable(folder)
    folder = folder.resolve()  # what a link leads to is replaced, not the link
    had_parent = folder.parent.exists()
    try:
        with new_folder(folder, mark="dataset.json") as new:
            found = SampleWriter(new, schema, targets).write(samples, settings, about or {})
            check_replaceable(folder)  # again: it may have taken hours
            carry_over(folder, new)
            return found
    finally:
        if not had_parent:
            with suppress(OSError):  # a first dataset that failed leaves no empty data/
                folder.parent.rmdir()


def facts(folder: str | Path) -> dict[str, Any]:
    """Return what `make` found out about the dataset in `folder`.

    Raises:
        UsageError: No dataset was made there, or what says so is damaged.
    """
    remedy = "run make_dataset.py with the same data options first"
    try:
        found: dict[str, Any] = json.loads(Path(folder, "dataset.json").read_text(encoding="utf-8"))
        if not found.keys() >= STATED:
            raise ValueError("another program's")
    except (FileNotFoundError, NotADirectoryError):
        if Path.cwd().is_relative_to(Path(folder).resolve()):
            here = "no dataset lies in the current folder, or in one above it"
            raise UsageError(f"data.dir={folder}: {here}; name its folder, such as data.dir=data/reviews") from None
        raise UsageError(f"{short(folder)}: this dataset was not made yet; {remedy}") from None
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{short(folder)}/dataset.json is damaged ({error}); move it away, and {remedy}") from None
    except OSError as error:  # a name that is too long
        raise UsageError(f"data.dir={str(folder)[:80]}: {error.strerror}") from None
    return found


def hash_file(path: Path, kind: str = "sha256") -> str:
    """Return the hash of the file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def md5(folder: Path, facts: dict[str, Any]) -> str:
    """Return the MD5 of `samples.parquet`, by which DVC knows it; datasets of earlier versions do not state it."""
    return facts.get("md5") or hash_file(folder / "samples.parquet", "md5")


def add_md5(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts with the MD5, and add it to the dataset in `folder` if it does not state it yet."""
    if "md5" not in facts:
        facts = facts | {"md5": md5(folder, facts)}
        with suppress(OSError), new_file(folder / "dataset.json") as new:  # it may be read-only
            _write_facts(new, facts)
    return facts


def read_columns(folder: Path, columns: list[str], num_rows: int = splits.ROWS_PER_BATCH) -> Iterator[pa.RecordBatch]:
    """Yield these columns of a dataset, in batches of so many rows at most."""
    with open_parquet(folder / "samples.parquet") as file:
        yield from file.iter_batches(num_rows, columns=columns)


def read_numbers(folder: Path, column: str, numbers: np.ndarray, names: list[str]) -> np.ndarray:
    """Fill `numbers`, of shape (N,), with a column of numbers, or with the places of its texts among `names`."""
    start, place = 0, {name: place for place, name in enumerate(names)}
    for batch in read_columns(folder, [column]):
        rows = slice(start, start := start + len(batch))
        # Neither `pa.array` nor `column.to_numpy` nor `pq.read_table`: they import pandas, which takes a second.
        found = batch.column(0)
        if is_text(found.type):
            encoded = found.dictionary_encode()
            places = np.array([place[name] for name in encoded.dictionary.to_pylist()], numbers.dtype)
            numbers[rows] = places[np.from_dlpack(encoded.indices)]
        else:
            numbers[rows] = np.from_dlpack(found.cast(pa.uint8()) if pa.types.is_boolean(found.type) else found)
    return numbers


class SampleWriter:
    """Writes samples to a folder, and counts what becomes facts.

    Args:
        folder: An empty folder.
        schema: Columns of the samples.
        targets: Columns of what is to be predicted.
    """

    def __init__(self, folder: Path, schema: pa.Schema, targets: tuple[str, ...]) -> None:
        self.folder = folder
        self.schema = schema
        self.targets = targets
        self.content = hashlib.sha256()
        self.classes: Counter[str] = Counter()
        self.named = [name for name in targets if is_text(schema.field(name).type)]
        self.hashes: list[np.ndarray] = []
        self.own: list[np.ndarray] = []
        if len(self.named) > 1:
            raise TypeError(f"{' and '.join(self.named)}: only one column can hold names of classes; use numbers")

    def write(self, samples: Samples, settings: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
        """Write all samples, and return the facts about them."""
        schema = self.schema.append(pa.field(HASH, pa.uint64()))
        plain = [name for name in self.targets if not is_list(schema.field(name).type)]
        plain += [SPLIT] if SPLIT in schema.names else []
        # Texts hardly repeat, and their extremes help nobody: a dictionary and statistics of them take time alone.
        options: Any = {"use_dictionary": plain, "write_statistics": plain}
        source = iter(samples)
        steps = show_progress(iter(lambda: list(islice(source, ROWS_PER_STEP)), []), "samples")
        rows = chain.from_iterable(steps)
        chunks = iter(lambda: list(islice(rows, ROWS_PER_CHUNK)), [])
        with pq.ParquetWriter(self.folder / "samples.parquet", schema, **options) as writer:
            for chunk in chunks:
                writer.write_table(pa.table(self._columns(chunk), schema=schema))
        divided = self._split()
        self._check_size(divided)
        facts = {
            "format": FORMAT,
            "settings": settings,
            **about,
            "hash": self.content.hexdigest(),
            "md5": hash_file(self.folder / "samples.parquet", "md5"),
            "num_samples": sum(map(len, self.hashes)),
            "splits": {name: len(rows) for name, rows in divided.items()},
            "classes": dict(sorted(self.classes.items())),
        }
        if self.own:
            facts["shared"] = splits.count_shared(np.concatenate(self.hashes), divided)
        _write_facts(self.folder / "dataset.json", facts)
        return facts

    def _columns(self, chunk: list[tuple[Row, bytes]]) -> list[Any]:
        rows, keys = zip(*chunk, strict=True)
        columns = {name: [row[name] for row in rows] for name in self.schema.names}
        arrays = {name for name in columns if isinstance(columns[name][0], np.ndarray)}
        self.content.update(json.dumps([columns[name] for name in columns if name not in arrays]).encode())
        for name in filter(arrays.__contains__, columns):
            self.content.update(json.dumps([value.shape for value in columns[name]]).encode())
            self.content.update(b"".join(value.tobytes() for value in columns[name]))
        for name in self.named:
            values = columns[name]
            self.classes.update(values if isinstance(values[0], str) else (item for value in values for item in value))
        hashes = np.array([splits.hash_key(key) for key in keys], np.uint64)
        self.hashes.append(hashes)
        if SPLIT in columns:
            self.own.append(np.array([splits.NAMES.index(name) for name in columns[SPLIT]], np.int8))
        return [*(to_arrow(columns[field.name], field.type) for field in self.schema), hashes]

    def _split(self) -> splits.Splits:
        hashes = np.concatenate(self.hashes) if self.hashes else np.empty(0, np.uint64)
        if self.own:
            return splits.own_splits(hashes, np.concatenate(self.own), None, 0)
        return splits.split(hashes, None, 0)

    def _check_size(self, divided: splits.Splits) -> None:
        if empty := [name for name in splits.NAMES if not len(divided[name])]:
            total = sum(map(len, self.hashes))
            raise UsageError(f"the dataset has {total} samples, too few for a {empty[0]} split; add some (100 or more)")
        if self.named and len(self.classes) < 2:
            raise UsageError(
                f"every {self.named[0]} is {next(iter(self.classes))!r}; a classifier needs two classes or more"
            )


def _write_facts(path: Path, facts: dict[str, Any]) -> None:
    path.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
