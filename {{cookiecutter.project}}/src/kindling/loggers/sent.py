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

    def read(self) -> list[dict[str, Any]]:
        """Return the rows; a line that a crash cut off is none."""
        if not self.file.is_file():
            return []
        text = self.file.read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def add(self, metrics: Mapping[str, float], step: int | None) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        row = {name: float(value) for name, value in metrics.items()} | {"step": step}
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
