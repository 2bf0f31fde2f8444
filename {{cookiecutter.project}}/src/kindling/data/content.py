"""What a file holds, whatever its name says: whether that is data, in which encoding, and what separates columns."""

import codecs
import csv
import io
import sys
from pathlib import Path

from ..errors import UsageError

DELIMITERS = (",", ";", "\t", "|")
BEGINNING = 1 << 16  # bytes that are read to find the delimiter
ROWS = 20  # of them that are compared
OTHERS = {
    b"version https://git-lfs.github.com/spec/": "a pointer of Git LFS, not the file; get it with git lfs pull",
    b"\x1f\x8b": "packed with gzip; unpack it first",
    b"PK\x03\x04": "a ZIP archive or a workbook of Excel; unpack it, or save it as CSV",
}
PAGES = (b"<!doctype html", b"<html")


def check_content(path: Path) -> None:
    """Refuse a file that is none of data, though its name ends like one.

    Raises:
        UsageError: It is a pointer of Git LFS, a page of HTML, or an archive.
    """
    with path.open("rb") as file:
        start = file.read(512)
    kind = next((words for mark, words in OTHERS.items() if start.startswith(mark)), "")
    if (
        not kind
        and path.suffix.lower() != ".txt"
        and start.lstrip(codecs.BOM_UTF8 + b" \r\n\t").lower().startswith(PAGES)
    ):
        kind = "a page of HTML, not the file; download the file itself"
    if kind:
        raise UsageError(f"{path}: this is {kind}")


def check_encoding(path: Path) -> None:
    """Refuse a file that is not in UTF-8.

    Raises:
        UsageError: It is in another encoding; the message names the likely one.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 16):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise UsageError(_first_bad_byte(path)) from None


def find_delimiter(path: Path) -> str:
    """Return what separates the columns of a CSV file: a comma, unless another one plainly does.

    Another one does if it cuts each of the first rows into the same number of columns, the comma does not, and no third
    one does.
    """
    with path.open("rb") as file:
        start = file.read(BEGINNING)
    text = start.decode("utf-8-sig", errors="ignore")
    if len(start) == BEGINNING:  # the last line is cut off
        text = text[: text.rfind("\n") + 1] or text
    fitting = [delimiter for delimiter in DELIMITERS if _fits(text, delimiter)]
    return fitting[0] if "," in fitting or len(fitting) == 1 else ","


def _fits(text: str, delimiter: str) -> bool:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    counts = [len(row) for row, _ in zip(filter(None, reader), range(ROWS), strict=False)]
    return len(set(counts)) == 1 and counts[0] > 1


def _first_bad_byte(path: Path) -> str:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x} is not UTF-8"
                return f"{path}, line {number}: {byte}; {_advice(path, line)}"
    raise AssertionError(f"{path} changed meanwhile")


def _advice(path: Path, line: bytes) -> str:
    encoding = "utf-16" if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "windows-1252"
    try:
        line.decode(encoding, errors="ignore" if encoding == "utf-16" else "strict")
    except UnicodeDecodeError:
        return "save the file in UTF-8"
    name = "UTF-16" if encoding == "utf-16" else "Latin-1 (Windows-1252)"
    return f"it looks like {name}: iconv -f {encoding} -t utf-8 '{path.name}' > new{path.suffix}"
