"""A training that is broken off and goes on ends with the same bits as one that never was.

Every test has the weights, the optimizer, the order of the samples, the learning rates, the validations, the rows of
the CSV file and the best checkpoint compared, with dropout and shuffled batches of like length.
"""

import signal
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from interruption import Place, Setup, differences, run

from my_project.data.base import Inputs
from my_project.data.files import TextFile

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")

BATCHES = 6  # of an epoch, the last one with five texts instead of 24
BASE = [
    *("model=bow", "data.batch_size=24", "trainer.max_epochs=2", "optimizer.lr=1e-2", "trainer.log_every_n_steps=1"),
    *("logger=[csv]", "callbacks=[checkpoint,early_stopping,learning_rate]", "+trainer.enable_progress_bar=false"),
]
EVERYWHERE = [("train", number) for number in range(2 * BATCHES)]
# Amid an epoch, at its last batch, in its validation, at the start of the next, and there.
SOME = [("train", 2), ("train", 5), ("validation", 0), ("epoch start", 1), ("train", 8)]
EVERY_STEP = "callbacks.last_checkpoint.every_n_steps=1"
PLATEAU = ["scheduler=plateau", "scheduler.scheduler.patience=0", "optimizer.lr=1e-4", "trainer.max_epochs=3"]

Sweep = Callable[..., dict[Any, list[str]]]


class Noisy(TextFile):
    """Texts in which one token in five is another one each time, drawn from all three generators."""

    def augment(self, inputs: Inputs) -> Inputs:
        ids = inputs["input_ids"]
        chosen = torch.rand(ids.shape) < 0.1
        chosen |= torch.from_numpy(np.random.random(tuple(ids.shape)) < 0.1)
        return {**inputs, "input_ids": ids.masked_fill(chosen & (ids > 4), 5 + int(torch.randint(100, ())))}


@pytest.fixture(scope="module")
def sweep(dataset: list[str], tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Break off training at each of the places, or series of places, and return where going on made a difference."""
    references: dict[Any, Any] = {}

    def call(
        overrides: Iterable[str] = (),
        places: Iterable[Place | list[Place]] = SOME,
        how: signal.Signals | None = signal.SIGINT,
        setup: Setup | None = None,
        checkpoint: str = "last",
        last_step: int = 1,
    ) -> dict[Any, list[str]]:
        options = (*dataset, *BASE, *overrides)
        if (options, setup) not in references:
            references[options, setup] = run(tmp_path_factory.mktemp("whole"), options, setup=setup)
        whole = references[options, setup]
        # A signal in the last step, of so many batches, comes too late to stop anything.
        last = [number for number, place in enumerate(whole.places) if place[0] == "train"][-last_step]
        found = {}
        for place in places:
            series = place if isinstance(place, list) else [place]
            history = run(tmp_path_factory.mktemp("broken"), options, series, how, checkpoint, setup=setup)
            differs = differences(whole, history)
            if how is not None and history.repeated:
                differs.append("repeated")
            if history.pieces != len(series) + 1 and (how is None or series[-1] not in whole.places[last:]):
                differs.append("not broken off")
            if differs:
                found[str(place)] = differs
        return found

    return call


def test_two_trainings_that_nothing_interrupts_are_the_same_and_another_seed_is_not(dataset, tmp_path) -> None:
    histories = [run(tmp_path / name, [*dataset, *BASE, f"seed={name[0]}"]) for name in ("1", "1 again", "2")]
    assert differences(histories[0], histories[1]) == []
    assert {"weights", "optimizer", "batches", "rows"} <= set(differences(histories[0], histories[2]))


@pytest.mark.parametrize(
    "overrides", [[], ["trainer.accumulate_grad_batches=3"], PLATEAU, ["trainer.reseed=run"]], ids=" ".join
)
def test_a_signal_at_any_batch_changes_nothing_and_repeats_nothing(sweep: Sweep, overrides: list[str]) -> None:
    assert sweep(overrides, EVERYWHERE, last_step=3) == {}


@pytest.mark.parametrize("how", [signal.SIGTERM, None])
def test_an_interruption_anywhere_else_changes_nothing(sweep: Sweep, how: signal.Signals | None) -> None:
    calls = {"validation": 4, "epoch start": 2, "step": 3, "train end": 3, "validation end": 2, "epoch": 2}
    places = [(hook, number) for hook, count in calls.items() for number in range(count)]
    assert sweep(["data.batch_size=12", "trainer.limit_train_batches=3", EVERY_STEP], places, how) == {}


@pytest.mark.parametrize("every_n_steps", [1, 2, 3])
def test_a_crash_at_any_batch_changes_nothing(sweep: Sweep, every_n_steps: int) -> None:
    assert sweep([f"callbacks.last_checkpoint.every_n_steps={every_n_steps}"], EVERYWHERE, None) == {}


def test_a_crash_without_a_checkpoint_amid_the_epoch_repeats_it_exactly(sweep: Sweep) -> None:
    assert sweep([], [*EVERYWHERE[1::3], ("validation", 0), ("validation", 1)], None) == {}


def test_a_crash_amid_accumulated_gradients_changes_nothing(sweep: Sweep) -> None:
    assert sweep(["data.batch_size=12", "trainer.accumulate_grad_batches=3", EVERY_STEP], EVERYWHERE[4:], None) == {}


@pytest.mark.parametrize(
    "overrides",
    [
        ["scheduler=cosine"],
        ["scheduler=constant"],
        ["optimizer=sgd", "model=lstm"],
        ["trainer.precision=bf16-mixed", "optimizer=sgd"],
        ["data.tokens_per_batch=300"],
        ["trainer.val_check_interval=0.5"],
        ["trainer.val_check_interval=0.5", "trainer.accumulate_grad_batches=2", "scheduler=plateau"],
        ["+trainer.check_val_every_n_epoch=2", "trainer.max_epochs=4"],
        ["trainer.limit_train_batches=0.7", "trainer.limit_val_batches=1"],
        ["data.shuffle=false"],
        ["callbacks=[checkpoint,early_stopping,learning_rate,ema]"],
        ["trainer.reseed=epoch"],
        ["callbacks=[checkpoint]", "trainer.limit_val_batches=0"],
    ],
    ids=" ".join,
)
def test_whatever_the_options_an_interruption_changes_nothing(sweep: Sweep, overrides: list[str]) -> None:
    validation = [] if "trainer.limit_val_batches=0" in overrides else [("validation", 0)]
    assert sweep(overrides, [("train", 1), ("train", 5), *validation, ("train", 6)], signal.SIGINT) == {}
    assert sweep([*overrides, EVERY_STEP], [("train", 3), *validation, ("train", 7)], None) == {}
