"""Rows in, predictions out, from a checkpoint alone."""

import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..data.batch import Batch
from ..data.file import check_delimiter
from ..data.progress import show_progress
from ..data.readers import Row, read_rows
from ..data.writers import write_rows
from ..errors import UsageError
from .load import load_data, load_task

log = logging.getLogger(__name__)

ROWS_PER_CHUNK = 10_000
ROWS_PER_STEP = 1_000  # of the progress that is shown


class Predictor:
    """The model of a checkpoint, on the GPU if there is one.

    >>> predictor = Predictor("runs/2026-11-20/12-00-00/checkpoints/best.ckpt")
    >>> predictor([{"text": "Open a socket and send a request."}])
    [{'prediction': 'networking', 'probability_concurrency': 0.01, ...}]

    Raises:
        UsageError: The file is no checkpoint, its config names what is not trusted, or task or data lack a method.
    """

    def __init__(self, checkpoint: str | Path) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.task: Any = load_task(checkpoint).to(self.device)
        self.data: Any = load_data(checkpoint)
        missing = [f"{type(part).__name__}.{name}()" for part, name in self._needs() if not hasattr(part, name)]
        if missing:
            raise UsageError(
                f"checkpoint={checkpoint}: to predict from rows it would need {' and '.join(missing)}: "
                "encode(rows) returns the model's inputs, row(prediction, classes) the columns of one row"
            )

    def _needs(self) -> list[tuple[Any, str]]:
        return [(self.task, "row"), (self.data, "encode"), (self.data, "size"), (self.data, "problem")]

    def __call__(self, rows: Sequence[Row], batch_size: int = 64) -> list[Row]:
        """Return a prediction for each row, in the order of the rows.

        Args:
            rows: Rows with the columns that the model was trained on.
            batch_size: Rows per batch; texts of like length share one.
        """
        order = sorted(range(len(rows)), key=lambda number: self.data.size(rows[number]))
        predictions: dict[int, Row] = {}
        for start in range(0, len(order), batch_size):
            numbers = order[start : start + batch_size]
            inputs = self.data.encode([rows[number] for number in numbers])
            with torch.inference_mode():
                batch = Batch({name: tensor.to(self.device) for name, tensor in inputs.items()}, None, len(numbers))
                output = self.task.predict_step(batch, 0)
            for number, prediction in zip(numbers, output.float().cpu(), strict=True):
                predictions[number] = self.task.row(prediction, self.data.classes)
        return [predictions[number] for number in range(len(rows))]

    def predict(
        self,
        rows: Iterable[tuple[str, Row | None, str]],
        column: str | Sequence[str] | None = None,
        batch_size: int = 64,
    ) -> Iterator[Row]:
        """Yield each row with its prediction, in order; one that can't be used has an `error` instead, which is logged.

        Args:
            rows: What `read_rows` yields.
            column: Column to predict from, or several in the order of training, if they are not named as there.
            batch_size: Rows per batch.

        Raises:
            UsageError: The rows lack a column, or batches would be empty.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size={batch_size}: expected 1 or more")
        rows, source = iter(rows), None
        while chunk := list(itertools.islice(rows, ROWS_PER_CHUNK)):
            source = source or self._find_columns(chunk, column)
            found = [self._check(row, source, problem) for _, row, problem in chunk]
            predictions = iter(self([row for row, _ in found if row is not None], batch_size))
            for (place, original, _), (row, problem) in zip(chunk, found, strict=True):
                if row is None:
                    log.warning("%s: %s", place, problem)
                result = {"prediction": None, "error": problem} if row is None else next(predictions)
                yield (original or {}) | result

    def predict_file(
        self,
        source: str | Path,
        output: str | Path,
        column: str | Sequence[str] | None = None,
        batch_size: int = 64,
        delimiter: str | None = None,
    ) -> Counter[bool]:
        """Write each row of a file with its prediction, and return how many have one (True) and how many have none.

        Args:
            source: A file that `read_rows` reads, or "-".
            output: A file that `write_rows` writes, or "-".
            column: As in `predict`.
            batch_size: Rows per batch.
            delimiter: Of a .csv file; without it that is found.
        """
        counts: Counter[bool] = Counter()

        def counted(chunks: Iterable[list[Row]]) -> Iterator[Row]:
            for chunk in chunks:
                counts.update(row["prediction"] is not None for row in chunk)
                yield from chunk

        predictions = self.predict(read_rows(source, check_delimiter(delimiter, "delimiter")), column, batch_size)
        chunks = iter(lambda: list(itertools.islice(predictions, ROWS_PER_STEP)), [])
        write_rows(output, counted(chunks if str(output) == "-" else show_progress(chunks, "rows")))
        return counts

    def _find_columns(
        self, chunk: list[tuple[str, Row | None, str]], given: str | Sequence[str] | None
    ) -> tuple[str, ...] | None:
        """Return the columns of the rows that stand for those of training; None where no row could be read."""
        own = self.data.input_columns
        wanted = own if given is None else (given,) if isinstance(given, str) else tuple(given)
        columns = list(dict.fromkeys(name for _, row, _ in chunk for name in row or ()))
        if not columns:
            return None
        if len(wanted) != len(own):
            raise UsageError(
                f"column={','.join(wanted)}: the model was trained on {len(own)} columns: {', '.join(own)}"
            )
        if not (missing := [name for name in wanted if name not in columns]):
            return wanted
        if columns == ["text"] and len(wanted) == 1 and given is None:  # lines have no names
            return ("text",)
        raise UsageError(
            f"{chunk[0][0]}: no column {missing[0]!r} among {', '.join(columns)}; name yours with column=..."
        )

    def _check(self, row: Row | None, columns: tuple[str, ...] | None, problem: str) -> tuple[Row | None, str]:
        if row is None or columns is None:
            return None, problem
        row = {own: row.get(given) for own, given in zip(self.data.input_columns, columns, strict=True)}
        problem = self.data.problem(row)
        return (None, problem) if problem else (row, "")
