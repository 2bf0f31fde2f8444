"""A dataset on disk: `samples.parquet` and the facts about it in `dataset.json`."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError, short
from ..files import new_file, new_folder
from .progress import show_progress
from .readers import open_parquet

FORMAT = 1  # raised when the files change their meaning, so that older datasets are made anew
ROWS_PER_CHUNK = 10_000
TEXTS_PER_CHUNK = 1_000  # when they are read again: a tokenizer holds 50 bytes for each token
ROWS_PER_BATCH = 100_000  # of numbers, so that what is computed in between takes no memory to speak of
TEST_SHARE = 0.1
SCHEMA = {
    "classes": pa.schema([("text", pa.string()), ("label", pa.string()), ("hash", pa.uint64())]),
    "numbers": pa.schema([("text", pa.string()), ("label", pa.float64()), ("hash", pa.uint64())]),
}


def make(folder: Path, rows: Iterable[tuple[str, dict[str, Any]]], settings: dict[str, Any]) -> dict[str, Any]:
    """Write `rows` to `folder` and return the facts about them.

    The dataset appears in one rename: a build that was killed leaves a hidden folder behind, never half a dataset.

    Args:
        folder: Where the dataset goes; what stood there is replaced.
        rows: Pairs (where the row stands, for messages; the row with its `text` and `label`), in a fixed order.
        settings: What the dataset was made from. `labels` is "classes" or "numbers".

    Raises:
        UsageError: A row has no text or no label, or a label is no number although it has to be; or no row is left.
    """
    try:
        with new_folder(folder, mark="dataset.json") as new:
            return _write(new, rows, settings)
    finally:
        with suppress(OSError):  # a first dataset that failed leaves no empty data/
            folder.parent.rmdir()


def facts(folder: str | Path) -> dict[str, Any]:
    """Return what `make` found out about the dataset in `folder`.

    Raises:
        UsageError: No dataset was made there.
    """
    try:
        return json.loads(Path(folder, "dataset.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{short(folder)}: this dataset was not made yet; run make_dataset.py with the same data options first"
        ) from None


def split(hashes: np.ndarray, folds: int | None, fold: int) -> dict[str, np.ndarray]:
    """Return the row numbers of the train, val and test split, by the hash of each row's text alone.

    A row therefore never changes its split when others are added, and equal texts share one. The test split is a tenth
    of the rows, whatever `folds` is. Without folds another tenth validates; with them a `folds`-th of the rest does.
    """
    numbers = np.int32 if len(hashes) < 2**31 else np.int64
    found: dict[str, list[np.ndarray]] = {"train": [], "val": [], "test": []}
    for start in range(0, max(1, len(hashes)), ROWS_PER_BATCH):
        part = hashes[start : start + ROWS_PER_BATCH]
        position = part / 2.0**64
        test = position < TEST_SHARE
        # The low bits are independent of the position, which the high bits decide.
        val = part % np.uint64(folds) == np.uint64(fold) if folds else position < 2 * TEST_SHARE
        for name, rows in [("train", ~val & ~test), ("val", val & ~test), ("test", test)]:
            found[name].append((np.flatnonzero(rows) + start).astype(numbers))
    return {name: np.concatenate(rows) for name, rows in found.items()}


def problem(value: Any, name: str) -> str:
    """Return what is wrong with a text or the name of a class, called `name`, or nothing."""
    if value is None or value == "" or (isinstance(value, str) and value.isspace()):
        return f"the {name} is empty"
    if not isinstance(value, str):
        return f"the {name} {value!s:.40} is of type {type(value).__name__}, not text"
    return ""


def hash_text(text: str) -> int:
    """Return 64 bits that are the same for texts that differ in case or white space only."""
    return int.from_bytes(hashlib.blake2b(" ".join(text.casefold().split()).encode(), digest_size=8).digest(), "big")


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


def _write(folder: Path, rows: Iterable[tuple[str, dict[str, Any]]], settings: dict[str, Any]) -> dict[str, Any]:
    content = hashlib.sha256()
    classes: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    schema = SCHEMA[settings["labels"]]
    samples = (_check(where, row, settings["labels"]) for where, row in rows)
    chunks = iter(lambda: list(islice(samples, ROWS_PER_CHUNK)), [])
    # Texts hardly repeat, and their extremes help nobody: a dictionary and statistics of them take time alone.
    options: Any = {"use_dictionary": ["label"], "write_statistics": ["label"]}
    with pq.ParquetWriter(folder / "samples.parquet", schema, **options) as writer:
        for chunk in show_progress(chunks, "samples"):
            texts, labels, hashes = zip(*chunk, strict=True)
            writer.write_table(pa.table([texts, labels, np.array(hashes, np.uint64)], schema=schema))
            content.update(json.dumps([texts, labels]).encode())
            if settings["labels"] == "classes":
                classes.update(labels)
            splits.update({name: len(found) for name, found in split(np.array(hashes, np.uint64), None, 0).items()})
    _check_size(classes, splits, settings["labels"])
    facts = {
        "format": FORMAT,
        "settings": settings,
        "hash": content.hexdigest(),
        "md5": hash_file(folder / "samples.parquet", "md5"),
        "num_samples": sum(splits.values()),
        "splits": dict(splits),
        "classes": dict(sorted(classes.items())),
    }
    _write_facts(folder / "dataset.json", facts)
    return facts


def _write_facts(path: Path, facts: dict[str, Any]) -> None:
    path.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check(where: str, row: dict[str, Any], labels: str) -> tuple[str, Any, int]:
    """Return the row's text, its label and the hash of the text."""
    text, label = row["text"], row["label"]
    if isinstance(label, float) and math.isnan(label):
        label = None
    name = label if label is None or isinstance(label, list | dict) else str(label).strip()
    if wrong := problem(text, "text") or problem(name, "label"):
        raise UsageError(f"{where}: {wrong}; mend or remove the row")
    if labels == "numbers":
        try:
            label = float(label)
        except ValueError:
            label = math.nan
        if not math.isfinite(label):
            raise UsageError(
                f"{where}: the label {row['label']!r} is not a number; mend it, or use data.labels=classes"
            )
    return text, label if labels == "numbers" else name, hash_text(text)


def _check_size(classes: Counter[str], splits: Counter[str], labels: str) -> None:
    if empty := [name for name in ("train", "val", "test") if not splits[name]]:
        raise UsageError(
            f"the dataset has {sum(splits.values())} samples, too few for a {empty[0]} split; add some (100 or more)"
        )
    if labels == "classes" and len(classes) < 2:
        raise UsageError(f"every label is {next(iter(classes))!r}; a classifier needs two classes or more")


def read_targets(folder: Path, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes (uint64) and the targets, each of shape (N,).

    Targets are class numbers, in as few bytes as they need, or the labels themselves (float32) if `classes` is empty.
    """
    with open_parquet(folder / "samples.parquet") as file:
        num_rows = file.metadata.num_rows
        hashes = np.empty(num_rows, np.uint64)
        targets = np.empty(num_rows, np.min_scalar_type(-len(classes)) if classes else np.float32)
        numbers, start = {name: number for number, name in enumerate(classes)}, 0
        for batch in file.iter_batches(ROWS_PER_BATCH, columns=["label", "hash"]):
            rows = slice(start, start := start + len(batch))
            label = batch.column("label")
            # Neither `pa.array` nor `column.to_numpy` nor `pq.read_table`: they import pandas, which takes a second.
            if classes:
                encoded = label.dictionary_encode()
                found = np.array([numbers[name] for name in encoded.dictionary.to_pylist()], targets.dtype)
                targets[rows] = found[np.from_dlpack(encoded.indices)]
            else:
                targets[rows] = np.from_dlpack(label)
            hashes[rows] = np.from_dlpack(batch.column("hash"))
    return hashes, targets


def read_texts(folder: Path) -> Iterator[list[str]]:
    """Yield the texts in the order of the file, in chunks."""
    with open_parquet(folder / "samples.parquet") as file:
        for batch in file.iter_batches(TEXTS_PER_CHUNK, columns=["text"]):
            yield batch.column(0).to_pylist()
