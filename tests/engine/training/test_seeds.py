"""Random numbers depend on where training stands, not on how it came there."""

import csv
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Command
from interruption import BASE, Recorder, run, same, train, without
from kindling.errors import UsageError
from kindling.seeding import seed_all, seed_from, seeded
from kindling.training.seeds import Seeds
from processes import Process

LONG = ["callbacks=[checkpoint,keep_epochs,learning_rate]", "trainer.max_epochs=4", "scheduler=constant"]


def draw() -> list[float]:
    return [random.random(), float(np.random.random()), float(torch.rand(()))]


def test_all_generators_are_seeded_with_every_number_of_the_key() -> None:
    keys = [(0,), (1,), (0, 0), (0, 1), (1, 0), (1, 2, 3), (12, 3), (1, 23)]
    draws = []
    for key in keys:
        seed_all(*key)
        draws.append(draw())
        seed_all(*key)
        assert draw() == draws[-1]
    assert all(len(set(column)) == len(keys) for column in zip(*draws, strict=True))
    assert len({seed_from(first, second) for first in range(50) for second in range(50)}) == 2500


def test_generators_are_put_back_after_a_seeded_block() -> None:
    seed_all(1)
    expected = draw()
    seed_all(1)
    with pytest.raises(ZeroDivisionError), seeded(2):
        first = draw()
        _ = 1 / 0
    assert draw() == expected
    with seeded(2):
        assert draw() == first


def losses(folder: Path) -> dict[int, str]:
    with (folder / "csv/metrics.csv").open() as file:
        return {int(row["epoch"]): row["train/loss"] for row in csv.DictReader(file) if row["train/loss"]}


@pytest.mark.parametrize("reseed", ["batch", "epoch", "run"])
def test_an_epoch_can_be_repeated_alone_in_another_process(command: Command, dataset, tmp_path, reseed: str) -> None:
    options = [*dataset, *BASE, *LONG, f"trainer.reseed={reseed}"]
    assert command("train", *options, f"paths.run={tmp_path / 'a'}").code == 0
    # A process that has drawn no random number, from the checkpoint of the third epoch.
    alone = Process(
        tmp_path,
        "train",
        *options,
        f"resume={tmp_path / 'a/checkpoints/epoch-003.ckpt'}",
        f"paths.run={tmp_path / 'b'}",
    )
    assert alone.wait().code == 0
    assert losses(tmp_path / "b") == {3: losses(tmp_path / "a")[3]}
    weights = [torch.load(tmp_path / name / "checkpoints/last.ckpt")["state_dict"] for name in ("a", "b")]
    assert same(*weights)


def test_without_seeds_an_epoch_that_is_repeated_alone_is_another(dataset, tmp_path) -> None:
    options, third = [*dataset, *BASE, *LONG], tmp_path / "a/checkpoints/epoch-003.ckpt"
    run(tmp_path / "a", options, setup=without(Seeds))
    train(tmp_path / "b", options, Recorder(), third, without(Seeds))
    assert losses(tmp_path / "b").keys() == {3}
    assert losses(tmp_path / "b")[3] != losses(tmp_path / "a")[3]


@pytest.mark.parametrize(("reseed", "seeded_anew"), [("batch", True), ("epoch", True), ("run", False)])
def test_batches_do_not_see_what_was_drawn_before_unless_the_generators_run_on(
    dataset, tmp_path, reseed: str, seeded_anew: bool
) -> None:
    class Draw(Recorder):
        def on_train_batch_start(self, *args: Any) -> None:
            draws.append(tuple(draw()))

    found = []
    for times in (0, 5):
        draws: list[tuple[float, ...]] = []

        def disturb(task: Any, data: Any, trainer: Any, times: int = times) -> None:
            for _ in range(times):
                draw()

        train(tmp_path / str(times), [*dataset, *BASE, f"trainer.reseed={reseed}"], Draw(), setup=disturb)
        found.append(draws)
    assert (found[0] == found[1]) == seeded_anew
    assert len(set(found[0])) == len(found[0])


def test_dropout_differs_from_batch_to_batch_and_from_seed_to_seed(dataset, tmp_path) -> None:
    # The same texts in every batch, and no learning: the losses differ by dropout alone.
    still = [
        "optimizer=sgd",
        "optimizer.lr=0",
        "data.batch_size=1000",
        "trainer.max_epochs=4",
        "callbacks=[checkpoint]",
    ]
    for name, options in [("a", []), ("b", ["trainer.seed=5"]), ("c", ["model.dropout=0"])]:
        train(tmp_path / name, [*dataset, *BASE, *still, *options], Recorder())
    assert len(set(losses(tmp_path / "a").values())) == 4
    assert not set(losses(tmp_path / "a").values()) & set(losses(tmp_path / "b").values())
    assert len({loss[:6] for loss in losses(tmp_path / "c").values()}) == 1


def test_another_choice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"trainer\.reseed=batches: there is no such choice; did you mean batch\?"):
        Seeds(0, "batches")
