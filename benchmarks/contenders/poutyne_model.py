"""Poutyne's Model with its progress bar, the accuracy of each batch, and the default loader."""

from typing import Any

from poutyne import Callback, ClipNorm, Model

from work import CLIP, Work

TITLE = "Poutyne"
STEPS = {"text": 80}


class Schedule(Callback):  # type: ignore[misc]
    """Steps the schedule with each batch; Poutyne's own schedules step with each epoch."""

    def __init__(self, schedule: Any) -> None:
        super().__init__()
        self.schedule = schedule

    def on_train_batch_end(self, batch_number: int, logs: dict[str, Any]) -> None:
        """Go one step on."""
        self.schedule.step()


def train(work: Work) -> None:
    """Train for an epoch; the clock ends it."""
    network = work.network()
    optimizer = work.optimizer(network.parameters())
    model = Model(network, optimizer, "cross_entropy", batch_metrics=["accuracy"])
    callbacks = [ClipNorm(network.parameters(), CLIP), Schedule(work.schedule(optimizer))]
    model.fit_generator(work.loader(), epochs=1, callbacks=callbacks)


JOBS = {"text": train, "mlp": train, "mlp_1024": train, "overhead": train, "command": train}
