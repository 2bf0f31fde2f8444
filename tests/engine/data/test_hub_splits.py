"""A dataset of the hub with train, validation and test of its own, as a local folder."""

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from kindling.data.splits import hash_key
from kindling.data.texts import normalize


@pytest.fixture
def hub(reviews, tmp_path) -> Path:
    """A folder of 100, 20 and 30 rows; two of the test set are in train, too, one in other letters."""
    rows = pd.read_csv(reviews).rename(columns={"review": "text", "stars": "label"})
    (tmp_path / "hub").mkdir()
    parts = {"train": rows[:100], "validation": rows[100:120], "test": rows[120:]}
    parts["test"] = pd.concat([parts["test"], rows[3:4], rows[5:6].assign(text=rows["text"][5].upper())])
    for name, part in parts.items():
        part.to_csv(tmp_path / "hub" / f"{name}.csv", index=False)
    return tmp_path / "hub"


@pytest.fixture
def make(command, hub, tmp_path):
    return lambda *options: command(
        "make_dataset", "data=hub", f"data.name={hub}", f"data.dir={tmp_path / 'd'}", *options
    )


def split_of(folder: Path) -> dict[str, str]:
    rows = pq.read_table(folder / "samples.parquet").to_pylist()
    return {row["text"]: row["split"] for row in rows}


def facts(folder: Path) -> dict:
    return json.loads((folder / "dataset.json").read_text())


def test_its_own_splits_are_kept_and_what_they_share_is_counted(make, command, hub, tmp_path) -> None:
    result = make()
    assert result.code == 0, result.err
    assert facts(tmp_path / "d")["splits"] == {"train": 100, "val": 20, "test": 32}
    assert "2 samples are in train and test; data.splits=hash would keep them apart" in result.err
    expected = {name: pd.read_csv(hub / f"{name}.csv")["text"] for name in ("train", "validation", "test")}
    rows = pq.read_table(tmp_path / "d/samples.parquet").to_pylist()
    for name, texts in expected.items():
        own = "val" if name == "validation" else name
        assert [row["text"] for row in rows if row["split"] == own] == list(texts)
    options = ["data=hub", f"data.name={hub}", f"data.dir={tmp_path / 'd'}", "model=bow", "trainer.max_epochs=1"]
    result = command(
        "train", *options, "logger=[csv]", "callbacks=[checkpoint,report]", f"paths.run={tmp_path / 'run'}"
    )
    assert result.code == 0, result.err
    assert "100 train, 20 val, 32 test" in result.err
    predicted = pd.read_csv(tmp_path / "run/predictions.csv")
    assert [rows[row]["split"] for row in predicted["row"]] == ["test"] * 32
    assert list(predicted["actual"]) == [rows[row]["label"] for row in predicted["row"]]


def test_ours_are_there_on_request_and_share_nothing(make, tmp_path) -> None:
    result = make("data.splits=hash")
    assert result.code == 0, result.err
    assert "samples are in" not in result.err
    table = pq.read_table(tmp_path / "d/samples.parquet").to_pylist()
    assert {name for row in table for name in row} == {"text", "label", "hash"}
    assert facts(tmp_path / "d")["splits"] != {"train": 100, "val": 20, "test": 32}


@pytest.mark.parametrize(("missing", "own"), [("validation", "val"), ("test", "test")])
def test_what_is_missing_becomes_a_part_of_train_by_the_hash(make, hub, tmp_path, missing: str, own: str) -> None:
    (hub / f"{missing}.csv").unlink()
    result = make()
    assert result.code == 0, result.err
    assert f"has no {own} split: a tenth of train becomes one" in result.err
    sizes = facts(tmp_path / "d")["splits"]
    low, high = (0.1, 0.2) if own == "val" else (0, 0.1)
    texts = pd.read_csv(hub / "train.csv")["text"]
    assert sizes[own] == sum(low <= hash_key(normalize(text)) / 2**64 < high for text in texts) > 0
    assert sizes["train"] == 100 - sizes[own]
    assert {"val", "test"} <= sizes.keys()


def test_folds_divide_train_and_validation_and_leave_the_test_set_alone(make, command, hub, tmp_path) -> None:
    make("data.folds=3")
    sizes = []
    for fold in range(3):
        options = ["data=hub", f"data.name={hub}", f"data.dir={tmp_path / 'd'}", "model=bow", "debug=fast"]
        result = command("train", *options, "logger=[]", "callbacks=[checkpoint]", "data.folds=3", f"data.fold={fold}")
        (line,) = (line for line in result.err.splitlines() if " test" in line and " val" in line)
        sizes.append([int(part.split()[0]) for part in line.rpartition(": ")[2].split(", ")])
    assert [test for *_, test in sizes] == [32] * 3
    assert [train + val for train, val, _ in sizes] == [120] * 3
    assert sum(val for _, val, _ in sizes) == 120


def test_a_dataset_that_was_split_otherwise_is_refused_in_one_line(make, command, hub, tmp_path) -> None:
    make("data.splits=hash")
    file = tmp_path / "d/dataset.json"
    made = json.loads(file.read_text())
    del made["settings"]["splits"]  # as earlier versions wrote it
    file.write_text(json.dumps(made))
    options = ["data=hub", f"data.name={hub}", f"data.dir={tmp_path / 'd'}", "model=bow", "debug=fast"]
    result = command("train", *options)
    assert result.code == 2
    assert result.err.splitlines()[-1].endswith("was made with hash; run make_dataset.py with the same data options")
    assert command("train", *options, "data.splits=hash", "logger=[]", "callbacks=[checkpoint]").code == 0


def test_a_choice_that_is_none_is_one_line(make) -> None:
    result = make("data.splits=ours")
    assert result.code == 2
    assert result.err.splitlines()[-1].endswith("there is no such choice; choose from hash, own")
