"""The report of a run: its curves, its predictions of the test samples, and what its best checkpoint is."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ..checkpoints.config import config_of, read_config
from ..checkpoints.io import read
from ..errors import Interrupted, UsageError
from ..files import new_file
from ..loggers.publish import publish_table
from ..runs.history import History
from ..runs.name import run_name
from ..tables import write_csv
from .drawn import Drawn
from .harmless import without_harm
from .outcomes import Outcomes
from .page import Summary, data_facts, hyperparameters, is_page, training_facts, validated
from .places import gather, measured, monitored, monitoring, place, rate

LOG = "csv/steps.csv"  # in the run's folder; it may have more learning rates than there are metrics


class Report(Callback):
    """Draw what a run showed, when training ends, is interrupted, or has been tested.

    In the run's folder: `curves.png`; of the test samples `confusion_matrix.png` or `predictions.png`,
    `predictions.csv` and `samples.csv`, if `task.row` says what was predicted. Beside each best checkpoint: a picture
    and a page of Markdown that sum it up.

    Args:
        dirpath: The run's folder.
        include: Patterns of the hyperparameters that are shown, as in `CheckpointIO`; null for all.
        exclude: Patterns of those that are not.
        exceptions: Patterns of those that are shown all the same.
        samples: Test samples in the table, with what the data module's `show` makes of them; zero for none.
        every_improvement: Whether the picture and the page are drawn in each epoch that brought a new best checkpoint.
        tested: Whether the best checkpoint is tested right after training; its report waits for those metrics.
        format: Of the pictures: png, svg or pdf.
    """

    def __init__(
        self,
        dirpath: str | Path,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        exceptions: Sequence[str] = (),
        samples: int = 50,
        every_improvement: bool = False,
        tested: bool = False,
        format: str = "png",
    ) -> None:
        if samples < 0:
            raise UsageError(f"callbacks.report.samples={samples}: expected 0 or more")
        self.folder = Path(dirpath)
        self.patterns = (None if include is None else list(include), list(exclude), list(exceptions))
        self.samples = samples
        self.every_improvement = every_improvement
        self.tested = tested
        self.drawn = Drawn(format)
        self.history = History()
        self._metrics: dict[str, float] = {}  # of the best checkpoint, tested after training
        self._ended: tuple[float, int] | None = None  # epoch and step of an end whose training metrics are yet to come
        self._resumed_at: float | None = None
        self._seconds = 0.0  # of training, before
        self._since: float | None = None
        self._saved: dict[Path, float] = {}  # when the checkpoints were saved that have a report
        self._waits: Path | None = None  # the best checkpoint, until it has been tested
        self._outcomes: Outcomes | None = None  # of the test; None if something is missing for them

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == 0:
            self.history, self._seconds = History(), 0.0
            self.history.note(0.0, 0, rate(trainer))
        if self._resumed_at is not None:
            self.history.resumed.append(self._resumed_at)
        self._since, self._resumed_at = time.monotonic(), None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._metrics = measured(trainer, "val")
        elif trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.history.note(*place(trainer), rate(trainer) | measured(trainer, "val"))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended = place(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note_end(trainer)
        if self.every_improvement:
            self._improve(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note_end(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.tested and trainer.checkpoint_callback:
            self._waits = Path(getattr(trainer.checkpoint_callback, "best_model_path", ""))
        self._sum_up(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if trainer.state.fn != "fit":
            self._wait_no_longer(trainer)
        elif isinstance(exception, Interrupted | KeyboardInterrupt):
            self._sum_up(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "test":
            self._wait_no_longer(trainer)  # of no batches

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._note_end(trainer)  # the metrics of this epoch are there now, for callbacks that save
        seconds = self._seconds + (time.monotonic() - self._since if self._since is not None else 0.0)
        checkpoint["report"] = self.history.state_dict() | {"seconds": seconds}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn != "fit" or "report" not in checkpoint:
            return
        self.history.load_state_dict(checkpoint["report"])
        self._seconds, self._since = checkpoint["report"]["seconds"], None
        if resume := checkpoint.get("resume"):
            self._resumed_at = resume["epochs"] - 1 + resume["batches"][0] / resume["batches"][1]

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._outcomes = Outcomes(list(getattr(trainer.datamodule, "classes", ())))  # type: ignore[attr-defined]

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._collect(trainer, outputs, batch)

    @without_harm
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        outcomes = gather(trainer, self._outcomes)
        self._outcomes, self._waits = None, None
        if not trainer.is_global_zero:
            return
        self._metrics |= measured(trainer, "test")
        if outcomes:
            self._show_outcomes(trainer, outcomes)
        if trainer.ckpt_path:
            checkpoint = Path(trainer.ckpt_path)
            self._draw_checkpoint(trainer, checkpoint, monitored(trainer, checkpoint), self._metrics)
            self.drawn.publish("report", trainer.loggers)
        self.drawn.publish("curves", trainer.loggers)

    @without_harm
    def _collect(self, trainer: Trainer, outputs: Any, batch: Any) -> None:
        """Note what a batch of the test came to, if the task says what it predicted and the data which samples it has.

        What is missing in one batch is missing in the report: it shows all test samples or none.
        """
        outcomes, self._outcomes = self._outcomes, None
        task, step = trainer.lightning_module, getattr(batch, "step", None)
        if outcomes is None or step is None or not hasattr(task, "row") or not isinstance(outputs, torch.Tensor):
            return
        if step.counts:
            outcomes.add(task, outputs, batch)
        self._outcomes = outcomes

    def _note_end(self, trainer: Trainer) -> None:
        if self._ended:
            self.history.note(*self._ended, rate(trainer) | measured(trainer, "train"))
            self._ended = None

    def _wait_no_longer(self, trainer: Trainer) -> None:
        if self._waits:
            self._waits = None
            self._improve(trainer)

    @without_harm
    def _sum_up(self, trainer: Trainer) -> None:
        """Draw the curves, and a report beside each best checkpoint."""
        if not trainer.is_global_zero or not self.history.names():
            return
        from .pictures import Curves, draw_curves

        config = config_of(trainer.lightning_module)
        best = self.history.best(config["monitor"], config["mode"]) if "monitor" in config else None
        curves = Curves(self.history, self.folder / LOG, best)
        self.drawn.draw("curves", self.folder / "curves", draw_curves, curves, run_name(self.folder))
        self._saved = {}
        self._improve(trainer)

    @without_harm
    def _improve(self, trainer: Trainer) -> None:
        """Draw a report beside each best checkpoint that is new, and remove those whose checkpoint is gone."""
        if not trainer.is_global_zero:
            return
        for callback in monitoring(trainer):
            for path in map(Path, callback.best_k_models):
                if path != self._waits and path.exists() and self._saved.get(path) != path.stat().st_mtime:
                    self._draw_checkpoint(trainer, path, callback.monitor)
                    self._saved[path] = path.stat().st_mtime
            for page in Path(callback.dirpath or self.folder).glob("*.md"):
                if not page.with_suffix(".ckpt").exists() and is_page(page):
                    page.unlink()
                    # In the format that is drawn, and no other: best.pdf may be a page that somebody has printed.
                    page.with_suffix(f".{self.drawn.format}").unlink(missing_ok=True)

    def _draw_checkpoint(
        self, trainer: Trainer, path: Path, monitor: str | None, metrics: dict[str, float] | None = None
    ) -> None:
        from .pictures import Curves, draw_report

        checkpoint = read(path, mmap=True)
        best = self.history.at(checkpoint["global_step"], monitor) if monitor else None
        metrics = metrics or validated(checkpoint)
        config = read_config(checkpoint)
        sections = {
            "hyperparameters": hyperparameters(config, *self.patterns),
            "training": training_facts(path, checkpoint, best, metrics),
            "data": data_facts(trainer.datamodule),  # type: ignore[attr-defined]
        }
        summary = Summary(path, self.folder, sections, metrics, config.get("overrides", []), self.drawn.format)
        curves = Curves(self.history, self.folder / LOG, best)
        self.drawn.draw("report", path.with_suffix(""), draw_report, summary, curves)
        with new_file(path.with_suffix(".md")) as new:
            new.write_text(summary.markdown(), encoding="utf-8")

    def _show_outcomes(self, trainer: Trainer, outcomes: Outcomes) -> None:
        from .pictures import draw_matrix, draw_scatter

        outcomes.write(self.folder / "predictions.csv")
        if outcomes.are_classes:
            picture, arguments = self.folder / "confusion_matrix", (outcomes.matrix(), outcomes.classes)
            self.drawn.draw(picture.name, picture, draw_matrix, *arguments)
            self.drawn.publish(picture.name, trainer.loggers)
        elif outcomes.are_numbers:
            picture, numbers = self.folder / "predictions", (outcomes.actual, outcomes.predicted)
            self.drawn.draw(picture.name, picture, draw_scatter, *map(np.array, numbers))
            self.drawn.publish(picture.name, trainer.loggers)
        if self.samples:
            show = getattr(trainer.datamodule, "show", None)  # type: ignore[attr-defined]
            columns, rows = outcomes.samples(self.samples, show)
            write_csv(self.folder / "samples.csv", columns, rows)
            publish_table(trainer.loggers, "samples", columns, rows)
