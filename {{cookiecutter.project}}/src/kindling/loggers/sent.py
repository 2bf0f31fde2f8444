"""What a service was sent: a run that goes on sends nothing twice."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class SentRows:
    """The rows of metrics that a service was sent, one per line in a file of the run's folder.

    Args:
        file: The file; each row is in it before the next one comes.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._sent: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """Return the rows from before, which are not sent again; a line that a crash cut off is none."""
        text = self.file.read_text(encoding="utf-8") if self.file.is_file() else ""
        self._sent = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return self._sent

    def unsent(self, metrics: Mapping[str, Any], step: int | None) -> dict[str, float] | None:
        """Return the numbers of a row, or None if it was sent before."""
        row = {name: float(value) for name, value in metrics.items()}
        return None if {**row, "step": step} in self._sent else row

    def add(self, row: dict[str, float], step: int | None) -> None:
        """Keep a row that has just been sent."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row | {"step": step}) + "\n")
