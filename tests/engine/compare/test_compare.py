import csv
import itertools
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
import yaml
from commands import ROOT, run
from kindling.compare.rows import compare
from kindling.compare.significance import Difference, correct, difference
from kindling.compare.tables import left_out
from kindling.runs.run import Run

FAST = ["trainer.max_epochs=1", "logger=[csv]", "callbacks=[record,checkpoint]"]
VERDICTS = ("larger than chance", "may be chance", "too few pairs to tell")


@pytest.fixture(scope="module")
def sweep(dataset, tmp_path_factory) -> Path:
    """A real sweep over two models and two seeds."""
    folder = tmp_path_factory.mktemp("a sweep")
    options = ["-m", *dataset, *FAST, "model=bow,lstm", "seed=1,2", f"paths.run={folder / 'sweep'}"]
    assert run(folder, "train", *options) == 0
    return folder / "sweep"


@pytest.fixture
def runs(sweep: Path, tmp_path: Path) -> Callable[..., Path]:
    """Make a run out of a real one: with other settings, metrics and facts in its record."""

    def make(
        name: str, settings: dict[str, Any] | None = None, value: float = 0.5, seed: int = 1, **record: Any
    ) -> Path:
        settings = {"seed": seed} | (settings or {})
        folder = tmp_path / "runs" / name
        heavy = shutil.ignore_patterns("checkpoints", "packages.txt", "diff.patch", "*.log")
        shutil.copytree(sweep / "0", folder, ignore=heavy)
        edit(folder / "run.json", lambda old: old | {"overrides": overrides(settings), "seed": seed} | record)
        edit(folder / "config.yaml", lambda config: changed(config, settings | {"data.seed": seed}))
        edit(folder / ".hydra/overrides.yaml", lambda _: overrides(settings))
        edit(folder / "metrics.json", lambda metrics: dict.fromkeys(metrics, value))
        return folder

    return make


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    content = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    path.write_text(json.dumps(change(content)), encoding="utf-8")  # JSON is YAML, too


def overrides(settings: dict[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


def changed(config: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    for key, value in settings.items():
        node = config
        *parents, last = key.split(".")
        for parent in parents:
            node = node[parent]
        if not isinstance(node.get(last), dict):  # a group, whose choice Hydra knows
            node[last] = value
    return config


def table(text: str, first: str) -> list[dict[str, str]]:
    """Return the rows of a Markdown table whose first column is called so."""
    lines = text[text.index(f"| {first} ") :].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def compared(command, *arguments: str | Path) -> tuple[str, list[dict[str, str]]]:
    """Run compare.py on the folder `runs`, and return what it wrote as Markdown, and the rows of its CSV."""
    result = command("compare", *map(str, arguments))
    assert result.code == 0, result.err
    folder = Path(arguments[0])
    with (folder / "comparison.csv").open(encoding="utf-8", newline="") as file:
        return (folder / "comparison.md").read_text(encoding="utf-8"), list(csv.DictReader(file))


def test_a_sweep_is_laid_out_best_first_with_what_differs_and_nothing_else(command, sweep, tmp_path) -> None:
    shutil.copytree(sweep, tmp_path / "runs/deep/down/sweep")
    text, lines = compared(command, tmp_path / "runs")
    rows = table(text, "#")
    assert [list(row)[:3] for row in rows] == [["#", "model", "runs"]] * 2
    metrics = {job: json.loads((sweep / job / "metrics.json").read_text()) for job in "0123"}
    values = {
        "bow": [metrics[job]["val/accuracy"] for job in "01"],
        "lstm": [metrics[job]["val/accuracy"] for job in "23"],
    }
    assert [row["model"] for row in rows] == sorted(values, key=lambda model: -mean(values[model]))
    for row in rows:
        numbers = values[row["model"]]
        assert row["val/accuracy"] == f"{mean(numbers):.4f} ± {stdev(numbers):.4f}"
        assert row["status"] == "finished"
        job = "0" if row["model"] == "bow" else "2"
        assert row["parameters"] == f"{json.loads((sweep / job / 'run.json').read_text())['parameters']:,}"
    by_job = {Path(line["run"]).name: line for line in lines}
    for job, measured in metrics.items():
        assert {name: float(by_job[job][name]) for name in measured} == measured  # to the last digit
        assert by_job[job]["seed"] == "12"[int(job) % 2]


def test_the_table_of_a_sweep_is_made_by_the_same_code(command, dataset, tmp_path) -> None:
    result = command("train", "-m", *dataset, *FAST, "model=bow", "seed=1,2", f"paths.run={tmp_path / 'sweep'}")
    with (tmp_path / "sweep/results.csv").open() as file:
        jobs = list(csv.DictReader(file))
    assert [job["status"] for job in jobs] == ["finished", "finished"]
    assert f"python compare.py {tmp_path / 'sweep'}" in result.out


def test_several_folders_and_options_stand_on_the_command_line_as_one_likes(command, runs, tmp_path) -> None:
    first, second, third = (runs(f"{name}/x=1") for name in ("a", "b b", "c"))
    result = command(
        "compare", "metric=test/loss", str(first), str(second.parent), f"output={tmp_path / 'out'}", str(third)
    )
    assert result.code == 0, result.err
    assert "by test/loss, lowest first" in result.out
    assert len((tmp_path / "out/comparison.csv").read_text().splitlines()) == 4
    assert command("compare", f"output={tmp_path / 'out2'}").code == 0  # paths.runs
    assert not (tmp_path / "runs/comparison.md").exists()


def test_the_picture_shows_every_row(command, runs, tmp_path) -> None:
    from matplotlib.image import imread

    for number in range(2):
        runs(f"first/{number}", {"optimizer.lr": 0.1 * (number + 1)}, 0.5 + number / 10)
    compared(command, tmp_path / "runs")
    few = imread(tmp_path / "runs/comparison.png")
    for number in range(2, 30):
        runs(f"first/{number}", {"optimizer.lr": 0.1 * (number + 1)}, 0.5 + number / 100)
    compared(command, tmp_path / "runs")
    many = imread(tmp_path / "runs/comparison.png")
    assert many.shape[0] > 2 * few.shape[0]
    edit(
        tmp_path / "runs/first/2/metrics.json", lambda metrics: {name: value + 1e-2 for name, value in metrics.items()}
    )
    compared(command, tmp_path / "runs")
    moved = (imread(tmp_path / "runs/comparison.png") != many).any(axis=(1, 2)).nonzero()[0]
    assert len(moved) > 0
    assert moved.min() > 0.8 * len(many)  # one of the last rows


@pytest.mark.parametrize(
    ("settings", "edited", "columns"),
    [
        ([{"optimizer.lr": 0.1}, {"optimizer.lr": 0.2}], [{}, {}], ["optimizer.lr"]),
        # seeds, folds, folders, names and loggers are not what is compared
        ([{"seed": 1, "paths.runs": "a", "+tags": "[x]", "logger": "[csv]"}, {"seed": 2}], [{}, {}], []),
        # each on a command line: both are shown, although one tells the other
        ([{"optimizer.lr": 0.1, "data.batch_size": 8}, {"optimizer.lr": 0.2}], [{}, {"data.batch_size": 9}], 2),
        # a file was edited between two runs: no command line tells it
        ([{}, {}], [{"model.hidden_size": 4}, {"model.hidden_size": 5}], ["model.hidden_size"]),
        ([{"optimizer.lr": 0.1}, {"optimizer.lr": 0.2}], [{}, {"model.hidden_size": 5}], 2),
        # what is interpolated follows
        ([{"data.vocab_size": 300}, {}], [{"model.vocab_size": 300}, {}], ["data.vocab_size"]),
    ],
    ids=["option", "where and who", "two options", "edited file", "option and edited file", "interpolated"],
)
def test_columns_are_what_differs_and_matters(command, runs, tmp_path, settings, edited, columns) -> None:
    for number, (on_command_line, in_file) in enumerate(zip(settings, edited, strict=True)):
        known = {key: value for key, value in on_command_line.items() if key in ("optimizer.lr", "data.vocab_size")}
        folder = runs(str(number), known | {"data.batch_size": on_command_line.get("data.batch_size", 32)})
        edit(folder / "config.yaml", lambda config, in_file=in_file: changed(config, in_file))
        edit(folder / "run.json", lambda old, given=on_command_line: old | {"overrides": overrides(given)})
    text, _ = compared(command, tmp_path / "runs")
    shown = list(table(text, "#")[0])
    shown = shown[1 : shown.index("runs")]
    assert len(shown) == columns if isinstance(columns, int) else shown == columns


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ((0.04044586884555775, 0.000675383), {"0.04045", "0.0006754"}),
        ((0.1000001, 0.1000002), {"0.1000001", "0.1000002"}),  # with four digits they would be the same
    ],
)
def test_numbers_are_told_with_four_digits_where_these_tell_them_apart(
    command, runs, tmp_path, rates, expected
) -> None:
    for rate in rates:
        runs(str(rate), {"optimizer.lr": rate})
    text, lines = compared(command, tmp_path / "runs")
    assert {row["optimizer.lr"] for row in table(text, "#")} == expected
    assert {float(line["optimizer.lr"]) for line in lines} == set(rates)


def test_runs_that_did_not_finish_stand_below_with_the_reason_and_rank_nowhere(
    command, runs, dataset, tmp_path
) -> None:
    for seed in (1, 2):
        runs(f"good{seed}", {"optimizer.lr": 0.1}, 2.2 + seed / 100, seed)
        runs(f"bad{seed}", {"optimizer.lr": 0.2}, 2.1 + seed / 70, seed)
    interrupted = runs("interrupted", {"optimizer.lr": 0.3}, status="interrupted", best=None)
    killed = runs("killed", {"optimizer.lr": 0.4}, status="running")
    failed = runs("failed", {"optimizer.lr": 0.5}, status="failed", error="ValueError: too large", best=None)
    early = runs("early", {"optimizer.lr": 0.6}, status="failed", error="UsageError: no", best=None, data=None)
    half = runs("good3", {"optimizer.lr": 0.1}, seed=3, status="interrupted")
    for folder in (interrupted, killed, failed, early, half):
        (folder / "metrics.json").unlink()
    for folder in (failed, early):
        (folder / "csv/metrics.csv").unlink()
    for path in killed.rglob("*"):
        os.utime(path, (time.time() - 7200,) * 2)
    options = [*dataset, *FAST, "model=bow", "data.max_length=0,16", f"paths.run={tmp_path / 'runs/real'}"]
    assert command("train", "-m", *options).code == 1
    text, lines = compared(command, tmp_path / "runs")
    rows = table(text, "#")
    statuses = [row["status"] for row in rows]
    assert statuses[:3] == ["2 finished, 1 interrupted", "finished", "finished"]
    assert rows[0]["val/accuracy"] == f"2.2150 ± {stdev([2.21, 2.22]):.4f}"  # of those that have finished
    assert not any("finished" in status for status in statuses[3:])
    by_rate = {row["optimizer.lr"]: row for row in rows if row["data.max_length"] == "128"}
    reached = next(csv.DictReader((interrupted / "csv/metrics.csv").open()))["val/accuracy"]
    assert by_rate["0.3"]["val/accuracy"] == f"{float(reached):.4f} *"
    assert by_rate["0.5"]["val/accuracy"] == by_rate["0.6"]["val/accuracy"] == "-"
    assert len(table(text, "#1 and")) == 2  # with those that have finished
    assert f"{failed}: failed: ValueError: too large" in text
    assert f"{killed}: running, best epoch so far 1: no sign of life for 2.0 h; go on with resume={killed}" in text
    assert "real/0: failed: UsageError: data.max_length=0" in text
    assert {line["status"] for line in lines} == {"finished", "interrupted", "running", "failed"}
    assert len(lines) == 11


def test_runs_without_a_record_are_not_left_out(command, runs, tmp_path) -> None:
    for seed in (1, 2):
        for rate in (0.1, 0.2):
            folder = runs(f"{rate}-{seed}", {"optimizer.lr": rate}, rate + seed / 100, seed)
            (folder / "run.json").unlink()  # .hydra/config.yaml holds the settings of the real run
            (folder / "config.yaml").rename(folder / ".hydra/config.yaml")
    bare = runs("bare", {"optimizer.lr": "1e-1"}, 0.4, 3)
    for name in ("run.json", "config.yaml", ".hydra/config.yaml", ".hydra/hydra.yaml"):
        (bare / name).unlink()
    text, lines = compared(command, tmp_path / "runs")
    assert len(lines) == 5
    assert text.count("version not recorded") == 2  # what holds no config does not tell its data
    rows = table(text, "#")
    assert [(row["optimizer.lr"], row["runs"]) for row in rows] == [("0.2", "2"), ("0.1", "2")]
    assert table(text, "#1 and")[0]["pairs"] == "2 seeds"


def test_damaged_files_are_told_and_cost_no_more_than_what_they_held(command, runs, tmp_path) -> None:
    folder = runs("a")
    runs("b")
    (folder / "run.json").write_text('{"name": "M1')
    (folder / "csv/metrics.csv").write_bytes(b"\xff\xfe")
    result = command("compare", str(tmp_path / "runs"))
    assert result.code == 0
    assert result.err.count("\n") == 1
    assert "run.json can't be read and is left aside" in result.err
    assert len((tmp_path / "runs/comparison.csv").read_text().splitlines()) == 3


def test_what_was_learned_from_other_data_or_judged_by_another_metric_is_not_ranked_together(
    command, runs, tmp_path
) -> None:
    runs("a", value=0.9)
    runs("b", value=0.8, data={"dir": "data/classes", "hash": "abcdef0123", "md5": None})
    runs("c", value=0.7, monitor="val/loss", mode="min")
    text, _ = compared(command, tmp_path / "runs")
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(titles) == 3
    assert titles[1] == "## classes (abcdef01), Classification, by val/accuracy, highest first"
    assert titles[2].endswith("by val/loss, lowest first")
    assert "#1 and" not in text
    text, _ = compared(command, tmp_path / "runs", "metric=val/loss")
    assert text.count("## ") == 2  # the metric is the same now, the data are not


def test_runs_of_the_same_seed_count_once(command, runs, tmp_path) -> None:
    for name, value, seed in [("a", 0.2, 1), ("b", 0.4, 1), ("c", 0.5, 2)]:
        runs(name, value=value, seed=seed)
    text, _ = compared(command, tmp_path / "runs")
    (row,) = table(text, "#")
    assert row["runs"] == "3"
    assert row["val/accuracy"] == f"0.4000 ± {stdev([0.3, 0.5]):.4f}"
    assert "count once" in text


@pytest.mark.parametrize(("gap", "verdict"), [(0.05, "larger than chance"), (0.0, "may be chance")])
def test_the_verdict_tells_a_difference_from_chance(command, runs, tmp_path, gap: float, verdict: str) -> None:
    from scipy import stats

    noise = np.random.default_rng(3).normal(0, 0.01, (2, 6))
    values = [list(0.5 + noise[0]), list(0.5 - gap + noise[1])]
    for number, row in enumerate(values):
        for seed, value in enumerate(row):
            runs(f"{number}-{seed}", {"optimizer.lr": 0.1 * (number + 1)}, value, seed)
    text, _ = compared(command, tmp_path / "runs")
    first, second = sorted(values, key=lambda row: -mean(row))
    (row,) = table(text, "#1 and")
    expected = stats.ttest_rel(first, second)
    interval = expected.confidence_interval()
    assert row["difference"] == f"{mean(first) - mean(second):.4f}"
    assert row["95% interval"] == f"{interval.low:.4f} to {interval.high:.4f}"
    assert row["p"] == f"{expected.pvalue:.4f}"
    assert (row["pairs"], row["difference is"]) == ("6 seeds", verdict)
    assert "Paired t-test" in text and "Nadeau" not in text


def test_debug_runs_are_left_out_unless_there_are_no_others() -> None:
    def run(name: str, accuracy: float, **choices: str) -> Run:
        record, settings = {"mode": "max", "monitor": "val/accuracy"}, {"model": name}
        return Run(Path(name), record, "finished", None, settings, {}, choices, {"val/accuracy": accuracy}, 1)

    runs = [run("bow", 0.5, debug="fast"), run("lstm", 0.4), run("bert", 0.3)]
    (section,) = compare(runs)
    assert [row.runs[0].folder.name for row in section.ranked] == ["lstm", "bert"]
    assert left_out(runs) == "Left out: 1 run with debug=fast"
    (section,) = compare(runs[:1])
    assert len(section.ranked) == 1
    assert left_out(runs[:1]) == left_out(runs[1:]) == ""


def test_one_seed_tells_nothing(command, runs, tmp_path) -> None:
    runs("a", {"optimizer.lr": 0.1}, 0.5, seed=1)
    runs("b", {"optimizer.lr": 0.2}, 0.9, seed=1)
    for seed in (2, 3):
        runs(f"c{seed}", {"optimizer.lr": 0.3}, 0.8 + seed / 100, seed=seed)
    text, _ = compared(command, tmp_path / "runs")
    assert "Nothing can be said about chance: the best row shares fewer than two seeds" in text
    assert "larger than" not in text


def test_folds_are_tested_as_what_shares_training_samples(command, dataset, tmp_path) -> None:
    from scipy import stats

    options = ["model=bow", "data.folds=3", "data.fold=0,1,2", "optimizer.lr=1e-3,1e-2", "trainer.max_epochs=2"]
    assert command("train", "-m", *dataset, *FAST, *options, f"paths.run={tmp_path / 'runs'}").code == 0
    text, lines = compared(command, tmp_path / "runs", "metric=val/loss")
    (row,) = table(text, "#1 and")
    losses = {
        rate: [float(line["val/loss"]) for line in lines if float(line["optimizer.lr"]) == rate]
        for rate in (1e-3, 1e-2)
    }
    first, second = sorted(losses.values(), key=mean)
    # The usual t, made smaller by the ratio of the standard errors: 1/3 becomes 1/3 + 1/2.
    t = stats.ttest_rel(first, second).statistic * math.sqrt((1 / 3) / (1 / 3 + 1 / 2))
    assert row["p"] == f"{2 * stats.t.sf(abs(t), 2):.4f}"
    assert (row["pairs"], row["p sign flips"]) == ("3 folds", "-")
    assert "Nadeau and Bengio, 2003" in text


@pytest.mark.parametrize("pairs", [2, 5, 9])
def test_the_tests_agree_with_scipy_and_with_brute_force(pairs: int) -> None:
    from scipy import stats

    generator = random.Random(pairs)
    first, second = ({(seed, None, None): generator.gauss(0, 1) for seed in range(pairs)} for _ in range(2))
    found = difference(first | {("other", None, None): 9.0}, second)
    a, b = list(first.values()), list(second.values())
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval()
    assert (found.p, found.low, found.high) == pytest.approx((expected.pvalue, interval.low, interval.high))
    gaps = [x - y for x, y in zip(a, b, strict=True)]
    sums = [
        abs(sum(sign * gap for sign, gap in zip(signs, gaps, strict=True)))
        for signs in itertools.product((1, -1), repeat=pairs)
    ]
    assert found.p_flipped == sum(value >= abs(sum(gaps)) - 1e-9 for value in sums) / 2**pairs
    library = stats.permutation_test((gaps,), np.mean, permutation_type="samples", n_resamples=9999)
    assert found.p_flipped == pytest.approx(library.pvalue)


def test_rows_that_are_equal_or_always_equally_far_apart_are_no_evidence() -> None:
    row = {(seed, None, None): seed / 10 for seed in range(5)}
    assert difference(row, row).p == 1
    further = difference({repeat: value + 0.25 for repeat, value in row.items()}, row)
    assert math.isnan(further.p) and further.verdict.startswith("nothing to tell it by")


def test_holm_counts_all_pairs_of_rows() -> None:
    found = [Difference(5, p=p) for p in (0.01, 0.001, 0.5, math.nan)]
    correct(found, 10)
    assert [one.p_corrected for one in found[:3]] == pytest.approx([0.09, 0.01, 1.0])
    assert math.isnan(found[3].p_corrected)


def false_alarms(num_rows: int, comparisons: int) -> float:
    """Return how often tables of rows that differ by nothing but noise are said to show a difference."""
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(500):
        values = generator.normal(size=(num_rows, 5)) + generator.normal(size=5)  # seeds differ, too
        rows = [{(seed, None, None): float(value) for seed, value in enumerate(row)} for row in values]
        rows.sort(key=lambda row: -mean(row.values()))
        found = [difference(rows[0], row) for row in rows[1:]]
        correct(found, comparisons)
        alarms += any(one.verdict == VERDICTS[0] for one in found)
    return alarms / 500


def test_picking_the_best_of_equal_rows_does_not_raise_false_alarms() -> None:
    assert false_alarms(8, 8 * 7 // 2) < 0.05
    assert false_alarms(8, 7) > 0.06  # what counting the comparisons with the best row alone would give


def test_500_runs_take_seconds_and_no_torch(runs, tmp_path) -> None:
    """Seconds of CPU time, as the tests may share the machine."""
    first = runs("0/0")
    config, record = (yaml.safe_load((first / name).read_text()) for name in ("config.yaml", "run.json"))
    for number in range(1, 500):
        row, seed = divmod(number, 5)
        folder = shutil.copytree(first, tmp_path / f"runs/{row}/{seed}")
        settings = {"optimizer.lr": 1e-3 * 1.05**row, "seed": seed}
        (folder / "config.yaml").write_text(yaml.dump(changed(config, settings), Dumper=yaml.CSafeDumper))
        (folder / "run.json").write_text(json.dumps(record | {"overrides": overrides(settings), "seed": seed}))
        (folder / ".hydra/overrides.yaml").write_text(yaml.safe_dump(overrides(settings)))
        edit(folder / "metrics.json", lambda old, n=number: {name: math.sin(n) for name in old})
    code = "import runpy, sys; runpy.run_path('compare.py', run_name='__main__'); assert 'torch' not in sys.modules"
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": "src"}
    command = [sys.executable, "-c", code, str(tmp_path / "runs")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "and 40 more rows, in comparison.md" in done.stdout
    assert len((tmp_path / "runs/comparison.csv").read_text().splitlines()) == 501
    assert after.ru_utime - before.ru_utime < 10


MISTAKES = [
    ("{folder}/nowhere", "nowhere: no such folder; did you mean {folder}/nowhere near?"),
    ("{empty}", "{empty}: there is no run in it; train a model first"),
    ("{folder} metric=val/acuracy", "metric=val/acuracy: no run has it; did you mean val/accuracy?"),
    ("{folder} mode=most", "mode=most: choose from max, min"),
    ("{folder} metrc=val/loss", "metrc=val/loss: there is no option metrc; did you mean metric?"),
    ("{folder} rows=many", "rows=many: expected a whole number, such as 60"),
    ("{folder} output={file}", "{file}: can't be written to"),
]


@pytest.mark.parametrize(("line", "expected"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_one_line(command, runs, tmp_path, line: str, expected: str) -> None:
    folder = runs("nowhere near").parent
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    names = {"folder": str(folder), "empty": str(tmp_path / "empty"), "file": str(tmp_path / "file")}
    result = command("compare", *(part.format(**names) for part in line.split(" ")))
    assert expected.format(**names) in result.err
    assert result.err.count("\n") == 1, result.err
    assert result.code == 2
    assert not (folder / "comparison.md").exists()
