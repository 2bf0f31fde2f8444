"""The report of a run: its curves, its predictions of the test samples, and what its best checkpoint is."""

import functools
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from ..checkpoints.config import config_of, read_config
from ..checkpoints.io import read
from ..errors import Interrupted, UsageError
from ..files import new_file
from ..loggers.publish import publish_image, publish_table
from ..runs.history import Best, History
from ..runs.metrics import is_of
from ..runs.name import run_name
from ..tables import write_csv
from .outcomes import Outcomes, decide
from .page import Summary, data_facts, hyperparameters

log = logging.getLogger(__name__)

Hook = TypeVar("Hook", bound=Callable[..., None])


def _without_harm(hook: Hook) -> Hook:
    """Say in one line why there is no report: a training that has ended is worth more than its pictures."""

    @functools.wraps(hook)
    def call(*args: Any) -> None:
        try:
            hook(*args)
        except Exception as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            log.warning("No report: %s", " ".join(f"{reason} {getattr(error, 'filename', None) or ''}".split()))

    return call  # type: ignore[return-value]


class Report(Callback):
    """Draw what a run showed, when training ends, is interrupted, or has been tested.

    In the run's folder: `curves.png`; of the test samples `confusion_matrix.png` or `predictions.png`,
    `predictions.csv` and `samples.csv`. Beside each best checkpoint: a picture and a page of Markdown that sum it up.

    Args:
        dirpath: The run's folder.
        include: Patterns of the hyperparameters to tell, as in `CheckpointIO`; null for all.
        exclude: Patterns of those not to tell.
        exceptions: Patterns of those to tell all the same.
        samples: Test samples to show with their texts; zero for none.
        every_improvement: Whether the picture and the page are drawn in each epoch that brought a new best checkpoint.
        tested: Whether the best checkpoint is tested right after training; its report waits for those metrics.
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
    ) -> None:
        if samples < 0:
            raise UsageError(f"callbacks.report.samples={samples}: expected 0 or more")
        self.folder = Path(dirpath)
        self.patterns = (None if include is None else list(include), list(exclude), list(exceptions))
        self.samples = samples
        self.every_improvement = every_improvement
        self.tested = tested
        self.history = History()
        self._metrics: dict[str, float] = {}  # of the best checkpoint, evaluated after training
        self._ended: tuple[float, int] | None = None  # epoch and step of an end whose training metrics are yet to come
        self._resumed_at: float | None = None
        self._seconds = 0.0  # of training, before
        self._since: float | None = None
        self._drawn: dict[Path, float] = {}  # when the checkpoints were saved that have a report
        self._waits: Path | None = None  # the best checkpoint, until it has been tested
        self._decided: list[dict[str, torch.Tensor]] = []  # for each batch of the test

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == 0:
            self.history, self._seconds = History(), 0.0
            self.history.note(0.0, 0, _rate(trainer))
        if self._resumed_at is not None:
            self.history.resumed.append(self._resumed_at)
        self._since, self._resumed_at = time.monotonic(), None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._metrics = _measured(trainer, "val")
        elif trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.history.note(*_place(trainer), _rate(trainer) | _measured(trainer, "val"))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended = _place(trainer)

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
        self._decided = []

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if hasattr(pl_module, "row") and isinstance(outputs, torch.Tensor) and (decided := decide(outputs)):
            self._decided.append(decided)

    @_without_harm
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        outcomes = _gather(trainer, self._decided)
        self._decided, self._waits = [], None
        if not trainer.is_global_zero:
            return
        self._metrics |= _measured(trainer, "test")
        if outcomes:
            self._show_outcomes(trainer, outcomes)
        if trainer.ckpt_path:
            checkpoint = Path(trainer.ckpt_path)
            self._draw_checkpoint(trainer, checkpoint, _monitored(trainer, checkpoint), self._metrics)
            publish_image(trainer.loggers, "report", checkpoint.with_suffix(".png"))
        if Path(self.folder, "curves.png").exists():
            publish_image(trainer.loggers, "curves", self.folder / "curves.png")

    def _note_end(self, trainer: Trainer) -> None:
        if self._ended:
            self.history.note(*self._ended, _rate(trainer) | _measured(trainer, "train"))
            self._ended = None

    def _wait_no_longer(self, trainer: Trainer) -> None:
        if self._waits:
            self._waits = None
            self._improve(trainer)

    @_without_harm
    def _sum_up(self, trainer: Trainer) -> None:
        """Draw the curves, and a report beside each best checkpoint."""
        if not trainer.is_global_zero or not self.history.names():
            return
        from .pictures import draw_curves

        config = config_of(trainer.lightning_module)
        best = self.history.best(config["monitor"], config["mode"]) if "monitor" in config else None
        draw_curves(self.folder / "curves.png", self._curves(best), run_name(self.folder))
        self._drawn = {}
        self._improve(trainer)

    @_without_harm
    def _improve(self, trainer: Trainer) -> None:
        """Draw a report beside each best checkpoint that is new, and remove those whose checkpoint is gone."""
        if not trainer.is_global_zero:
            return
        for callback in trainer.checkpoint_callbacks:
            if not isinstance(callback, ModelCheckpoint) or callback.monitor is None:
                continue
            for path in map(Path, callback.best_k_models):
                if path != self._waits and path.exists() and self._drawn.get(path) != path.stat().st_mtime:
                    self._draw_checkpoint(trainer, path, callback.monitor)
                    self._drawn[path] = path.stat().st_mtime
            for page in Path(callback.dirpath or self.folder).glob("*.md"):
                if not page.with_suffix(".ckpt").exists() and page.with_suffix(".png").exists():
                    page.unlink()
                    page.with_suffix(".png").unlink()

    def _draw_checkpoint(
        self, trainer: Trainer, path: Path, monitor: str | None, metrics: dict[str, float] | None = None
    ) -> None:
        from .pictures import draw_report

        checkpoint = read(path, mmap=True)
        step, saved = checkpoint["global_step"], checkpoint.get("resume", {})
        best = self.history.at(step, monitor) if monitor else None
        training: dict[str, Any] = {"checkpoint": path.name, "epoch": saved.get("epochs"), "step": step}
        if best:
            training["epoch"] = best.epoch if best.epoch % 1 else int(best.epoch)
            training |= {"monitor": best.name, "best": best.value}
        metrics = metrics or {name: value for name, value in saved.get("metrics", {}).items() if is_of(name, "val")}
        training |= metrics
        if seconds := checkpoint.get("report", {}).get("seconds"):
            training["seconds"] = round(seconds, 1)
        config = read_config(checkpoint)
        sections = {
            "hyperparameters": hyperparameters(config, *self.patterns),
            "training": training,
            "data": data_facts(trainer.datamodule),  # type: ignore[attr-defined]
        }
        summary = Summary(path, self.folder, sections, metrics, config.get("overrides", []))
        draw_report(path.with_suffix(".png"), summary, self._curves(best))
        with new_file(path.with_suffix(".md")) as new:
            new.write_text(summary.markdown(), encoding="utf-8")

    def _curves(self, best: Best | None) -> Any:
        from .pictures import Curves

        return Curves(self.history, self.folder / "csv" / "metrics.csv", best)

    def _show_outcomes(self, trainer: Trainer, outcomes: Outcomes) -> None:
        from .pictures import draw_matrix, draw_scatter

        outcomes.write(self.folder / "predictions.csv")
        if outcomes.classes:
            picture = self.folder / "confusion_matrix.png"
            draw_matrix(picture, outcomes.matrix(), outcomes.classes)
        else:
            picture = self.folder / "predictions.png"
            draw_scatter(picture, outcomes.actual, outcomes.predicted)
        publish_image(trainer.loggers, picture.stem, picture)
        if self.samples:
            show = getattr(trainer.datamodule, "show", None)  # type: ignore[attr-defined]
            columns, rows = outcomes.samples(self.samples, show)
            write_csv(self.folder / "samples.csv", columns, rows)
            publish_table(trainer.loggers, "samples", columns, rows)


def _gather(trainer: Trainer, decided: list[dict[str, torch.Tensor]]) -> Outcomes | None:
    """Return what all processes decided, in the order of the dataset."""
    part: dict[str, np.ndarray] = {}
    if decided:
        part = {name: torch.cat([batch[name] for batch in decided]).cpu().numpy() for name in decided[0]}
        loader: Any = trainer.test_dataloaders
        batches = itertools.islice(loader.sampler, len(decided))
        part["rows"] = np.concatenate([loader.dataset.rows[batch.rows] for batch in batches])
    parts: list[Any] = [part]
    if trainer.world_size > 1:
        parts = [None] * trainer.world_size
        torch.distributed.all_gather_object(parts, part)
    parts = [part for part in parts if part]
    if not parts:
        return None
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(whole["rows"], kind="stable")
    whole = {name: values[order] for name, values in whole.items()}
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    actual = data.targets(whole["rows"]).numpy()
    return Outcomes(whole["rows"], actual, whole["predicted"], whole.get("probability"), data.classes)


def _place(trainer: Trainer) -> tuple[float, int]:
    """Return the epoch, as a fraction, and the step that training has reached."""
    done = trainer.fit_loop.epoch_loop.batch_progress.current.ready / trainer.num_training_batches
    return trainer.current_epoch + done, trainer.global_step


def _rate(trainer: Trainer) -> dict[str, float]:
    return {"lr": float(trainer.optimizers[0].param_groups[0]["lr"])}


def _measured(trainer: Trainer, split: str) -> dict[str, float]:
    metrics = trainer.callback_metrics.items()
    return {name: float(value) for name, value in metrics if is_of(name, split) and not name.endswith("_step")}


def _monitored(trainer: Trainer, path: Path) -> str | None:
    """Return the metric that the checkpoint at `path` was kept for."""
    callbacks = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    return next((callback.monitor for callback in callbacks if str(path) in callback.best_k_models), None)
