"""Sweeps that go on after they were killed, share their jobs among processes, and end hopeless trials early."""

import itertools
import json
import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import torch
import yaml
from commands import HERE, ROOT, Command, Result
from interruption import same
from optuna.trial import TrialState
from processes import Process
from pytorch_lightning import Callback, LightningModule, Trainer

FAST = ["model=bow", "trainer.max_epochs=2", "logger=[csv]", "callbacks=[record,checkpoint,pruning]"]
LR = "optimizer.lr=tag(log,interval(1e-3,1e-1))"
SEARCH = ["-m", "sweep=search", *FAST, LR, "model.hidden_size=8,16", "sweep.trials=4"]


class Slow(Callback):
    """Takes its time at every step, and fails or dies where it is told to."""

    def __init__(self, seconds: float = 0.0, fails_at: int | None = None, dies_at: int | None = None) -> None:
        self.seconds = seconds
        self.fails_at = fails_at
        self.dies_at = dies_at

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        time.sleep(self.seconds)
        if trainer.global_step == self.fails_at:
            raise ArithmeticError("no more")
        if trainer.global_step == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)


def slow(**options: Any) -> str:
    settings = ",".join(f"{name}:{value}" for name, value in options.items())
    return "+callbacks.slow={_target_:test_sweep.Slow," + settings + "}"


@pytest.fixture
def train(tmp_path: Path, dataset: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Process]:
    """Start train.py with its runs, and the experiments of searches, in the test's folder."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(HERE)]))
    count = itertools.count()

    def start(*options: str) -> Process:
        own = tmp_path / f"said{next(count)}"
        own.mkdir()
        search = any(option.startswith("sweep=") for option in options)
        experiments = [f"sweep.experiments={tmp_path / 'configs/experiment'}"] if search else []
        return Process(own, "train", *dataset, f"paths.runs={tmp_path / 'runs'}", *experiments, *options)

    return start


@pytest.fixture
def finish(train) -> Callable[..., Result]:
    """Run train.py to its end."""

    def run(*options: str) -> Result:
        return train(*options).wait(400)

    return run


def trials(sweep: Path) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(sweep / "study.log")))
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage).trials


def told(sweep: Path) -> list[tuple[Any, ...]]:
    """Return what a sweep has tried and found."""
    return [(trial.number, trial.params, trial.values, trial.state) for trial in trials(sweep)]


def jobs(sweep: Path) -> list[str]:
    return sorted(path.name for path in sweep.iterdir() if path.is_dir() and path.name.isdigit())


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def count(sweep: Path, *states: TrialState) -> int:
    try:
        return sum(trial.state in states for trial in trials(sweep))
    except (FileNotFoundError, ValueError):
        return 0


LONG = [*SEARCH, "trainer.max_epochs=4", "callbacks.last_checkpoint.every_n_steps=1"]


@pytest.fixture(scope="module")
def whole(dataset: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search that nothing stops."""
    folder = tmp_path_factory.mktemp("whole")
    own = ["sweep.name=whole", f"paths.runs={folder}", f"sweep.experiments={folder}", slow(seconds=0)]
    assert Process(folder, "train", *dataset, *LONG, *own).wait(400).code == 0
    return folder / "sweeps/whole"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_search_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(
    train, finish, whole, tmp_path, number
) -> None:
    options = [*LONG, slow(seconds=0.05)]
    cut = tmp_path / "runs/sweeps/cut"
    process = train(*options, "sweep.name=cut")
    log = cut / "2/csv/metrics.csv"
    process.until(lambda: log.exists() and log.read_text().count("\n") > 1, 300)  # in its second epoch
    before = (cut / "1/metrics.json").stat().st_mtime_ns
    process.send(number)
    stopped = process.wait(200)
    if number == signal.SIGINT:
        assert stopped.code == 130
        assert "Interrupted by SIGINT, with 2 jobs left; go on with: python train.py -m" in stopped.err
        assert "Traceback" not in stopped.err
    assert [trial.state for trial in trials(cut)][2] is TrialState.RUNNING
    result = finish(*options, "sweep.name=cut")
    assert result.code == 0, result.err
    assert "2 jobs to do" in result.err
    assert "Resuming from" in result.err
    assert told(cut) == told(whole)
    assert jobs(cut) == jobs(whole) == ["0", "1", "2", "3"]
    assert (cut / "1/metrics.json").stat().st_mtime_ns == before
    for job in "0123":
        assert same(weights(cut / job), weights(whole / job))
    assert json.loads((cut / "2/run.json").read_text())["resumed"] == 1
    assert not same(weights(cut / "0"), weights(cut / "1"))


def test_a_search_that_has_ended_says_so_and_goes_on_for_more(finish, tmp_path) -> None:
    assert finish(*SEARCH).code == 0
    again = finish(*SEARCH)
    assert again.code == 0
    assert "all jobs are done" in again.err
    assert count(tmp_path / "runs/sweeps/search", TrialState.COMPLETE) == 4
    more = finish(*SEARCH, "sweep.trials=5")
    assert "1 job to do" in more.err
    assert jobs(tmp_path / "runs/sweeps/search") == ["0", "1", "2", "3", "4"]


def test_a_changed_space_is_refused_with_the_difference_or_accepted(finish, tmp_path) -> None:
    sweep = tmp_path / "runs/sweeps/search"
    assert finish(*SEARCH, "sweep.trials=1").code == 0
    other = [*SEARCH, "model.hidden_size=16,32", "trainer.max_epochs=1"]
    refused = finish(*other)
    assert refused.code == 2
    assert refused.err.splitlines()[-1] == (
        f"train.py: {sweep} is a sweep of another space (model.hidden_size 8,16 -> 16,32; trainer.max_epochs 2 -> 1); "
        "begin another with sweep.name=<name>, or go on all the same with sweep.changed=accept"
    )
    assert count(sweep, TrialState.COMPLETE) == 1
    assert finish(*other, "sweep.changed=accept", "sweep.trials=3").code == 0
    for job in "12":
        overrides = yaml.safe_load((sweep / job / ".hydra/overrides.yaml").read_text())
        assert {"model.hidden_size=16", "model.hidden_size=32"} & set(overrides)
    table = pd.read_csv(sweep / "results.csv")
    assert len(table) == 3
    assert "model.hidden_size~2" not in table


def test_the_command_line_wins_over_the_file(finish, tmp_path) -> None:
    done = finish("-m", "sweep=learning_rate", *FAST, "optimizer.lr=0.02", "sweep.trials=2", "trainer.max_epochs=1")
    assert done.code == 0, done.err
    sweep = tmp_path / "runs/sweeps/learning_rate"
    assert all(set(trial.params) == {"optimizer.weight_decay"} for trial in trials(sweep))
    assert len({trial.params["optimizer.weight_decay"] for trial in trials(sweep)}) == 2
    assert all(
        "optimizer.lr=0.02" in yaml.safe_load((sweep / job / ".hydra/overrides.yaml").read_text()) for job in "01"
    )


def spans(sweep: Path) -> dict[int, tuple[float, float]]:
    """Return when each trial began and ended."""
    return {t.number: (t.datetime_start.timestamp(), t.datetime_complete.timestamp()) for t in trials(sweep)}


def test_no_worker_waits_while_there_are_trials(finish, tmp_path) -> None:
    # One trial takes as long as the four others together: whoever waited for it would leave them undone.
    uneven = ["+callbacks.slow._target_=test_sweep.Slow", "+callbacks.slow.seconds=0.25,0.05,0.051,0.052,0.053"]
    options = ["-m", "sweep=grid", *FAST, *uneven, "trainer.max_epochs=3"]
    result = finish(*options, "launcher=local", "launcher.workers=2")
    assert result.code == 0, result.err
    times = list(spans(tmp_path / "runs/sweeps/grid").values())
    begin, last_start = min(start for start, _ in times), max(start for start, _ in times)
    worked = sum(min(end, last_start) - start for start, end in times if start < last_start)
    assert worked > 0.9 * 2 * (last_start - begin)


def test_two_processes_share_a_search(train, tmp_path) -> None:
    options = [*SEARCH, slow(seconds=0.03), "sweep.trials=6"]
    results = [process.wait(500) for process in [train(*options), train(*options)]]
    said = [result.err for result in results]
    assert [result.code for result in results] == [0, 0], said
    sweep = tmp_path / "runs/sweeps/search"
    assert count(sweep, TrialState.COMPLETE) == len(trials(sweep)) == 6
    runs = [len(re.findall(r"^BagOfWords, ", text, re.MULTILINE)) for text in said]
    assert sum(runs) == 6 and min(runs) >= 2


@pytest.mark.parametrize("sampler", sorted(path.stem for path in (ROOT / "configs/sampler").glob("*.yaml")))
def test_every_sampler_samples(finish, tmp_path, sampler: str) -> None:
    lr = "optimizer.lr=0.01,0.03" if sampler == "grid" else LR
    more = ["sweep.sampler.n_startup_trials=2"] if sampler in ("tpe", "cmaes") else []
    result = finish(*SEARCH, lr, f"sampler={sampler}", *more, "trainer.max_epochs=1")
    assert result.code == 0, result.err
    sweep = tmp_path / "runs/sweeps/search"
    found = {tuple(sorted(trial.params.items())) for trial in trials(sweep)}
    assert len(found) == 4
    if sampler == "grid":
        assert {dict(params)["model.hidden_size"] for params in found} == {8, 16}


def test_several_objectives_end_with_a_front(finish, tmp_path) -> None:
    result = finish("-m", "sweep=pareto", *FAST, "data.vocab_size=400", "sweep.trials=5", "trainer.max_epochs=1")
    assert result.code == 0, result.err
    sweep = tmp_path / "runs/sweeps/pareto"
    for trial in trials(sweep):
        run = json.loads((sweep / str(trial.number) / "run.json").read_text())
        assert trial.values == [
            json.loads((sweep / f"{trial.number}/metrics.json").read_text())["val/accuracy"],
            run["parameters"],
        ]
    assert (sweep / "pareto.png").exists()


@pytest.mark.parametrize("pruner", ["median", "successive_halving"])
def test_a_hopeless_trial_is_ended_early(finish, tmp_path, pruner: str) -> None:
    options = ["-m", "sweep=grid", *FAST, "optimizer.lr=0.03,1e-5,0.02,2e-5,0.01,3e-5", f"pruner={pruner}"]
    options += ["trainer.max_epochs=6", "sweep.sampler.seed=3"]
    options += ["sweep.pruner.n_startup_trials=2"] if pruner == "median" else []
    result = finish(*options)
    assert result.code == 0, result.err
    sweep = tmp_path / "runs/sweeps/grid"
    pruned = [trial for trial in trials(sweep) if trial.state is TrialState.PRUNED]
    assert pruned
    assert all(trial.params["optimizer.lr"] < 1e-3 for trial in pruned)
    for trial in pruned:
        folder = sweep / str(trial.number)
        assert json.loads((folder / "run.json").read_text())["status"] == "pruned"
        assert not (folder / "metrics.json").exists()
        assert (
            len(pd.read_csv(folder / "csv/metrics.csv")["val/accuracy"].dropna()) == len(trial.intermediate_values) < 6
        )


def test_a_trial_that_fails_or_dies_is_told_and_the_others_go_on(finish, tmp_path) -> None:
    odd = [
        "+callbacks.slow._target_=test_sweep.Slow",
        "+callbacks.slow.fails_at=2,null",
        "+callbacks.slow.dies_at=3,null",
    ]
    result = finish("-m", "sweep=grid", *FAST, *odd)
    assert result.code == 1
    sweep = tmp_path / "runs/sweeps/grid"
    failed = {trial.number: trial for trial in trials(sweep) if trial.state is TrialState.FAIL}
    assert len(failed) == 3
    errors = [trial.user_attrs["error"] for trial in failed.values()]
    assert sorted(errors) == ["ArithmeticError: no more"] * 2 + [
        "The process was killed by SIGKILL; was there enough memory?"
    ]
    tried = {trial.user_attrs["error"]: trial.user_attrs["attempts"] for trial in failed.values()}
    assert tried == {min(errors): 1, max(errors): 3}, "one that was killed goes on twice"
    assert "was killed by SIGKILL, and is started again (2 of 2); was there enough memory?" in result.err
    for job in failed:
        assert (sweep / f"{job}/error.txt").read_text()
        assert f"Trial {job} failed" in result.err
    assert count(sweep, TrialState.COMPLETE) == 1


def test_a_failed_trial_is_tried_again_from_its_checkpoint(finish, tmp_path) -> None:
    broken = [slow(fails_at=3), "callbacks.last_checkpoint.every_n_steps=1"]
    result = finish(*SEARCH, *broken, "sweep.trials=1", "sweep.retries=2")
    (trial,) = trials(tmp_path / "runs/sweeps/search")
    assert trial.user_attrs["attempts"] == 3  # it fails at the same step each time
    assert result.err.count("and is tried again") == 2
    assert "Resuming from" in result.err


def test_an_experiment_of_the_best_trial_trains_it_again(finish, tmp_path) -> None:
    assert finish(*SEARCH, "sweep.name=tiny").code == 0
    result = finish(
        f"--config-dir={tmp_path / 'configs'}", "experiment=best_of_tiny", f"paths.run={tmp_path / 'again'}"
    )
    assert result.code == 0, result.err
    sweep = tmp_path / "runs/sweeps/tiny"
    best = max(trials(sweep), key=lambda trial: trial.value)
    assert same(weights(tmp_path / "again"), weights(sweep / str(best.number)))


def test_compare_reads_a_search(command: Command, finish, tmp_path) -> None:
    assert finish(*SEARCH).code == 0
    result = command("compare", str(tmp_path / "runs/sweeps/search"))
    assert result.code == 0, result.err
    assert "optimizer.lr" in result.out


# A multirun with a launcher


def test_a_multirun_on_several_workers_equals_the_plain_one(command: Command, finish, dataset, tmp_path) -> None:
    options = ["-m", *FAST, "model=bow,lstm", "seed=1,2"]
    plain = command("train", *dataset, *options, f"paths.run={tmp_path / 'plain'}")
    several = finish(*options, "launcher=local", "launcher.workers=2", f"paths.run={tmp_path / 'several'}")
    assert (plain.code, several.code) == (0, 0), several.err
    assert jobs(tmp_path / "several") == jobs(tmp_path / "plain") == ["0", "1", "2", "3"]
    for job in "0123":
        assert same(weights(tmp_path / f"several/{job}"), weights(tmp_path / f"plain/{job}"))
        assert (tmp_path / f"several/logs/{job}.txt").read_text().count("Metrics: ") == 1
    tables = [pd.read_csv(tmp_path / name / "results.csv") for name in ("plain", "several")]
    columns = ["model", "seed", "val/loss", "test/accuracy"]
    pd.testing.assert_frame_equal(tables[1][columns], tables[0][columns])
    assert several.out.count("±") == plain.out.count("±")


def test_a_multirun_goes_on_in_its_folder(train, finish, tmp_path) -> None:
    options = ["-m", *FAST, "seed=1,2,3", slow(seconds=0.02), "launcher=local", f"paths.run={tmp_path / 'sweep'}"]
    process = train(*options)
    process.until((tmp_path / "sweep/0/metrics.json").exists, 300)
    process.send(signal.SIGTERM)
    stopped = process.wait(200)
    assert stopped.code == 143
    assert "go on with: python train.py -m" in stopped.err
    before = (tmp_path / "sweep/0/metrics.json").stat().st_mtime_ns
    result = finish(*options)
    assert result.code == 0, result.err
    assert jobs(tmp_path / "sweep") == ["0", "1", "2"]
    assert (tmp_path / "sweep/0/metrics.json").stat().st_mtime_ns == before
    other = finish(*options, "seed=4,5")
    assert other.code == 2
    assert "(seed 1,2,3 -> 4,5); choose another folder with paths.run=<folder>" in other.err


def test_gpus_are_dealt_out_one_job_each(finish, tmp_path) -> None:
    # There need be none: what a job is given is an environment.
    options = ["-m", *FAST, "seed=1,2,3,4", slow(seconds=0.01), "launcher=local", "launcher.gpus=[4,7]"]
    options += ["trainer.gpus=1", "trainer.accelerator=gpu", f"paths.run={tmp_path / 'sweep'}"]
    spy = "+callbacks.spy={_target_:test_sweep.Environment,path:${paths.output}/gpus.txt}"
    result = finish(*options, spy)
    assert result.code == 1  # as there are none
    given = [(tmp_path / f"sweep/{job}/gpus.txt").read_text() for job in jobs(tmp_path / "sweep")]
    assert sorted(set(given)) == ["4", "7"]
    too_many = finish(*options, "launcher.workers=3", f"paths.run={tmp_path / 'other'}")
    assert too_many.code == 2
    assert "launcher.workers=3: 1 GPU per job, and there are 2; use at most 2" in too_many.err


class Environment(Callback):
    """Writes down which GPUs the job was given."""

    def __init__(self, path: str) -> None:
        Path(path).write_text(os.environ["CUDA_VISIBLE_DEVICES"])


MISTAKES: Sequence[tuple[list[str], str]] = [
    (["sweep=search"], "sweep=search: this is for a sweep; add -m"),
    (["launcher=local"], "launcher=local: this is for a sweep; add -m"),
    (["-m", "sweep=lr"], "sweep=lr: there is no such sweep; choose from grid, learning_rate, pareto, search"),
    (["-m", "sweep=search", "sampler=tpa"], "sampler=tpa: there is no such sampler; did you mean tpe?"),
    (["-m", "optimizer.lr=interval(1e-4,1e-1)"], "optimizer.lr=interval(1e-4,1e-1): no end of values"),
    (["-m", "sweep=grid", "optimizer.lr=interval(1e-4,1e-1)"], "optimizer.lr=interval(1e-4,1e-1): no end of values"),
    (["-m", "sweep=search", "optimizer.lr=interval(2,1.5)"], "optimizer.lr: `low <= high` must hold"),
    (["-m", "sweep=search"], "sweep: no option has several values, so that all trials would be the same"),
    (["-m", "sweep=search", "sweep.trials=0"], "sweep.trials=0: expected 1 or more"),
    (
        ["-m", "sweep=search", "sweep.objectives={test/loss:min}"],
        "sweep.objectives: test/loss: a search would fit the test",
    ),
    (
        ["-m", "sweep=search", "sweep.objectives={val/loss:low}"],
        "sweep.objectives: val/loss: low: choose from max, min",
    ),
    (["-m", "sweep=search", "sweep.storage=nosql://x"], "sweep.storage: can't be used"),
    (["-m", "launcher=local", "launcher.workers=0"], "launcher.workers=0: expected a whole number from 1"),
    (
        ["-m", "sweep=search", "optimizr.lr=1,2"],
        "optimizr.lr=1,2: there is no option optimizr.lr; did you mean optimizer.lr?",
    ),
]


@pytest.mark.parametrize(
    ("options", "line"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_mistakes_are_one_line(command: Command, dataset, tmp_path, options: list[str], line: str) -> None:
    result = command("train", *dataset, "model=bow", *options)
    assert result.code == 2, result.err
    assert f"train.py: {line}" in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "runs").exists()
