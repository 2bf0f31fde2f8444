"""A dataset on disk: `samples.parquet` and the facts about it in `dataset.json`."""

import hashlib
import json
import logging
import math
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError, short

log = logging.getLogger(__name__)

FORMAT = 1  # raised when the files change their meaning, so that older datasets are made anew
ROWS_PER_CHUNK = 10_000
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir()
    try:
        facts = _write(new, rows, settings)
        if folder.exists():
            folder.rename(old)
            new.rename(folder)
            shutil.rmtree(old)
        else:
            new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if not any(folder.parent.iterdir()):  # a first dataset that failed leaves no empty data/
            folder.parent.rmdir()
    return facts


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
    position = hashes / 2.0**64
    test = position < TEST_SHARE
    # The low bits are independent of the position, which the high bits decide.
    val = hashes % np.uint64(folds) == np.uint64(fold) if folds else position < 2 * TEST_SHARE
    return {
        name: np.flatnonzero(rows) for name, rows in [("train", ~val & ~test), ("val", val & ~test), ("test", test)]
    }


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


def hash_file(path: Path) -> str:
    """Return the SHA-256 of the file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder: Path, rows: Iterable[tuple[str, dict[str, Any]]], settings: dict[str, Any]) -> dict[str, Any]:
    content = hashlib.sha256()
    classes: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    schema = SCHEMA[settings["labels"]]
    with pq.ParquetWriter(folder / "samples.parquet", schema) as writer:
        samples = (_check(where, row, settings["labels"]) for where, row in rows)
        while chunk := list(islice(samples, ROWS_PER_CHUNK)):
            writer.write_table(pa.Table.from_pylist(chunk, schema))
            content.update(json.dumps(chunk).encode())
            if settings["labels"] == "classes":
                classes.update(sample["label"] for sample in chunk)
            hashes = np.array([sample["hash"] for sample in chunk], dtype=np.uint64)
            splits.update({name: len(found) for name, found in split(hashes, None, 0).items()})
            if len(chunk) == ROWS_PER_CHUNK:
                log.info("%d samples so far", sum(splits.values()))
    _check_size(classes, splits, settings["labels"])
    facts = {
        "format": FORMAT,
        "settings": settings,
        "hash": content.hexdigest(),
        "num_samples": sum(splits.values()),
        "splits": dict(splits),
        "classes": dict(sorted(classes.items())),
    }
    Path(folder, "dataset.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return facts


def _check(where: str, row: dict[str, Any], labels: str) -> dict[str, Any]:
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
    return {"text": text, "label": label if labels == "numbers" else name, "hash": hash_text(text)}


def _check_size(classes: Counter[str], splits: Counter[str], labels: str) -> None:
    if empty := [name for name in ("train", "val", "test") if not splits[name]]:
        raise UsageError(
            f"the dataset has {sum(splits.values())} samples, too few for a {empty[0]} split; add some (100 or more)"
        )
    if labels == "classes" and len(classes) < 2:
        raise UsageError(f"every label is {next(iter(classes))!r}; a classifier needs two classes or more")


def read_targets(folder: Path, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes and the targets, each of shape (N,).

    Targets are class numbers (int64), or the labels themselves (float32) if `classes` is empty.
    """
    with pq.ParquetFile(folder / "samples.parquet") as file:
        table = file.read(columns=["label", "hash"])
    label = table["label"]
    if classes:
        numbers = {name: number for number, name in enumerate(classes)}
        targets = np.fromiter((numbers[name] for name in label.to_pylist()), dtype=np.int64, count=len(label))
    else:
        targets = _to_numpy(label).astype(np.float32)
    return _to_numpy(table["hash"]), targets


def _to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    # Neither `column.to_numpy` nor `pq.read_table`: both import pandas, which takes a second.
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks])


def read_texts(folder: Path) -> Iterator[list[str]]:
    """Yield the texts in the order of the file, in chunks."""
    with pq.ParquetFile(folder / "samples.parquet") as file:
        for batch in file.iter_batches(ROWS_PER_CHUNK, columns=["text"]):
            yield batch.column(0).to_pylist()
