"""The pictures of a report, in files of a chosen format and in every logger that shows pictures."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from ..formats import check_format
from ..loggers.publish import publish_image


class Drawn:
    """What was drawn, and how, as a logger may want the pixels of a picture whose file has none.

    Args:
        format: "png", "svg" or "pdf".

    Raises:
        UsageError: There is no such format.
    """

    def __init__(self, format: str) -> None:
        self.format = check_format(format, "callbacks.report.format")
        self._how: dict[str, tuple[Path, Callable[[Path], None]]] = {}

    def draw(self, name: str, file: Path, function: Callable[..., None], *arguments: Any) -> None:
        """Let a function draw into `file`, which gets the end that its format has; loggers know it by `name`."""
        path, how = file.with_name(f"{file.name}.{self.format}"), partial(_call, function, arguments)
        how(path)
        self._how[name] = path, how

    def publish(self, name: str, loggers: Iterable[Logger]) -> None:
        """Show a picture in the loggers, if it was drawn."""
        if name in self._how:
            publish_image(loggers, name, *self._how[name])


def _call(function: Callable[..., None], arguments: tuple[Any, ...], path: Path) -> None:
    function(path, *arguments)
