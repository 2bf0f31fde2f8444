"""Data of all kinds, brought as a user brings them: a file of under 40 lines and a YAML file that names it."""

import ast
import inspect
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import sample_data
import torch
from interruption import differences, run
from kindling.checkpoints.load import load_data, load_task
from kindling.data.stored import StoredData
from kindling.errors import UsageError
from kindling.project import trust
from processes import forked

trust("sample_data")

SHORT = ["trainer.max_epochs=2", "trainer.log_every_n_steps=1", "data.batch_size=24", "logger=[csv]"]
SHORT += ["callbacks=[checkpoint,learning_rate]", "optimizer.lr=1e-2", "+trainer.enable_progress_bar=false"]
CLASSIFIED = {
    "StoredTable": (4, ["low", "fair", "high"]),
    "StoredImages": (64, ["lies", "stands"]),
    "TableDataset": (4, ["low", "fair", "high"]),
    "ImageDataset": (64, ["stands", "lies"]),
}


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> list[str]:
    """The option by which Hydra finds a folder with YAML files beside the project's."""
    folder = tmp_path_factory.mktemp("configs")
    for group in ("data", "model", "task"):
        (folder / group).mkdir()
    base = "defaults:\n  - base/samples@_here_\n"
    for name in (*CLASSIFIED, "Tags", "Unlabeled", "TwoTargets"):
        own = "classes: [low, fair, high]\n" if name == "TableDataset" else ""
        own += "classes: [stands, lies]\n" if name == "ImageDataset" else ""
        text = f"{base}_target_: sample_data.{name}\ndir: ${{paths.data}}/{name}\n{own}"
        (folder / f"data/{name.lower()}.yaml").write_text(text)
    (folder / "model/net.yaml").write_text("_target_: sample_data.Net\nnum_outputs: ${num_outputs}\nsize: 4\n")
    (folder / "model/tagger.yaml").write_text("_target_: sample_data.Tagger\nnum_outputs: ${num_outputs}\n")
    (folder / "task/reconstruction.yaml").write_text(
        "# @package _global_\nmonitor: val/loss\nmode: min\nnum_outputs: 4\n"
        "task:\n  _target_: sample_data.Reconstruction\n"
    )
    return [f"hydra.searchpath=[file://{folder}]"]


def options_of(name: str, configs: list[str], folder: Path) -> list[str]:
    size = CLASSIFIED.get(name, (4, []))[0]
    task = {"Tags": ["model=tagger", "task._target_=sample_data.Tagging"]}
    task["Tags"] += [f"+task.metrics.metrics.{metric}.ignore_index=-100" for metric in ("accuracy", "f1")]
    task["Unlabeled"] = ["task=reconstruction", "model=net", "callbacks=[checkpoint]"]
    chosen = task.get(name, ["model=net", f"model.size={size}"])
    given = [option for option in SHORT if name != "Unlabeled" or not option.startswith("callbacks")]
    given += ["monitor=val/loss", "mode=min"] if name == "Tags" else []
    return [*configs, f"data={name.lower()}", f"paths.data={folder / 'data'}", *given, *chosen]


def rows_of(name: str) -> list[dict[str, Any]]:
    """Return rows to predict from, as a file has them."""
    if "Image" in name:
        pixels = sample_data.images()[0][:5]
        column = "image" if name == "StoredImages" else "inputs"
        return [{column: (image if column == "image" else image.reshape(-1) / 255).tolist()} for image in pixels]
    if name == "Tags":
        return [{"tokens": [3, 9, 2]}, {"tokens": [1, 2, 3, 4, 5]}]
    if name == "Unlabeled":
        return [{"numbers": row.tolist()} for row in sample_data.table()[0][:5]]
    return [dict(zip(sample_data.NAMES, map(float, row), strict=True)) for row in sample_data.table()[0][:5]]


@pytest.mark.parametrize("name", [*CLASSIFIED, "Tags", "Unlabeled"])
def test_data_of_any_kind_train_resume_to_the_same_bits_and_predict(command, configs, tmp_path, name: str) -> None:
    options = options_of(name, configs, tmp_path)
    made = command("make_dataset", *options[:3])
    assert made.code == 0, made.err
    assert "200 samples" in made.out
    whole = run(tmp_path / "whole", options)
    assert len(whole.batches) >= 10
    assert not {text for epoch, _, text in whole.batches if epoch == 0} & {
        text for epoch, _, text in whole.batches if epoch == 1
    }
    for place in [("train", 2), ("train", 8)]:
        broken = run(tmp_path / f"broken {place[1]}", options, [place], signal.SIGINT)
        assert broken.pieces == 2
        assert differences(whole, broken) == []
    result = command("train", *options, f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows_of(name)) + "{}\n")
    result = command("predict", f"checkpoint={tmp_path / 'run'}", f"input={source}")
    assert result.code == 0, result.err
    *good, bad = (json.loads(line) for line in result.out.splitlines())
    assert all("error" not in row for row in good), good
    assert bad["error"].endswith(" is empty")
    if name in CLASSIFIED:
        assert {row["prediction"] for row in good} <= set(CLASSIFIED[name][1])
    if name == "Tags":
        assert [len(row["prediction"].split()) for row in good][-1] == 5


@pytest.mark.parametrize("name", [*CLASSIFIED, "Tags", "Unlabeled", "TwoTargets"])
def test_a_dataset_takes_under_40_lines(name: str) -> None:
    assert len(inspect.getsource(getattr(sample_data, name)).splitlines()) < 40
    assert "text" not in [node.attr for node in ast.walk(ast.parse(inspect.getsource(getattr(sample_data, name)))) if
                          isinstance(node, ast.Attribute)]  # fmt: skip


def made(name: str, folder: Path, **changes: Any) -> Any:
    data = getattr(sample_data, name)(dir=str(folder / name), **changes)
    data.make()
    data.prepare_data()
    data.setup()
    return data


def test_what_is_stored_comes_back_in_the_shapes_of_the_schema(tmp_path) -> None:
    data = made("StoredImages", tmp_path)
    pixels, lies = sample_data.images()
    rows = np.array([3, 0, 199])
    assert torch.equal(data.inputs(rows)["inputs"], torch.from_numpy(pixels[rows]).float().flatten(1) / 255)
    assert [data.classes[target] for target in data.targets(rows)] == [
        "lies" if lies[row] else "stands" for row in rows
    ]
    assert pq.read_schema(tmp_path / "StoredImages/samples.parquet").names == ["image", "direction", "hash"]
    assert data.encode([{"image": pixels[3].tolist()}])["inputs"].equal(data.inputs(rows[:1])["inputs"])


def test_targets_are_none_one_several_or_one_per_token(tmp_path) -> None:
    rows = np.array([5, 0, 7])
    assert made("Unlabeled", tmp_path).targets(rows) is None
    one = made("StoredTable", tmp_path).targets(rows)
    assert (one.dtype, one.shape) == (torch.int64, (3,))
    several = made("TwoTargets", tmp_path).targets(rows)
    assert torch.equal(several["quality"], one)
    assert torch.equal(several["price"], torch.from_numpy(sample_data.table()[0][rows, 1]))
    tags = made("Tags", tmp_path)
    inputs, targets = tags.inputs(rows)["tokens"], tags.targets(rows)
    assert inputs.shape == targets.shape
    assert torch.equal(inputs == 0, targets == -100)  # the end of a sequence
    assert tags.lengths(rows).tolist() == (inputs != 0).sum(dim=1).tolist()
    samples = [sample for _, sample in tags.samples()]
    assert [tags.classes[tag] for tag in targets[0] if tag >= 0] == samples[5]["tags"]


MISMATCHES = [
    ("StoredImages", {"image": np.zeros((8, 7), np.uint8)}, "image 200: the image is of shape (8, 7), not (8, 8)"),
    ("StoredImages", {"image": np.zeros((8, 8)) + 0.5}, "not of numbers that are uint8"),
    ("StoredImages", {"image": "a.png"}, "image 200: the image a.png is of type str, not a list"),
    ("StoredImages", {"image": None}, "image 200: the image is empty"),
    ("StoredImages", {"direction": None}, "image 200: the direction is empty"),
    ("StoredTable", {"sugar": "much"}, "image 200: the sugar 'much' is not a number"),
    ("StoredTable", {"sugar": float("nan")}, "image 200: the sugar is empty"),
    ("StoredTable", {"hue": [1]}, "image 200: the hue [1] is of type list, not a number"),
    (
        "Tags",
        {"tokens": [1, 99_999]},
        "image 200: the tokens [1, 99999] is of type list, not of numbers that are int16",
    ),
    ("Tags", {"tags": ["up", " "]}, "image 200: the tags is empty"),
]


@pytest.mark.parametrize(("name", "change", "expected"), MISMATCHES, ids=[expected for *_, expected in MISMATCHES])
def test_a_sample_that_does_not_match_the_schema_is_told_with_its_place_and_column(
    tmp_path, monkeypatch, name: str, change: dict[str, Any], expected: str
) -> None:
    kind: type[StoredData] = getattr(sample_data, name)
    original = kind.samples

    def samples(self: StoredData) -> Any:
        rows = list(original(self))
        return iter([*rows, ("image 200", rows[0][1] | change)])

    monkeypatch.setattr(kind, "samples", samples)
    with pytest.raises(UsageError) as error:
        kind(dir=str(tmp_path / "data/made")).make()
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_numbers_may_come_as_text_as_from_a_csv_file(command, configs, tmp_path) -> None:
    options = options_of("StoredTable", configs, tmp_path)
    assert command("make_dataset", *options[:3]).code == 0
    assert command("train", *options, f"paths.run={tmp_path / 'run'}").code == 0
    rows = rows_of("StoredTable")
    lines = [",".join(map(str, row.values())) for row in rows]
    (tmp_path / "in.csv").write_text("\n".join([",".join(sample_data.NAMES), *lines, "1,2,x,4"]))
    result = command("predict", f"checkpoint={tmp_path / 'run'}", f"input={tmp_path / 'in.csv'}")
    assert result.code == 0, result.err
    assert json.loads(result.out.splitlines()[-1])["error"] == "the alcohol 'x' is not a number"
    assert len(result.out.splitlines()) == len(rows) + 1


def test_equal_inputs_share_a_split_and_a_key_of_its_own_decides_otherwise(tmp_path, monkeypatch) -> None:
    data = made("StoredTable", tmp_path)
    split_of = {int(row): name for name, rows in data.splits.items() for row in rows}
    monkeypatch.setattr(sample_data.StoredTable, "split_key", lambda self, sample: str(sample["quality"]).encode())
    by_class = sample_data.StoredTable(dir=str(tmp_path / "other"))
    with pytest.raises(UsageError, match="too few for a"):  # three keys are too few for three splits
        by_class.make()
    assert set(split_of.values()) == {"train", "val", "test"}


def test_a_change_of_the_schema_makes_the_dataset_anew(tmp_path, monkeypatch) -> None:
    made("StoredTable", tmp_path)
    monkeypatch.setattr(sample_data.StoredTable, "schema", sample_data.TwoTargets.schema)
    changed = sample_data.StoredTable(dir=str(tmp_path / "StoredTable"))
    with pytest.raises(UsageError, match=r"^data\.schema=acidity float, .*run make_dataset\.py[^\n]*$"):
        changed.setup()


def dummies(empty: Path, called: bool) -> None:
    """Build data and task from nothing but a checkpoint, and give batches of the one to the other."""
    os.chdir(empty)
    trust("sample_data"), trust("my_project")
    for size in (1, 3):
        batch = load_data("best.ckpt").dummy(size)
        assert batch.size == size and batch.target is None
        task = load_task("best.ckpt")
        assert len(task(batch.inputs) if called else task(**batch.inputs)) == size
    Path("../exported").touch()


@pytest.mark.parametrize("name", [*CLASSIFIED, "Tags", "Unlabeled", "text"])
def test_a_checkpoint_alone_gives_a_batch_that_its_model_takes(command, configs, dataset, tmp_path, name) -> None:
    options = options_of(name, configs, tmp_path)
    if name == "text":
        options = [*dataset, "model=bow", "trainer.max_epochs=1"]
    else:
        assert command("make_dataset", *options[:3]).code == 0
    result = command("train", *options, f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "run/checkpoints/best.ckpt").rename(empty / "best.ckpt")
    shutil.rmtree(tmp_path / "run")
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    forked(dummies, empty, name != "Unlabeled").join(60)
    assert (tmp_path / "exported").exists()
    assert [path.name for path in empty.iterdir()] == ["best.ckpt"]
    assert load_data(empty / "best.ckpt").dummy().size == 2


def test_a_dataset_with_splits_of_its_own_refuses_folds_in_one_line(command, configs, tmp_path) -> None:
    options = options_of("TableDataset", configs, tmp_path)
    result = command("train", *options, "data.folds=3", f"paths.run={tmp_path / 'run'}")
    assert result.code == 2
    assert "data.folds=3: TableDataset has splits of its own" in result.err.splitlines()[-1]


def test_several_worker_processes_load_the_same_batches(configs, tmp_path) -> None:
    options = options_of("ImageDataset", configs, tmp_path)
    one, two = (run(tmp_path / str(workers), [*options, f"data.num_workers={workers}"]) for workers in (0, 2))
    assert differences(one, two) == []
