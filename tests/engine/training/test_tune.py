"""What is found before training is applied, and leaves no other trace: the run is the one with that value given."""

import re
import signal
import sys
from pathlib import Path

import pytest
import torch
import yaml
from commands import Command, run
from interruption import same
from kindling.runs.run import read_run
from my_project.tasks import Task
from PIL import Image
from processes import Process

BASE = ["model=bow", "trainer.max_epochs=2", "logger=[csv]", "callbacks=[record,checkpoint]"]
LR = ["tune=lr", "tune.lr.steps=60"]
SIZE = ["tune=batch_size", "tune.batch_size.min=4", "tune.batch_size.steps=2"]
BOTH = ["tune=[batch_size,lr]", *LR[1:], *SIZE[1:]]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def config(run: Path) -> dict:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["config"]


def found(run: Path) -> list[str]:
    """The options that the run's checkpoint, record and Hydra's files agree in, in place of `tune`."""
    overrides = config(run)["overrides"]
    assert yaml.safe_load((run / ".hydra/overrides.yaml").read_text()) == overrides
    assert read_run(run).overrides.keys() == {override.partition("=")[0].lstrip("+~") for override in overrides}
    assert not any("tune" in override.partition("=")[0] for override in overrides)
    return [o for o in overrides if o.startswith(("optimizer.lr=", "data.batch_size="))]


@pytest.fixture(scope="module")
def tuned_rate(dataset, tmp_path_factory) -> Path:
    """The folder of a run whose learning rate was found."""
    folder = tmp_path_factory.mktemp("tuned")
    assert run(folder, "train", *dataset, *BASE, *LR, f"paths.run={folder / 'run'}") == 0
    return folder / "run"


@pytest.mark.parametrize("tuners", [LR, SIZE, BOTH], ids=["lr", "batch_size", "both"])
def test_a_tuned_run_is_the_run_with_what_was_found(command: Command, dataset, tmp_path, tuners: list[str]) -> None:
    tuned, given, other = (tmp_path / name for name in ("tuned", "given", "other"))
    result = command("train", *dataset, *BASE, *tuners, f"paths.run={tuned}")
    assert result.code == 0, result.err
    options = found(tuned)
    assert len(options) == (2 if tuners is BOTH else 1)
    assert command("train", *dataset, *BASE, *options, f"paths.run={given}").code == 0
    assert command("train", *dataset, *BASE, *options, "seed=1", f"paths.run={other}").code == 0
    assert same(weights(tuned), weights(given))
    assert not same(weights(tuned), weights(other))
    assert (tuned / "csv/metrics.csv").read_text() == (given / "csv/metrics.csv").read_text()
    written = {path.relative_to(tuned) for path in tuned.rglob("*")} - {
        path.relative_to(given) for path in given.rglob("*")
    }
    pictures = {"lr": ["lr_find.png"], "batch_size": ["batch_size.png"]}
    expected = [name for tuner in pictures if f"tune.{tuner}.steps" in str(tuners) for name in pictures[tuner]]
    assert {str(path) for path in written} == set(expected)
    for name in expected:
        assert Image.open(tuned / name).width > 300
        assert result.out.count(name) + result.err.count(name) == 1


def test_a_tuned_run_is_not_the_run_with_the_default(command: Command, dataset, tuned_rate, tmp_path) -> None:
    assert command("train", *dataset, *BASE, f"paths.run={tmp_path / 'default'}").code == 0
    assert not same(weights(tuned_rate), weights(tmp_path / "default"))


def test_the_rate_suits_the_batch_size_that_was_found_before(command: Command, dataset, tmp_path) -> None:
    assert command("train", *dataset, *BASE, *BOTH, f"paths.run={tmp_path / 'both'}").code == 0
    size, rate = found(tmp_path / "both")
    assert command("train", *dataset, *BASE, size, *LR, f"paths.run={tmp_path / 'lr'}").code == 0
    assert rate in found(tmp_path / "lr")


def test_the_schedule_does_not_touch_the_trial(command: Command, dataset, tmp_path) -> None:
    rates = []
    for scheduler, epochs in (("constant", 1), ("constant", 3), ("cosine", 1), ("plateau", 1), ("warmup", 1)):
        options = [f"scheduler={scheduler}", f"trainer.max_epochs={epochs}"]
        folder = tmp_path / f"{scheduler}{epochs}"
        result = command("train", *dataset, *BASE, *options, *LR, f"paths.run={folder}")
        assert result.code == 0, result.err
        rates.append(found(folder))
    assert rates == rates[:1] * 5


@pytest.mark.parametrize(
    "options",
    [
        ["trainer.accumulate_grad_batches=2"],
        ["optimizer=sgd"],
        ["debug=fast"],
        ["data.tokens_per_batch=200"],
        ["data.num_workers=1"],
        ["callbacks=[checkpoint,ema]"],
        ["checkpoint_io=weights"],
        ["trainer.profiler=simple"],
        ["+trainer.max_time=00:00:10:00"],
    ],
    ids=" ".join,
)
def test_a_run_that_is_unlike_others_is_tuned_as_well(command: Command, dataset, tmp_path, options: list[str]) -> None:
    tuners = LR if "data.tokens_per_batch=200" in options else BOTH
    result = command(
        "train", *dataset, *BASE, "trainer.max_epochs=1", *tuners, *options, f"paths.run={tmp_path / 'run'}"
    )
    assert result.code == 0, result.err
    assert (tmp_path / "run/lr_find.png").exists()


def test_numbers_are_tuned_for_too(command: Command, data_of, tmp_path) -> None:
    options = [*data_of("numbers"), "task=regression", *BASE, *BOTH, "tune.lr.steps=200"]
    result = command("train", *options, f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert len(found(tmp_path / "run")) == 2


def test_a_trial_begins_with_the_weights_of_init(command: Command, dataset, trained, tuned_rate, tmp_path) -> None:
    # The head of the checkpoint knows the classes: the losses, and so the pictures, are others.
    result = command("train", *dataset, *BASE, *LR, f"init={trained}", f"paths.run={tmp_path / 'init'}")
    assert result.code == 0, result.err
    assert (tuned_rate / "lr_find.png").read_bytes() != (tmp_path / "init/lr_find.png").read_bytes()


def test_jobs_of_a_sweep_are_tuned_each(command: Command, dataset, tmp_path) -> None:
    result = command("train", "-m", *dataset, *BASE, *LR, "seed=1,2", f"paths.run={tmp_path / 'sweep'}")
    assert result.code == 0, result.err
    jobs = [tmp_path / "sweep" / number for number in ("0", "1")]
    assert all(len(found(job)) == 1 for job in jobs)
    assert (jobs[0] / "lr_find.png").read_bytes() != (jobs[1] / "lr_find.png").read_bytes()
    assert (tmp_path / "sweep/results.csv").exists()


@pytest.mark.parametrize("how", ["auto", "folder"])
def test_a_resumed_run_keeps_what_was_found(command: Command, dataset, tmp_path, how: str) -> None:
    run = tmp_path / "run"
    options = [*dataset, *BASE, "trainer.max_epochs=4", "scheduler=constant"]
    started = [*options, *LR, f"paths.run={run}"]
    assert command("train", *started, "trainer.max_epochs=2").code == 0
    rate = found(run)
    picture = (run / "lr_find.png").stat().st_mtime_ns
    # A job of a cluster is started with the same line again.
    line = [*started, "resume=auto"] if how == "auto" else [f"resume={run}", "trainer.max_epochs=4"]
    result = command("train", *line)
    assert result.code == 0, result.err
    assert (run / "lr_find.png").stat().st_mtime_ns == picture
    assert [f"optimizer.lr={config(run)['optimizer']['lr']}"] == rate
    assert command("train", *options, *rate, f"paths.run={tmp_path / 'whole'}").code == 0
    assert same(weights(run), weights(tmp_path / "whole"))


def test_a_repeated_run_keeps_what_was_found(command: Command, dataset, tmp_path) -> None:
    assert command("train", *dataset, *BASE, *BOTH, f"paths.run={tmp_path / 'run'}").code == 0
    result = command("train", f"rerun={tmp_path / 'run'}", f"paths.run={tmp_path / 'again'}")
    assert result.code == 0, result.err
    assert "to the last bit" in result.out + result.err
    assert not (tmp_path / "again/lr_find.png").exists()
    assert same(weights(tmp_path / "run"), weights(tmp_path / "again"))


def test_a_repeated_run_can_be_tuned(command: Command, dataset, tmp_path) -> None:
    assert command("train", *dataset, *BASE, f"paths.run={tmp_path / 'run'}").code == 0
    result = command("train", f"rerun={tmp_path / 'run'}", *LR, f"paths.run={tmp_path / 'again'}")
    assert result.code == 0, result.err
    assert len(found(tmp_path / "again")) == 1


MODEL = """\
import torch
from torch import nn


class Hungry(nn.Module):
    def __init__(self, num_outputs, vocab_size, **options):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, num_outputs)

    def forward(self, input_ids, attention_mask):
        torch.empty(len(input_ids) ** {power}, dtype=torch.uint8)
        return self.embedding(input_ids).mean(dim=1)
"""


@pytest.fixture
def hungry(tmp_path, monkeypatch):
    """Write a model of which no memory holds batches of 16 samples, or of any size, and return its options."""

    def write(power: int) -> list[str]:
        (tmp_path / "own").mkdir()
        (tmp_path / "own/hungry.py").write_text(MODEL.format(power=power))
        monkeypatch.syspath_prepend(tmp_path / "own")
        monkeypatch.delitem(sys.modules, "hungry", raising=False)
        return ["model._target_=hungry.Hungry", "tune.batch_size.max=64", "tune.batch_size.pick=largest"]

    return write


def test_the_largest_size_is_one_that_fits_into_memory(command: Command, dataset, tmp_path, hungry) -> None:
    options = hungry(12)  # 16 MB for 4 samples, 64 GB for 8, and 281 TB for 16
    result = command("train", *dataset, *BASE, *SIZE, *options, "data.batch_size=4", f"paths.run={tmp_path / 'run'}")
    size = int(re.search(r"Batch size: (\d+), the largest, as (\d+) do not fit", result.out + result.err)[1])
    assert size in (4, 8)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("tune=lr tune.lr.steps=5", "tune.lr.steps=5: too few to tell a learning rate from"),
        ("tune=lr tune.lr.min=1 tune.lr.max=0.1", "tune.lr.min=1 tune.lr.max=0.1: expected 0 < min < max"),
        ("tune=lr tune.lr.steps=40 tune.lr.min=1e5 tune.lr.max=1e9", "tune.lr.min=100000.0: the loss diverges"),
        ("tune=lr tune.lr.min=1e-12 tune.lr.max=1e-11 tune.lr.steps=20", "steps=20: the loss falls too little"),
        ("tune=batch_size data.tokens_per_batch=100", "data.tokens_per_batch=100: batches of so many tokens have no"),
        ("tune=batch_size tune.batch_size.pick=bigest", "bigest: there is no such choice; did you mean largest?"),
        ("tune=batch_size tune.batch_size.max=4", "tune.batch_size.max=4: expected tune.batch_size.min=8 or more"),
        ("tune=batch_size tune.batch_size.steps=0", "tune.batch_size.steps=0: expected 1 or more"),
        ("tune=lr ~optimizer.lr", "tune=lr: the config has no optimizer.lr"),
        ("tune=lr init=nowhere", "init=nowhere: no such checkpoint"),
        ("tune=lr model.vocab_size=3", "BagOfWords does not fit TextFile"),
        ("tune=learning", "tune=learning: there is no such tune; choose from batch_size, lr"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(command: Command, dataset, tmp_path, options, expected) -> None:
    result = command("train", *dataset, "model=bow", *options.split())
    assert expected in result.err.splitlines()[-1], result.err
    assert "Traceback" not in result.err
    assert result.code == 2
    assert not list(tmp_path.rglob("*.png")) and not list((tmp_path / "runs").rglob(".hydra"))


def test_what_does_not_fit_at_all_is_one_line(command: Command, dataset, tmp_path, hungry) -> None:
    # Two samples, with which the task is checked, fit.
    result = command("train", *dataset, "model=bow", *SIZE, *hungry(30))
    assert "tune.batch_size.min=4: so many samples do not fit into memory" in result.err.splitlines()[-1]
    assert result.code == 2


def test_a_run_that_is_resumed_is_not_tuned(command: Command, dataset, trained) -> None:
    before = (trained / ".hydra/overrides.yaml").read_text()
    result = command("train", f"resume={trained}", "tune=lr")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert f"tune=lr resume={trained}: a run goes on with what it began with" in result.err
    assert (trained / ".hydra/overrides.yaml").read_text() == before


def test_ctrl_c_ends_a_trial_with_one_line(dataset, tmp_path) -> None:
    run = tmp_path / "run"
    options = [*dataset, *BASE, "tune=lr", "tune.lr.steps=1000000", f"paths.run={run}"]
    process = Process(tmp_path, "train", *options, sabotage=say_when_training_starts)
    process.until(lambda: "training" in process.err.read_text())
    process.send(signal.SIGINT)
    result = process.wait()
    assert result.code == 128 + signal.SIGINT
    assert result.err.splitlines() == ["training", "train.py: interrupted"]
    assert not list(run.glob("*.png"))


def say_when_training_starts() -> None:
    def say(self: Task) -> None:
        print("training", file=sys.stderr)

    Task.on_train_start = say  # type: ignore[method-assign]


def test_the_same_rate_is_found_again(command: Command, dataset, tuned_rate, tmp_path) -> None:
    assert command("train", *dataset, *BASE, *LR, f"paths.run={tmp_path / 'again'}").code == 0
    assert found(tuned_rate) == found(tmp_path / "again")
    assert (tuned_rate / "lr_find.png").read_bytes() == (tmp_path / "again/lr_find.png").read_bytes()
