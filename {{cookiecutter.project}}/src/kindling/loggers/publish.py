"""Show a picture or a table in every logger that can; the CSV file cannot."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CometLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from ..tables import csv_text, markdown_table


@rank_zero_only
def publish_image(loggers: Iterable[Logger], name: str, path: Path, draw: Callable[[Path], None] | None = None) -> None:
    """Show the picture in the file at `path` under `name`; a logger that keeps files gets this one.

    Args:
        loggers: The loggers.
        name: Of the picture.
        path: A PNG file, or another that `draw` has drawn.
        draw: Draws it into a file of another format.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            with _png(path, draw) as png:
                logger.log_image(name, [str(png)])
        elif isinstance(logger, TensorBoardLogger):
            with _png(path, draw) as png:
                logger.experiment.add_image(name, _pixels(png), dataformats="HWC")
            logger.experiment.flush()
        elif isinstance(logger, CometLogger):  # which sends it later
            if path.suffix == ".png":
                logger.experiment.log_image(str(path), name)
            else:
                logger.experiment.log_asset(str(path))
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_artifact(logger.run_id, str(path))


@rank_zero_only
def publish_table(loggers: Iterable[Logger], name: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Show a table under `name`; a logger that has none shows its Markdown, or keeps it as a CSV file."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_table(name, columns, rows)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(
                name, markdown_table([columns, *([str(value) for value in row] for row in rows)])
            )
            logger.experiment.flush()
        elif isinstance(logger, CometLogger):
            logger.experiment.log_table(f"{name}.csv", rows, columns)
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_text(logger.run_id, csv_text(columns, rows), f"{name}.csv")


@contextmanager
def _png(path: Path, draw: Callable[[Path], None] | None) -> Iterator[Path]:
    """Give the picture as a PNG file, which may be gone afterwards."""
    if path.suffix == ".png" or draw is None:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        draw(png := Path(folder, f"{path.stem}.png"))
        yield png


def _pixels(path: Path) -> Any:
    import numpy as np  # both here, as most runs publish nothing
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
