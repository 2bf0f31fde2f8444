"""Read rows of CSV, JSON lines, Parquet and plain text, one at a time and with their place in the file."""

import codecs
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError, did_you_mean

Row = dict[str, Any]
FORMATS = (".csv", ".jsonl", ".parquet", ".txt")


def read_rows(path: str | Path) -> Iterator[tuple[str, Row | None, str]]:
    """Yield (place, row, problem) for each row; a row that can't be read is None and `problem` says why.

    Args:
        path: A .csv with a header, .jsonl, .parquet or .txt file; "-" reads plain lines from the standard input.

    Raises:
        UsageError: The file is missing, of another kind, or not encoded in UTF-8.
    """
    if str(path) == "-":
        yield from _standard_input()
        return
    path = Path(path)
    if not path.is_file():
        nearby = [other.name for other in path.parent.glob("*") if other.suffix.lower() in FORMATS]
        raise UsageError(f"{path}: no such file{did_you_mean(path.name, nearby)}")
    if path.suffix.lower() == ".parquet":
        yield from _parquet(path)
        return
    readers = {".csv": _csv, ".jsonl": _jsonl, ".txt": _lines}
    if path.suffix.lower() not in readers:
        raise UsageError(
            f"{path}: can't read {path.suffix.lower() or 'a file without a suffix'}; use one of {', '.join(FORMATS)}"
        )
    _check_encoding(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from readers[path.suffix.lower()](file, path.name)


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


def _csv(file: TextIO, name: str) -> Iterator[tuple[str, Row | None, str]]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(file, strict=True)  # else a quote that is never closed swallows the rest of the file
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
        except ValueError as error:
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


def _parquet(path: Path) -> Iterator[tuple[str, Row | None, str]]:
    try:
        file = open_parquet(path)
    except pa.ArrowInvalid as error:
        raise UsageError(f"{path}: not a Parquet file ({error})") from None
    number = 0
    with file:
        for batch in file.iter_batches(1_000):
            for row in batch.to_pylist():
                number += 1
                yield f"{path.name}, row {number}", row, ""


def _check_encoding(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 16):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise UsageError(_first_bad_byte(path)) from None


def _first_bad_byte(path: Path) -> str:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x} is not UTF-8"
                return f"{path}, line {number}: {byte}; save the file in UTF-8 (iconv -t utf-8)"
    raise AssertionError(f"{path} changed meanwhile")
