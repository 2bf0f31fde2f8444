"""The user's own texts: CSV, JSON lines or Parquet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .dataset import hash_file
from .tables import check_columns, read_rows
from .text import TextData


class TextFile(TextData):
    """The rows of one file.

    Args:
        path: A .csv with a header, .jsonl or .parquet file.
        text: Column with the text.
        label: Column with the label.
        **kwargs: See `TextData`.
    """

    def __init__(self, path: str, text: str = "text", label: str = "label", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = Path(path)
        self.input_column = text
        self.label = label

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for place, row, problem in check_columns(read_rows(self.path), self.input_column, self.label):
            if row is None:
                raise UsageError(f"{place}: {problem}")
            yield place, {"text": row.get(self.input_column), "label": row.get(self.label)}

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"text": self.input_column, "label": self.label}

    def fingerprint(self) -> str:
        if not self.path.is_file():
            next(read_rows(self.path))  # says what is wrong with it
        return hash_file(self.path)
