"""A batch size by trying: how many samples a second, and whether they fit into memory."""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.memory import garbage_collection_cuda, is_oom_error
from torch.utils.data import DataLoader

from ...data.batch import Step
from ...data.loader import Split
from ...data.module import DataModule
from ...errors import UsageError, did_you_mean, short
from .attempt import NEARLY, Attempt
from .tune import Trial

log = logging.getLogger(__name__)

PICKS = ("fastest", "largest")
SHARE = 10  # batches that an epoch has at least
# Batches are timed in so many rounds at least, and for so long; the median counts, as other work may slow some down.
ROUNDS, SECONDS = 3, 0.5
ENDLESS = 10**9  # steps; the stopwatch ends the trial


class BatchSizeFinder:
    """Tries batches of `min` samples, of twice as many, and so on, and suggests one of the sizes.

    Lightning's `scale_batch_size` doubles until memory runs out, which on a CPU it does not, and takes whichever
    batches come first: a longer text would not fit later. Here each size begins with the longest samples.

    Args:
        min: The first size.
        max: What no size exceeds; a tenth of the training split if there is none.
        steps: Batches of a round, short ones and long ones; each size is timed for three rounds at least.
        pick: "fastest" for the smallest size whose speed is within 5% of the best, "largest" for the largest that fits.
        picture: File that shows the speeds.
    """

    option = "data.batch_size"

    def __init__(self, min: int, max: int | None, steps: int, pick: str, picture: str) -> None:
        if pick not in PICKS:
            raise UsageError(f"tune.batch_size.pick={pick}: there is no such choice{did_you_mean(pick, PICKS)}")
        if min < 1 or steps < 1:
            raise UsageError(f"tune.batch_size.min={min} tune.batch_size.steps={steps}: expected 1 or more")
        if max is not None and max < min:
            raise UsageError(f"tune.batch_size.max={max}: expected tune.batch_size.min={min} or more")
        self.min = min
        self.max = max
        self.steps = steps
        self.pick = pick
        self.picture = Path(picture)

    def find(self, trial: Trial) -> int:
        attempts: list[Attempt] = []
        size, why = self.min, "larger ones would leave an epoch too few batches"
        while not attempts or size <= (self.max or attempts[-1].largest):
            attempt = self._try(trial, size)
            garbage_collection_cuda()
            if attempt is None:
                why = f"{size} do not fit into memory"
                break
            attempts.append(attempt)
            if self.pick == "fastest" and _gains_nothing(attempts):
                break
            size *= 2
        if not attempts:
            raise UsageError(f"tune.batch_size.min={size}: so many samples do not fit into memory; begin with fewer")
        best = max(attempt.speed for attempt in attempts)
        fast = [attempt for attempt in attempts if attempt.speed >= NEARLY * best]
        suggestion = (fast[0] if self.pick == "fastest" else attempts[-1]).size

        from .pictures import draw_batch_sizes  # here, as Matplotlib takes most of a second to import

        draw_batch_sizes(self.picture, attempts, suggestion)
        reason = "the smallest that is about as fast as any" if self.pick == "fastest" else f"the largest, as {why}"
        log.info("Batch size: %s, %s: %s", suggestion, reason, short(self.picture))
        return suggestion

    def _try(self, trial: Trial, size: int) -> Attempt | None:
        """Return how fast training is with batches of this size, or None if memory runs out."""
        stopwatch = Stopwatch(self.steps)
        try:
            data, task, trainer = trial(ENDLESS, [stopwatch], size, accumulate_grad_batches=1)
            if not hasattr(data, "lengths"):
                return self._try_own(data, task, trainer, size, stopwatch)
            if data.tokens_per_batch:
                raise UsageError(
                    f"tune=batch_size data.tokens_per_batch={data.tokens_per_batch}: batches of so many tokens have no "
                    "size in samples; leave out one of the two"
                )
            batches = _batches(data, size, self.steps)
            loader = DataLoader(
                Split(data, data.splits["train"], data.augments()),
                batch_size=None,
                sampler=batches,
                num_workers=data.num_workers,
                pin_memory=torch.cuda.is_available(),
            )
            data.train_dataloader = lambda: loader  # type: ignore[method-assign]
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            trainer.fit(task, datamodule=data)
        except RuntimeError as error:
            if is_oom_error(error):
                return None
            raise
        memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        samples = sum(len(batch.rows) for batch in batches[1:])
        return Attempt(size, samples / stopwatch.median(), memory, len(data.splits["train"]) // SHARE)

    def _try_own(self, data: Any, task: Any, trainer: Trainer, size: int, stopwatch: "Stopwatch") -> Attempt:
        """Time the first batches of a data module that does not tell how long its samples are."""
        trainer.limit_train_batches = self.steps + 1
        data.prepare_data()
        data.setup("fit")
        samples = len(data.train_dataloader().dataset)
        trainer.fit(task, datamodule=data)
        memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        return Attempt(
            size, size * self.steps / stopwatch.median(), memory, min(samples // SHARE, samples // (self.steps + 2))
        )


class Stopwatch(Callback):
    """Measures the seconds from the end of a batch to the end of the next, round after round, until that is enough.

    A round is an epoch. Its first batch warms up and is not measured.

    Args:
        batches: The others of a round.
    """

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.seconds: list[float] = []
        self._since = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if pl_module.device.type != "cpu":
            torch.accelerator.synchronize(pl_module.device)
        now = time.perf_counter()
        if batch_idx > 0:
            self.seconds.append(now - self._since)
        self._since = now
        ended = batch_idx == self.batches
        if ended and len(self.seconds) >= ROUNDS * self.batches and sum(self.seconds) >= SECONDS:
            trainer.should_stop = True

    def median(self) -> float:
        """Return the seconds that a round takes."""
        return float(np.median(np.reshape(self.seconds, (-1, self.batches)), axis=0).sum())


def _batches(data: DataModule, size: int, steps: int) -> list[Step]:
    """Return a batch of the longest samples, and then `steps` of those that training has, of all lengths."""
    data.batch_size = size
    lengths = data.lengths(data.splits["train"])
    batches = sorted(data.plan("train"), key=lambda batch: int(lengths[batch.rows].max()))
    whole = [batch for batch in batches if len(batch.rows) == size] or batches
    chosen = [whole[int(place)] for place in np.linspace(0, len(whole) - 1, steps + 2)[1:-1]]
    longest = np.argsort(-lengths, kind="stable")[:size]
    return [chosen[0]._replace(rows=longest), *chosen]


def _gains_nothing(attempts: list[Attempt]) -> bool:
    """Whether neither of the last two sizes was faster than those before."""
    speeds = [attempt.speed for attempt in attempts]
    return len(speeds) > 2 and NEARLY * max(speeds[-2:]) < max(speeds[:-2])
