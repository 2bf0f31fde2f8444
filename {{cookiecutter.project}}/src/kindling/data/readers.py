"""Read rows of CSV, JSON lines, Parquet and plain text, one at a time and with their place in the file."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError, did_you_mean
from .content import check_content, check_encoding, find_delimiter

Row = dict[str, Any]
FORMATS = (".csv", ".jsonl", ".parquet", ".txt")


def read_rows(
    path: str | Path, delimiter: str | None = None, columns: Sequence[str] = ()
) -> Iterator[tuple[str, Row | None, str]]:
    """Yield (place, row, problem) for each row; a row that can't be read is None and `problem` says why.

    Args:
        path: A .csv with a header, .jsonl, .parquet or .txt file; "-" reads plain lines from the standard input.
        delimiter: What separates the columns of a .csv file; without it that is found.
        columns: Those that are needed; others of a .parquet file are not read.

    Raises:
        UsageError: The file is missing, damaged, of another kind, or not encoded in UTF-8.
    """
    if str(path) == "-":
        yield from _standard_input()
        return
    path = Path(path)
    if not path.is_file():
        nearby = [other.name for other in path.parent.glob("*") if other.suffix.lower() in FORMATS]
        raise UsageError(f"{path}: no such file{did_you_mean(path.name, nearby)}")
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise UsageError(f"{path}: can't read {kind or 'a file without a suffix'}; use one of {', '.join(FORMATS)}")
    check_content(path)
    if kind == ".parquet":
        yield from _parquet(path, columns)
        return
    check_encoding(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        if kind == ".csv":
            yield from _csv(file, path.name, delimiter or find_delimiter(path))
        else:
            yield from (_jsonl if kind == ".jsonl" else _lines)(file, path.name)


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a file to be read in batches."""
    # Without these a batch stays in memory until the file is closed, and a row group is read whole.
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)


def check_columns(rows: Iterator[tuple[str, Row | None, str]], *columns: str) -> Iterator[tuple[str, Row | None, str]]:
    """Pass `rows` on.

    Raises:
        UsageError: The first readable row lacks one of the columns.
    """
    checked = False
    for place, row, problem in rows:
        if row is not None and not checked:
            for column in columns:
                if column not in row:
                    names = ", ".join(row)
                    raise UsageError(
                        f"{place}: no column {column!r} among {names}; name yours with data.text, data.label"
                    )
            checked = True
        yield place, row, problem


def _csv(file: TextIO, name: str, delimiter: str) -> Iterator[tuple[str, Row | None, str]]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(
        file, delimiter=delimiter, strict=True
    )  # else a quote that is never closed swallows the rest of the file
    header = next(reader, None)
    if header is None:
        raise UsageError(f"{name}: the file is empty; its first line has to name the columns")
    if twice := [column for column, count in Counter(header).items() if count > 1]:
        raise UsageError(f"{name}: two columns are called {twice[0]!r}")
    number = 0
    while True:
        line = reader.line_num + 1
        try:
            values, problem = next(reader), ""
        except StopIteration:
            return
        except csv.Error as error:
            values, problem = None, f"not CSV ({error})"
        if values == []:  # an empty line
            continue
        number += 1
        if values and len(values) != len(header):
            problem = f"{len(values)} values for {len(header)} columns"
        place = f"{name}, row {number} (line {line})"
        yield place, None if problem else dict(zip(header, values or [], strict=True)), problem


def _jsonl(file: TextIO, name: str) -> Iterator[tuple[str, Row | None, str]]:
    for number, line in enumerate(file, start=1):
        place = f"{name}, row {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if "\\u" in line:  # half of a surrogate pair is no text: nothing can write it again
                json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            yield place, None, f"not JSON ({error})"
            continue
        yield (place, row, "") if isinstance(row, dict) else (place, None, "not a JSON object")


def _lines(file: TextIO, name: str) -> Iterator[tuple[str, Row | None, str]]:
    for number, line in enumerate(file, start=1):
        yield f"{name}, row {number}", {"text": line.rstrip("\r\n")}, ""


def _standard_input() -> Iterator[tuple[str, Row | None, str]]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        place = f"standard input, row {number}"
        try:
            yield place, {"text": line.decode("utf-8").rstrip("\r\n")}, ""
        except UnicodeDecodeError as error:
            yield place, None, f"not UTF-8 ({error})"


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, Row | None, str]]:
    try:
        file = open_parquet(path)
    except PermissionError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{path}: not a Parquet file ({_in_one_line(error)})") from None
    number = 0
    with file:
        chosen = list(columns) if columns and set(columns) <= set(file.schema_arrow.names) else None
        batches = file.iter_batches(1_000, columns=chosen)
        while True:
            try:
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            # What is no UTF-8, a date out of Python's range, an unknown time zone, a page that is cut off
            except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError) as error:
                raise UsageError(f"{path}: damaged in or after row {number + 1} ({_in_one_line(error)})") from None
            if batch is None:
                return
            for row in rows:
                number += 1
                yield f"{path.name}, row {number}", row, ""


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
