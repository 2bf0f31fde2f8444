"""The benchmarks: their arithmetic and their texts in milliseconds; the raw loop beside a baked project if slow."""

import importlib
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def module(name: str) -> Any:
    return importlib.import_module(name)


def record(contender: str, number: int, cpu_seconds: float, job: str = "text", **more: Any) -> dict[str, Any]:
    return {
        "contender": contender,
        "job": job,
        "round": number,
        "steps": 10,
        "batch_size": 32,
        "cpu_seconds": cpu_seconds,
        "startup_cpu_seconds": 2.0 + number,
    } | more


def test_a_ratio_is_taken_inside_each_round_before_the_median() -> None:
    # The machine slows down from round to round, and the project is twice as slow as the raw loop in each.
    records = [record("raw", n, 10.0**n) for n in (1, 2, 3)] + [record("project", n, 2 * 10.0**n) for n in (1, 2, 3)]
    figure = module("report").figures(records)["text", "project"]
    assert figure.middle == figure.low == figure.high == pytest.approx(0.5)
    assert figure.rounds == 3


def test_the_median_keeps_out_one_bad_round() -> None:
    records = [record("raw", n, 1.0) for n in (1, 2, 3)]
    records += [record("project", n, seconds) for n, seconds in [(1, 1.0), (2, 50.0), (3, 1.0)]]
    figure = module("report").figures(records)["text", "project"]
    assert (figure.middle, figure.low) == (pytest.approx(1.0), pytest.approx(0.02))


def test_bf16_is_compared_with_the_raw_loop_of_the_job_that_it_refers_to() -> None:
    records = [record("raw", 1, 4.0), record("raw", 1, 2.0, "text_bf16"), record("project", 1, 2.5, "text_bf16")]
    found = module("report").figures(records)
    assert found["text_bf16", "raw"].middle == pytest.approx(2.0)
    assert found["text_bf16", "project"].middle == pytest.approx(1.6)


def test_overhead_is_microseconds_beyond_the_raw_step_and_startup_is_seconds() -> None:
    records = [record("raw", 1, 0.001, "overhead"), record("project", 1, 0.004, "overhead")]
    found = module("report").figures([*records, record("project", 1, 1.0, "startup_bow")])
    assert found["overhead", "project"].middle == pytest.approx(300)
    assert found["startup_bow", "project"].middle == pytest.approx(3.0)


def test_a_failure_is_no_figure_and_stops_no_other() -> None:
    records = [record("raw", 1, 1.0), {"contender": "project", "job": "text", "round": 1, "error": "killed"}]
    assert list(module("report").figures(records)) == [("text", "raw")]


def test_the_table_has_a_row_per_contender_and_says_what_the_raw_loop_took() -> None:
    contenders = module("catalog").find()
    table = module("report").table([record("raw", 1, 1.0), record("project", 1, 2.0)], contenders)
    assert table.splitlines() == [
        "| | BERT-tiny, batch 32 |",
        "| --- | ---: |",
        "| raw loop, tuned | 1.00 (1.00 to 1.00) |",
        "| Kindling | 0.50 (0.50 to 0.50) |",
        "| *the raw loop took* | 320 samples/CPU s |",
    ]


def test_every_contender_says_what_it_is_and_which_jobs_it_does() -> None:
    contenders, jobs = module("catalog").find(), module("jobs").JOBS
    assert [one.name for one in contenders][:2] == ["raw", "project"]
    assert {one.name for one in contenders} == {path.stem for path in (BENCHMARKS / "contenders").glob("*.py")}
    for one in contenders:
        assert one.title and one.about and one.jobs
        assert set(one.jobs) <= set(jobs) and set(one.steps) <= set(one.jobs)


def test_every_job_is_done_by_the_raw_loop_and_by_the_project() -> None:
    raw, project, *_ = module("catalog").find()
    assert set(raw.jobs) == set(project.jobs) == set(module("jobs").JOBS)


def test_the_contender_in_the_readme_can_be_added(tmp_path: Path) -> None:
    readme = Path(BENCHMARKS, "README.md").read_text(encoding="utf-8")
    Path(tmp_path, "ignite_engine.py").write_text(readme.partition("```python\n")[2].partition("```")[0])
    (one,) = module("catalog").find(tmp_path)
    assert (one.name, one.title, one.jobs) == ("ignite_engine", "Ignite", ("mlp", "mlp_1024", "overhead"))
    assert one.about == "Ignite's Engine with its default handlers."


def test_the_readme_names_every_contender_and_job() -> None:
    readme = Path(BENCHMARKS, "README.md").read_text(encoding="utf-8")
    names = [f"contenders/{one.name}.py" for one in module("catalog").find()]
    names += [f"`{name}`" for name in module("run").CPU_JOBS]
    assert [name for name in names if name not in readme] == []


def test_the_readme_shows_the_table_that_was_measured_last() -> None:
    readme = Path(BENCHMARKS, "README.md").read_text(encoding="utf-8")
    assert Path(BENCHMARKS, "results/table.md").read_text(encoding="utf-8") in readme


def test_the_texts_are_long_tailed_and_always_the_same() -> None:
    texts = list(module("sentences").sentences(4000))
    assert texts == list(module("sentences").sentences(4000))
    lengths = sorted(len(text.split()) for text, _ in texts)
    assert 22 <= statistics.median(lengths) <= 26
    assert 29 <= statistics.mean(lengths) <= 34
    assert 72 <= lengths[int(0.95 * len(lengths))] <= 90
    assert lengths[-1] <= 253


def test_the_class_can_be_told_from_the_words_but_not_from_most_of_them() -> None:
    texts: list[tuple[str, str]] = list(module("sentences").sentences(4000))
    counts: dict[str, dict[str, int]] = {}
    for text, name in texts[:3000]:
        for word in text.split():
            counts.setdefault(word, {}).setdefault(name, 0)
            counts[word][name] += 1

    def guess(text: str) -> str:
        scores = dict.fromkeys({name for _, name in texts}, 0.0)
        for word in text.split():
            for name, count in counts.get(word, {}).items():
                scores[name] += count / sum(counts[word].values())
        return max(scores, key=scores.__getitem__)

    right = statistics.mean(guess(text) == name for text, name in texts[3000:])
    assert 0.5 < right < 0.98


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        folder = tmp_path_factory.mktemp("benchmarks")
        module("prepare").prepare(folder, ROOT, ["text", "mlp"], [1, 2], share=0.1)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("job", ["text", "mlp"])
def test_the_first_losses_are_those_of_the_raw_loop(work: Path, job: str) -> None:
    run = module("run")
    assert run.compare_losses(work, job) == {
        "job": job,
        "losses": 20,
        "greatest_difference": pytest.approx(0, abs=1e-5),
    }


@pytest.mark.slow
def test_another_seed_gives_other_losses(work: Path) -> None:
    raw, other = (module("run").contend(work, "raw", "text", seed=seed, steps=3, losses=3) for seed in (1, 2))
    assert all(abs(a - b) > 1e-5 for a, b in zip(raw["losses"], other["losses"], strict=True))


@pytest.mark.slow
def test_what_a_contender_does_wrong_is_its_record(work: Path) -> None:
    assert "error" in module("run").contend(work, "nobody", "text", seed=1)
