"""Write rows to CSV, JSON lines or Parquet while they come."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError
from ..files import new_file
from .readers import Row

ROWS_PER_GROUP = 10_000  # in memory at once, on their way to Parquet


def check_output(path: str | Path) -> None:
    """Refuse early what `write_rows` can't write.

    Raises:
        UsageError: `path` is of another kind than .csv, .jsonl, .parquet or "-".
    """
    if str(path) != "-" and Path(path).suffix.lower() not in (".csv", ".jsonl", ".parquet"):
        raise UsageError(f"output={path}: can't write that; use a .csv, .jsonl or .parquet file, or -")


def write_rows(path: str | Path, rows: Iterable[Row]) -> None:
    """Write `rows`, whose columns may differ, to a file, or as JSON lines to the standard output for "-".

    A terminal gets the predictions alone.

    The file appears when all rows are written, and a part of the rows is held in memory.

    Raises:
        UsageError: `path` is of another kind, or the values of a column do not fit in one of Parquet.
    """
    check_output(path)
    if str(path) == "-":
        if sys.stdout.isatty():
            sys.stdout.writelines(f"{_answer(row)}\n" for row in rows)
        else:
            _write_jsonl(sys.stdout, rows)
        return
    path, rows = Path(path), iter(rows)
    first = list(islice(rows, 1))  # what is wrong with the input shows before a folder is made
    with new_file(path) as new:
        if path.suffix.lower() == ".parquet":
            _write_parquet(new, chain(first, rows), path)
        else:
            with new.open("w", encoding="utf-8", newline="") as file:
                (_write_csv if path.suffix.lower() == ".csv" else _write_jsonl)(file, chain(first, rows))


def _write_jsonl(file: TextIO, rows: Iterable[Row]) -> None:
    file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)


def _answer(row: Row) -> str:
    """Return what a person wants to know of a row, in one line that does nothing to a terminal."""
    answer, probability = row.get("prediction"), row.get(f"probability_{row.get('prediction')}")
    if answer is None:
        shown = f"- ({row['error']})" if "error" in row else json.dumps(row, ensure_ascii=False, default=str)
    else:
        shown = f"{answer:.6g}" if isinstance(answer, float) else str(answer)
        shown += "" if probability is None else f" {probability:.2f}"
    return "".join(character if character.isprintable() else "?" for character in shown)


def _write_csv(file: TextIO, rows: Iterable[Row]) -> None:
    """Write the rows twice, as the header has to name what the last row alone may have, such as an `error`."""
    columns: Row = {}
    with TemporaryFile("w+", encoding="utf-8", newline="", dir=Path(file.name).parent) as spool:
        writer = csv.writer(spool)
        for row in rows:
            columns |= dict.fromkeys(row)
            writer.writerow([row.get(column) for column in columns])
        spool.seek(0)
        csv.field_size_limit(sys.maxsize)
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(values + [""] * (len(columns) - len(values)) for values in csv.reader(spool))


def _write_parquet(new: Path, rows: Iterator[Row], path: Path) -> None:
    """Write the rows twice, in groups: each with the columns and types that it needs, then with those that all need."""
    schemas = [pa.schema([])]
    with TemporaryFile(dir=new.parent) as spool:
        while group := list(islice(rows, ROWS_PER_GROUP)):
            columns = dict.fromkeys(column for row in group for column in row)
            with _one_type_per_column(path):
                table = pa.Table.from_pylist([columns | row for row in group])
            schemas.append(table.schema)
            with pa.ipc.new_stream(spool, table.schema) as stream:
                stream.write_table(table)
        with _one_type_per_column(path):
            schema = pa.unify_schemas(schemas, promote_options="permissive")
        spool.seek(0)
        with pq.ParquetWriter(new, schema) as writer:
            for _ in schemas[1:]:
                table = pa.ipc.open_stream(spool).read_all()
                writer.write_table(pa.concat_tables([schema.empty_table(), table], promote_options="permissive"))


@contextmanager
def _one_type_per_column(path: Path) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise UsageError(f"output={path}: a column holds values of several types ({error}); use .jsonl") from None
