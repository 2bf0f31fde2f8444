"""The name of a run: M8__AutoEncoder-BS32-filters32_64-SGD-2e-4__max.975."""

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from kindling.runs.name import brief, full_name, next_number, run_name
from processes import CONTEXT, Process

SHORT = ["model=bow", "trainer.max_epochs=1", "logger=[csv]", "callbacks=[record,checkpoint]"]

AUTOENCODER = """\
import torch
import torchmetrics
from torch import nn


class AutoEncoder(nn.Module):
    def __init__(self, num_outputs, vocab_size, filters, **options):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, filters[0])
        self.layers = nn.Sequential(*(nn.Linear(*pair) for pair in zip(filters, [*filters[1:], num_outputs])))

    def forward(self, input_ids, attention_mask):
        return self.layers(self.embedding(input_ids))


class Fixed(torchmetrics.MeanMetric):
    def update(self, output, target):
        super().update(torch.tensor(0.975))
"""


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2e-4, "2e-4"), (1.5e-5, "1.5e-5"), (0.01, ".01"), (0.00999, "9.99e-3"), (0.975, ".975"), (-0.5, "-.5"),
        (0.78350514, ".7835"), (1.14031, "1.14"), (12.5, "12.5"), (3.0, "3"), (0.0, "0"), (123456.0, "123456"),
        (2.5e7, "2.5e7"), (math.inf, "inf"), (math.nan, "nan"), (32, "32"), (True, "true"), (None, "none"),
        ([32, 64], "32_64"), ([32, 32, 32, 64], "32x3_64"), ([1e-3, 1e-3], "1e-3x2"), ([], ""),
        ("bf16-mixed", "bf16-mixed"), ("org/model name", "org-model-name"), ({"_target_": "torch.optim.SGD"}, "SGD"),
    ],
    ids=str,
)  # fmt: skip
def test_values_are_brief(value: Any, expected: str) -> None:
    assert brief(value) == expected


def test_the_best_value_ends_the_name_once_there_is_one() -> None:
    assert full_name(3, "bert-2e-4", "min", None) == "M3__bert-2e-4"
    assert full_name(3, "bert-2e-4", "min", 1.14) == "M3__bert-2e-4__min1.14"


def test_a_run_has_the_name_of_deeptrain(command: Command, dataset, tmp_path, monkeypatch) -> None:
    (tmp_path / "mine.py").write_text(AUTOENCODER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/.number").write_text("7\n")
    options = ["model._target_=mine.AutoEncoder", "+model.filters=[32,64]", "optimizer=sgd", "optimizer.lr=2e-4"]
    options += ["+task.metrics.metrics.fixed._target_=mine.Fixed", "monitor=val/fixed"]
    pattern = "name_pattern='{model}-BS{data.batch_size}-filters{model.filters}-{optimizer}-{optimizer.lr}'"
    for number in (8, 9):
        run = tmp_path / str(number)
        result = command("train", *dataset, *SHORT, *options, pattern, f"paths.run={run}")
        assert result.code == 0, result.err
        assert run_name(run) == f"M{number}__AutoEncoder-BS32-filters32_64-SGD-2e-4__max.975"


def test_the_best_value_is_that_of_the_metric(command: Command, dataset, tmp_path) -> None:
    options = ["trainer.max_epochs=4", "optimizer.lr=5e-2", "monitor=val/loss", "mode=min"]
    result = command("train", *dataset, *SHORT, *options, f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    found = record(tmp_path / "run")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert found["best"]["value"] == metrics["val/loss"]
    assert found["name"] == f"M1__bow-BS32-AdamW-.05-seed42__min{brief(metrics['val/loss'])}"


def test_a_name_of_ones_own_gets_number_and_value_too(command: Command, dataset, tmp_path) -> None:
    assert command("train", *dataset, *SHORT, "name=baseline", f"paths.run={tmp_path / 'run'}").code == 0
    assert run_name(tmp_path / "run").startswith("M1__baseline__max")


def test_an_option_that_does_not_exist_is_told_before_anything_is_written(command: Command, dataset, tmp_path) -> None:
    result = command("train", *dataset, *SHORT, "name_pattern='{model}-{optimizer.rl}'")
    assert result.code == 2
    assert result.err.splitlines()[-1] == (
        "train.py: name_pattern={model}-{optimizer.rl}: there is no option optimizer.rl; did you mean optimizer.lr?"
    )
    assert not (tmp_path / "runs").exists()


def test_numbers_go_on_from_the_largest(tmp_path) -> None:
    for name, number in [("2026-01-01/12-00-00", 4), ("sweep/3", 11), ("other", 2)]:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text(json.dumps({"number": number}))
    (tmp_path / "other/run.json").with_name("broken").mkdir()
    (tmp_path / "other/broken/run.json").write_text("{")
    assert [next_number(tmp_path) for _ in range(2)] == [12, 13]
    shutil.rmtree(tmp_path / "sweep")
    assert next_number(tmp_path) == 14  # a number is given once


def test_a_number_is_given_once_however_many_ask_at_once(tmp_path) -> None:
    with CONTEXT.Pool(4) as pool:
        numbers = pool.map(next_number, [tmp_path] * 200, chunksize=1)
    assert sorted(numbers) == list(range(1, 201))


def test_runs_and_jobs_that_start_at_once_have_different_numbers(dataset, tmp_path) -> None:
    processes = []
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        several = ["-m", "seed=1,2"] if number == 3 else []
        processes.append(Process(folder, "train", *dataset, *SHORT, *several, f"paths.runs={tmp_path / 'runs'}"))
    results = [process.wait() for process in processes]
    assert [result.code for result in results] == [0] * 4, results
    numbers = [record(file.parent)["number"] for file in tmp_path.glob("runs/**/run.json")]
    assert sorted(numbers) == [1, 2, 3, 4, 5]
