"""Texts in a file of your own: CSV, JSON lines or Parquet."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ..errors import UsageError
from .readers import Row, check_columns, read_rows
from .store import hash_file
from .text import TextData

log = logging.getLogger(__name__)


class TextFile(TextData):
    """The rows of one file.

    Args:
        path: A .csv with a header, .jsonl or .parquet file.
        text: Column with the text, or several columns.
        label: Column with the label, unless `labels` is "none".
        url: Where the file is downloaded from if it is not there.
        sha256: Its SHA-256, or the first digits of it; a download with another is refused.
        **kwargs: See `TextData`.
    """

    def __init__(
        self,
        path: str,
        text: str | Sequence[str] = "text",
        label: str = "label",
        url: str | None = None,
        sha256: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.url = url
        self.sha256 = sha256
        self.path = Path(path)
        self.name_texts(text)
        self.label = label

    def samples(self) -> Iterator[tuple[str, Row]]:
        columns = [*self.input_columns, *([self.label] if "label" in self.schema.names else [])]
        for place, row, problem in check_columns(read_rows(self.path), *columns):
            if row is None:
                raise UsageError(f"{place}: {problem}")
            yield place, self._rename(row) | {"label": row.get(self.label)}

    def settings(self) -> dict[str, Any]:
        text = self.input_columns[0] if len(self.input_columns) == 1 else list(self.input_columns)
        return super().settings() | {"text": text, "label": self.label}

    def fingerprint(self) -> str:
        if not self.path.is_file():
            if self.url:
                download(self.url, self.path, self.sha256)
            next(read_rows(self.path))  # says what is wrong with it
        return hash_file(self.path)


def download(url: str, path: Path, sha256: str | None = None) -> None:
    """Write what `url` gives to `path`, whole or not at all.

    Args:
        url: http, https, ftp or file.
        path: Its folder is made.
        sha256: The first digits of the SHA-256 that it has to have.

    Raises:
        UsageError: It can't be had, or is another file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("Downloading %s", url)
    try:
        torch.hub.download_url_to_file(url, str(path), sha256 and str(sha256).lower(), progress=sys.stderr.isatty())
    except (OSError, ValueError) as error:
        raise UsageError(f"data.url={url}: {error}; put the file at {path} yourself, or mend the address") from None
    except RuntimeError as error:  # torch's words for another hash
        raise UsageError(f"data.url={url}: {error}; it is another file than data.sha256 says") from None
    finally:
        with suppress(OSError):  # a download that failed leaves no empty folder
            path.parent.rmdir()
