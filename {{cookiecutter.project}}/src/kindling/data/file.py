"""Texts in a file of your own: CSV, JSON lines or Parquet."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import project
from ..errors import UsageError, did_you_mean, short
from . import store
from .download import check_digest, download
from .faults import BAD_ROWS, Faults
from .folder import is_dataset
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
        sha256: Its SHA-256, or the first digits of it; another file is refused.
        delimiter: What separates the columns of a .csv file; without it that is found.
        bad_rows: "refuse", which is the default, or "skip" rows that can't be used.
        **kwargs: See `TextData`.
    """

    def __init__(
        self,
        path: str,
        text: str | Sequence[str] = "text",
        label: str = "label",
        url: str | None = None,
        sha256: str | None = None,
        delimiter: str | None = None,
        bad_rows: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        bad_rows = bad_rows or BAD_ROWS[0]
        if bad_rows not in BAD_ROWS:
            raise UsageError(f"data.bad_rows={bad_rows}: there is no such choice{did_you_mean(bad_rows, BAD_ROWS)}")
        self.url = url
        self.sha256 = check_digest(sha256)
        self.path = Path(path)
        self.name_texts(text)
        self.label = label
        self.delimiter = check_delimiter(delimiter)
        self.bad_rows = bad_rows
        self.faults = Faults(bad_rows)

    @property
    def remedy(self) -> str:
        return super().remedy + ", or leave such rows out with data.bad_rows=skip"

    def samples(self) -> Iterator[tuple[str, Row]]:
        columns = [*self.input_columns, *([self.label] if "label" in self.schema.names else [])]
        for place, row, problem in check_columns(read_rows(self.path, self.delimiter, columns), *columns):
            if row is None:
                self.faults.add(place, problem)
            else:
                yield place, self._rename(row) | {"label": row.get(self.label)}

    def settings(self) -> dict[str, Any]:
        text = self.input_columns[0] if len(self.input_columns) == 1 else list(self.input_columns)
        return super().settings() | {"text": text, "label": self.label}

    def fingerprint(self) -> str:
        if self.path.is_file():
            found = hash_file(self.path)
            if self.sha256 and not found.startswith(self.sha256):
                raise UsageError(f"data.sha256={self.sha256}: {self.path} is another file, its SHA-256 is {found}")
            return found
        if self.url:
            download(self.url, self.path, self.sha256)
        try:
            next(check_columns(read_rows(self.path, self.delimiter), *self.input_columns), None)
        except UsageError:
            if self.url and self.path.is_file():  # what was downloaded is not what was meant
                self.path.unlink()
            raise
        return hash_file(self.path)

    def about(self) -> dict[str, Any]:
        return {"file": {"path": self._place(), "bytes": self.path.stat().st_size}}

    def make(self) -> dict[str, Any]:
        before = store.facts(self.dir) if is_dataset(self.dir) else {}
        made = super().make()
        if (other := self._other_place(before)) and before["hash"] != made["hash"]:
            log.warning(
                "%s was made from %s before; a folder for each, with data.dir=..., keeps both", short(self.dir), other
            )
        return made

    def check_source(self) -> None:
        """Say in a line that the file has changed since the dataset was made, as far as it is there to be compared.

        Raises:
            UsageError: The dataset was made from another file, such as one of the same name in another folder.
        """
        facts = store.facts(self.dir)
        other, made = self._other_place(facts), f"{short(self.dir)} was made from "
        if not self.path.is_file():
            if other:
                log.warning("%s%s; there is no file data.path=%s to compare with it", made, other, self.path)
        elif not self._is_that_of(facts):
            if other:
                remedy = "run make_dataset.py with the same options, or give each file a folder with data.dir=..."
                raise UsageError(f"data.path={self.path}: {made}{other}; {remedy}")
            log.warning(
                "%s has changed since %s was made from it; make_dataset.py makes it anew", self.path, short(self.dir)
            )

    def _place(self) -> str:
        """Return the path of the file, relative to the project's folder if it is inside."""
        path, root = os.path.abspath(self.path), project.root()
        return Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else path

    def _other_place(self, facts: dict[str, Any]) -> str:
        """Return the path that the dataset was made from, if it is another one."""
        place: str = facts.get("file", {}).get("path", "")
        return "" if place == self._place() else place

    def _is_that_of(self, facts: dict[str, Any]) -> bool:
        """Whether the file has the content that the dataset was made from."""
        file, stated = self.path.stat(), facts.get("file", {})
        if "bytes" in stated and stated["bytes"] != file.st_size:
            return False
        is_older = file.st_mtime < Path(self.dir, "dataset.json").stat().st_mtime
        if stated and is_older and not self._other_place(facts):
            return True
        return bool(hash_file(self.path) == facts["settings"].get("fingerprint"))


def check_delimiter(delimiter: str | None, option: str = "data.delimiter") -> str | None:
    """Return the delimiter, a tab where it is written with a backslash; None where there is none.

    Raises:
        UsageError: It is not one character.
    """
    found = {"\\t": "\t", "tab": "\t"}.get(str(delimiter), delimiter)
    if found is not None and (not isinstance(found, str) or len(found) != 1 or found in '"\r\n'):
        raise UsageError(f"{option}={delimiter}: expected one character, such as ';' in quotes, or tab")
    return found
