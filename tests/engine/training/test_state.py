"""csv/batches.csv and state.jsonl: what each batch was, also when training is broken off and goes on."""

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from interruption import BASE, Recorder, at_step, run, train
from kindling.training.batch_state import State
from processes import Process

LOGS = "callbacks=[checkpoint,early_stopping,learning_rate,batches,state]"
BATCHES = 6
EVERY_STEP = "callbacks.last_checkpoint.every_n_steps=1"


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "state.jsonl").read_text().splitlines()]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "csv/batches.csv").open() as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in ("csv/batches.csv", "state.jsonl")]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_batch_is_a_line_with_the_samples_that_it_really_had(dataset, tmp_path, workers: int) -> None:
    recorder = Recorder()
    trainer = train(tmp_path, [*dataset, *BASE, LOGS, f"data.num_workers={workers}"], recorder)
    written = lines(tmp_path)
    assert [(line["epoch"], line["batch"], line["step"]) for line in written] == [
        (number // BATCHES, number % BATCHES, number) for number in range(2 * BATCHES)
    ]
    assert [line["lr"] for line in written] == [[rate] for rate in recorder.rates.values()]
    per_epoch = [sum(line["samples"] for line in written if line["epoch"] == epoch) for epoch in (0, 1)]
    assert per_epoch == [len(trainer.datamodule.splits["train"])] * 2
    # As many different hashes as there were batches with different tokens.
    tokens = {checksum for _, _, checksum in recorder.batches}
    assert len({line["hash"] for line in written}) == len(tokens) == 2 * BATCHES


def test_the_hash_is_that_of_the_numbers_of_the_samples(dataset, tmp_path) -> None:
    one = [*dataset, *BASE, LOGS, "trainer.max_epochs=1"]
    for name, options in [("a", []), ("again", []), ("b", ["data.seed=9"]), ("all", ["data.batch_size=1000"])]:
        train(tmp_path / name, [*one, *options], Recorder())
    hashes = {name: [line["hash"] for line in lines(tmp_path / name)] for name in ("a", "again", "b", "all")}
    assert hashes["a"] == hashes["again"]
    assert not set(hashes["a"]) & set(hashes["b"])
    assert len(hashes["all"]) == 1


@pytest.mark.parametrize("more", [[], ["trainer.accumulate_grad_batches=3"], ["data.tokens_per_batch=300"]], ids=str)
def test_lines_of_an_interrupted_training_are_those_of_one_that_never_was(dataset, tmp_path, more: list[str]) -> None:
    options = [*dataset, *BASE, LOGS, *more]
    run(tmp_path / "whole", options)
    series = [[("train", 2), ("train", 3)], [("validation", 0), ("train", 1)], [("epoch start", 1), ("train", 0)]]
    for number, places in enumerate(series):
        for how in (signal.SIGINT, None):
            cut = tmp_path / f"{number} {how}"
            history = run(cut, [*options, *([] if how else [EVERY_STEP])], places, how)
            assert history.pieces == 3 or how
            assert files(cut) == files(tmp_path / "whole")


def test_a_crash_before_the_first_checkpoint_leaves_no_line_twice(dataset, tmp_path) -> None:
    options = [*dataset, *BASE, LOGS]
    run(tmp_path / "whole", options)
    history = run(tmp_path / "cut", options, [("train end", 4), ("train", 9)], None)
    assert history.repeated
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_an_older_checkpoint_takes_the_lines_back(dataset, tmp_path) -> None:
    options = [*dataset, *BASE, LOGS.replace("batches", "keep_epochs,batches"), "trainer.max_epochs=3"]
    train(tmp_path, options, Recorder())
    whole = files(tmp_path)
    train(tmp_path, [*options, "trainer.max_epochs=1"], Recorder(), tmp_path / "checkpoints/epoch-001.ckpt")
    assert len(lines(tmp_path)) == len(rows(tmp_path)) == BATCHES
    train(tmp_path, options, Recorder(), tmp_path / "checkpoints/epoch-001.ckpt")
    assert files(tmp_path) == whole


def die_after_half_a_line() -> None:
    original = State.write

    def write(self: State, row: dict[str, Any], loss: float) -> None:
        original(self, row, loss)
        if row["step"] == 8:
            with open(Path(self.dirpath, "state.jsonl"), "ab") as file:
                file.write(b'{"epoch": 1, "ba')
            with open(Path(self.dirpath, "csv/batches.csv"), "ab") as file:
                file.write(b"3,1,")
            os.kill(os.getpid(), signal.SIGKILL)

    State.write = write  # type: ignore[method-assign]


def die_in_the_ninth_step() -> None:
    at_step(9, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_files_of_a_killed_run_parse_and_go_on(command: Command, dataset, tmp_path) -> None:
    options = [*dataset, *BASE, LOGS, EVERY_STEP]
    assert command("train", *options, f"paths.run={tmp_path / 'whole'}").code == 0
    for name, sabotage in [("kill", die_in_the_ninth_step), ("half a line", die_after_half_a_line)]:
        run = tmp_path / name
        process = Process(tmp_path, "train", *options, f"paths.run='{run}'", sabotage=sabotage)
        assert process.wait().code == -signal.SIGKILL
        if name == "kill":
            assert len(lines(run)) == len(rows(run)) == 8
        result = command("train", f"resume='{run}'")
        assert result.code == 0, result.err
        assert files(run) == files(tmp_path / "whole")


def test_the_loss_of_a_batch_is_that_of_its_samples(dataset, tmp_path) -> None:
    # Without learning and dropout, the epoch's loss is the mean of the batches', weighted by their size.
    still = ["model.dropout=0", "optimizer=sgd", "optimizer.lr=0", "trainer.max_epochs=1"]
    for accumulate in (1, 3):
        folder = tmp_path / str(accumulate)
        train(folder, [*dataset, *BASE, LOGS, *still, f"trainer.accumulate_grad_batches={accumulate}"], Recorder())
        with (folder / "csv/metrics.csv").open() as file:
            (expected,) = (float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"])
        sizes = [line["samples"] for line in lines(folder)]
        losses = [float(row["loss"]) for row in rows(folder)]
        assert len(set(losses)) > 1
        mean = sum(size * loss for size, loss in zip(sizes, losses, strict=True)) / sum(sizes)
        assert mean == pytest.approx(expected, rel=1e-5)
