"""What checkpoints hold and what is taken from them: files, and the choice of their parts."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Command
from interruption import BASE, BATCHES, Recorder, run, same, train
from kindling.checkpoints.io import CheckpointIO, read
from kindling.checkpoints.last import LastCheckpoint
from kindling.checkpoints.parts import choose
from kindling.errors import UsageError

CHECKPOINT = {
    "epoch": 1,
    "state_dict": {"model.body.weight": torch.ones(2), "model.head.weight": torch.ones(3)},
    "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "betas": [1, 2]}]}],
    "lr_schedulers": [{"base_lrs": [0.1], "last_epoch": 3}],
}


def paths(node: Any, prefix: str = "") -> set[str]:
    """Return the paths of all values; empty containers have none."""
    if not isinstance(node, dict | list):
        return {prefix[:-1]}
    items = node.items() if isinstance(node, dict) else enumerate(node)
    return {path for name, child in items for path in paths(child, f"{prefix}{name}.")}


@pytest.mark.parametrize(
    ("choice", "lost"),
    [
        ({}, set()),
        ({"exclude": ["state_dict.model.head.*"]}, {"state_dict.model.head.weight"}),
        ({"exclude": ["optimizer_states.*lr"]}, {"optimizer_states.0.param_groups.0.lr"}),
        ({"exclude": ["*.lr|*.head.*"]}, {"optimizer_states.0.param_groups.0.lr", "state_dict.model.head.weight"}),
        ({"include": ["state_dict", "lr_schedulers"]}, {"optimizer_states"}),
        (
            {"include": ["state_dict"], "exclude": ["*body*"]},
            {"optimizer_states", "lr_schedulers", "state_dict.model.body.weight"},
        ),
    ],
)
def test_parts_are_chosen_by_patterns(choice: dict[str, Any], lost: set[str]) -> None:
    before = paths(CHECKPOINT)
    chosen = choose(CHECKPOINT, choice, "option")
    assert paths(CHECKPOINT) == before
    assert chosen["epoch"] == 1  # what a checkpoint says about itself stays
    kept = paths(chosen) - {"left_out"}
    assert before - kept == {path for path in before if any(path.startswith(part) for part in lost)}


@pytest.mark.parametrize("kind", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_named(kind: str) -> None:
    with pytest.raises(
        UsageError, match=rf"^option.{kind}: nothing in the checkpoint is called a.0; choose from epoch, "
    ):
        choose(CHECKPOINT, {kind: ["epoch", "a.0"]}, "option")


class Broken(Exception):
    """A pickle that can't be written to its end."""

    def __reduce__(self) -> Any:
        raise OSError(28, "No space left on device")


def test_a_file_is_written_whole_or_not_at_all(tmp_path) -> None:
    io, file = CheckpointIO(), tmp_path / "folder/a.ckpt"
    content = {"global_step": 0, "state_dict": {"a": torch.ones(1000)}}
    io.save_checkpoint(content, file)
    with pytest.raises(UsageError, match=r"could not be written .*of an earlier step is still good; make room"):
        io.save_checkpoint(content | {"more": Broken()}, file)
    assert same(read(file), content)
    assert list(file.parent.iterdir()) == [file]
    with pytest.raises(UsageError, match=r"b.ckpt could not be written \(No space left on device\); make room"):
        io.save_checkpoint(content | {"more": Broken()}, tmp_path / "b.ckpt")


@pytest.mark.parametrize(
    ("every", "saved"),
    [
        ({"every_n_steps": 4}, [4, 6, 8, 12]),
        ({"every_n_steps": 6}, [6, 12]),  # the end of an epoch, once
        ({"every_n_minutes": 1e-9}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        ({"every_n_minutes": 60}, [6, 12]),
        ({"every_n_epochs": 3, "every_n_minutes": None}, [12]),  # and when training ends
    ],
    ids=str,
)
def test_the_last_checkpoint_comes_every_so_many_steps_minutes_and_epochs(
    dataset, tmp_path, monkeypatch, every: dict[str, Any], saved: list[int]
) -> None:
    steps = []
    original = LastCheckpoint._save
    monkeypatch.setattr(
        LastCheckpoint, "_save", lambda self, trainer: (steps.append(trainer.global_step), original(self, trainer))
    )
    options = [
        f"callbacks.last_checkpoint.{name}={'null' if value is None else value}" for name, value in every.items()
    ]
    train(tmp_path, [*dataset, *BASE, *options], Recorder())
    assert steps == saved


@pytest.mark.parametrize("name", ["epochs", "steps", "minutes"])
def test_a_frequency_below_one_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"every_n_{name}=0: expected more than 0, or null"):
        LastCheckpoint("folder", **{f"every_n_{name}": 0})


def test_the_best_three_and_every_epoch_are_kept(dataset, tmp_path) -> None:
    options = ["callbacks=[checkpoint,keep_best,keep_epochs]", "trainer.max_epochs=5", "monitor=val/loss", "mode=min"]
    train(tmp_path, [*dataset, *BASE, *options], Recorder())
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    best = [f"best-{epoch:03d}.ckpt" for epoch in (3, 4, 5)]  # the loss falls
    assert names == [*best, "best.ckpt", *(f"epoch-{epoch:03d}.ckpt" for epoch in range(1, 6)), "last.ckpt"]


@pytest.fixture(scope="module")
def ended(dataset, tmp_path_factory) -> Path:
    """The folder of a training of two epochs."""
    folder = tmp_path_factory.mktemp("ended")
    run(folder, [*dataset, *BASE, "scheduler=constant"])
    return folder


def begin(folder: Path, overrides: list[str], checkpoint: Path) -> dict[str, Any]:
    """Return weights and optimizer as they are when a resumed training makes its first step."""
    found: dict[str, Any] = {}

    class Look(Recorder):
        def on_train_batch_start(self, trainer: Any, task: Any, *args: Any) -> None:
            if not found:
                found["weights"] = {name: value.clone() for name, value in task.state_dict().items()}
                state = trainer.optimizers[0].state_dict()
                found["rate"] = state["param_groups"][0]["lr"]
                found["momentum"] = [value["exp_avg"].clone() for value in state["state"].values()]

    train(folder, [*overrides, "trainer.max_epochs=3"], Look(), checkpoint)
    return found


def test_what_is_left_out_when_resuming_starts_afresh_and_the_rest_goes_on(dataset, tmp_path, ended: Path) -> None:
    last = ended / "checkpoints/last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    momentum = [value["exp_avg"] for value in checkpoint["optimizer_states"][0]["state"].values()]
    options = [*dataset, *BASE, "scheduler=constant", "optimizer.lr=3e-4"]

    stock = begin(tmp_path / "stock", options, last)
    assert stock["rate"] == pytest.approx(1e-2)
    new_rate = begin(tmp_path / "rate", [*options, "checkpoint_io=new_learning_rate"], last)
    assert new_rate["rate"] == pytest.approx(3e-4)
    assert same([stock["momentum"], new_rate["momentum"]], [momentum, momentum])
    assert same(stock["weights"], checkpoint["state_dict"])

    head = [name for name in checkpoint["state_dict"] if ".head." in name]
    fresh = begin(tmp_path / "head", [*options, "checkpoint_io.load.exclude=[state_dict.model.head.*]"], last)
    assert [name for name, value in fresh["weights"].items() if not same(value, stock["weights"][name])] == head

    no_momentum = begin(tmp_path / "none", [*options, "checkpoint_io.load.exclude=[optimizer_states.*.state]"], last)
    assert no_momentum["momentum"] == []
    assert no_momentum["rate"] == pytest.approx(1e-2)


@pytest.mark.parametrize("scheduler", ["warmup", "cosine"])
def test_a_new_learning_rate_follows_its_schedule(dataset, tmp_path, ended: Path, scheduler: str) -> None:
    options = [*dataset, *BASE, f"scheduler={scheduler}", "trainer.max_epochs=4"]
    first, rest, whole = Recorder(("train", 2 * BATCHES)), Recorder(), Recorder()
    with pytest.raises(Exception, match="train 12"):
        train(tmp_path / "a", options, first)
    train(
        tmp_path / "a",
        [*options, "optimizer.lr=1e-3", "checkpoint_io=new_learning_rate"],
        rest,
        tmp_path / "a/checkpoints/last.ckpt",
    )
    train(tmp_path / "b", [*options, "optimizer.lr=1e-3"], whole)
    assert rest.rates == {step: rate for step, rate in whole.rates.items() if step >= 2 * BATCHES}


def test_a_checkpoint_without_the_optimizer_is_small_and_resumes_with_a_new_one(dataset, tmp_path, ended: Path) -> None:
    options = [*dataset, *BASE, "scheduler=constant", "checkpoint_io.save.exclude=[optimizer_states]"]
    train(tmp_path / "small", options, Recorder())
    last = tmp_path / "small/checkpoints/last.ckpt"
    assert last.stat().st_size < 0.5 * (ended / "checkpoints/last.ckpt").stat().st_size
    began = begin(tmp_path / "small", options, last)
    assert began["momentum"] == []
    assert same(began["weights"], torch.load(ended / "checkpoints/last.ckpt")["state_dict"])


def test_a_run_may_begin_with_the_weights_of_another(command: Command, dataset, trained, tmp_path) -> None:
    run = tmp_path / "run"
    options = ["model=bow", "optimizer.lr=0", "trainer.max_epochs=1", "callbacks=[checkpoint]", "logger=[csv]"]
    result = command("train", *dataset, *options, f"init={trained}", f"paths.run={run}")
    assert result.code == 0, result.err
    assert f"Weights of {trained}/checkpoints/best.ckpt, step " in result.err
    best = torch.load(trained / "checkpoints/best.ckpt")
    last = torch.load(run / "checkpoints/last.ckpt")
    assert same(last["state_dict"], best["state_dict"])
    assert last["epoch"] == 0


def test_a_fine_tuned_model_gets_a_fresh_head_and_keeps_its_tokenizer(command: Command, trained, tmp_path) -> None:
    path = tmp_path / "other.csv"
    colours = itertools.cycle(["red", "green", "blue", "white"])
    path.write_text(
        "review,stars\n" + "".join(f"unseen words about a {next(colours)} thing {n},{n % 4}\n" for n in range(80))
    )
    other = [f"data.path={path}", f"data.dir={tmp_path / 'other'}", "data=csv", "data.text=review", "data.label=stars"]
    other += ["data.vocab_size=400"]
    assert command("make_dataset", *other).code == 0
    options = ["model=bow", "optimizer.lr=0", "trainer.max_epochs=1", "callbacks=[checkpoint]", "logger=[csv]"]
    options += [f"init={trained}", f"paths.run={tmp_path / 'run'}"]
    refused = command("train", *other, *options)
    assert refused.code == 2
    assert refused.err.splitlines()[-1] == (
        f"train.py: init={trained}/checkpoints/best.ckpt: model.head.weight does not fit this model; "
        "use checkpoint_io=fine_tune for a fresh head, or checkpoint_io.load.exclude=[state_dict.model.head.weight]"
    )
    result = command("train", *other, *options, "checkpoint_io=fine_tune")
    assert result.code == 0, result.err
    old = torch.load(trained / "checkpoints/best.ckpt")
    new = torch.load(tmp_path / "run/checkpoints/last.ckpt")
    fresh = [name for name, value in new["state_dict"].items() if not same(value, old["state_dict"].get(name))]
    assert all(".head." in name for name in fresh)
    assert new["state_dict"]["model.head.weight"].shape[0] == 4
    assert new["TextFile"]["tokenizer"] == old["TextFile"]["tokenizer"]
    assert new["TextFile"]["classes"] == ["0", "1", "2", "3"]


def test_an_unknown_part_is_named_in_one_line(command: Command, trained) -> None:
    before = (trained / "checkpoints/last.ckpt").read_bytes()
    options = ["trainer.max_epochs=4", "checkpoint_io.load.exclude=[optimizer_states.*.momentum]"]
    result = command("train", f"resume={trained}", *options)
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith(
        "train.py: checkpoint_io.load.exclude: nothing in the checkpoint is called optimizer_states.*.momentum"
    )
    assert (trained / "checkpoints/last.ckpt").read_bytes() == before


def test_a_checkpoint_with_weights_alone_has_what_its_readers_need(tmp_path) -> None:
    checkpoint = {"state_dict": {"w": torch.ones(2)}, "global_step": 3, "epoch": 1, "loops": {"fit": 1}}
    checkpoint |= {"resume": {"epochs": 1}, "TextData": {"classes": ["a"], "tokenizer": "{}"}, "callbacks": {"A": 1}}
    CheckpointIO(save={"include": ["state_dict"]}).save_checkpoint(checkpoint, tmp_path / "weights.ckpt")
    saved = torch.load(tmp_path / "weights.ckpt", weights_only=True)
    assert saved.keys() == {"state_dict", "global_step", "epoch", "resume", "TextData", "left_out"}
    assert saved["TextData"] == checkpoint["TextData"]


@pytest.mark.parametrize("kind", ["save", "load"])
def test_what_is_wanted_and_what_is_not_are_not_said_at_once(kind: str) -> None:
    with pytest.raises(UsageError, match=f"checkpoint_io.{kind}: include says all that is wanted; leave exclude out"):
        CheckpointIO(**{kind: {"include": ["state_dict"], "exclude": ["loops"]}})
