import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from kindling.data.file import TextFile
from kindling.data.splits import hash_key, split
from kindling.data.texts import normalize


def hashes(texts: list[str]) -> np.ndarray:
    return np.array([hash_key(normalize(text)) for text in texts], dtype=np.uint64)


TEXTS = [f"text number {number}" for number in range(3000)]


def splits_of(texts: list[str], folds: int | None = None, fold: int = 0) -> dict[str, str]:
    """Return the split of each text."""
    return {texts[row]: name for name, rows in split(hashes(texts), folds, fold).items() for row in rows}


@pytest.mark.parametrize(("folds", "fold"), [(None, 0), (3, 1), (5, 4)])
def test_new_rows_move_no_old_row_to_another_split(folds: int | None, fold: int) -> None:
    few = splits_of(TEXTS[1000:2000], folds, fold)
    many = splits_of(TEXTS, folds, fold)
    assert few == {text: many[text] for text in few}
    assert set(few.values()) == {"train", "val", "test"}


def test_new_rows_in_a_file_move_no_old_row_to_another_split(command, reviews, tmp_path) -> None:
    lines = reviews.read_text().splitlines()
    source = tmp_path / "reviews.csv"
    split_of: list[dict[str, str]] = []
    for rows in (lines[1:101], ["first of all,good", *reversed(lines[1:])]):
        source.write_text("\n".join([lines[0], *rows]))
        options = [f"data.path={source}", "data.text=review", "data.label=stars", f"data.dir={tmp_path / 'made'}"]
        assert command("make_dataset", "data=csv", *options).code == 0
        data = TextFile(str(source), "review", "stars", dir=str(tmp_path / "made"), vocab_size=300)
        data.prepare_data()
        data.setup()
        texts = pq.read_table(tmp_path / "made" / "samples.parquet")["text"].to_pylist()
        split_of.append({texts[row]: name for name, rows in data.splits.items() for row in rows})
    before, after = split_of
    assert (len(before), len(after)) == (100, 151)
    assert before == {text: after[text] for text in before}


@pytest.mark.parametrize(("folds", "fold"), [(None, 0), (3, 0), (3, 1), (3, 2)])
def test_texts_that_differ_in_case_or_space_share_a_split(folds: int | None, fold: int) -> None:
    names = splits_of(TEXTS, folds, fold)
    same = {text: f"  {text.upper()} \n".replace(" ", "\t ") for text in TEXTS}
    again = splits_of(list(same.values()), folds, fold)
    assert names == {text: again[twin] for text, twin in same.items()}


def test_the_split_does_not_depend_on_the_label_or_the_order() -> None:
    assert splits_of(TEXTS) == splits_of(TEXTS[::-1])


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
def test_folds_share_out_all_that_is_not_test(folds: int) -> None:
    keys = hashes(TEXTS)
    test = split(keys, None, 0)["test"]
    parts = [split(keys, folds, fold) for fold in range(folds)]
    rest = np.setdiff1d(np.arange(len(TEXTS)), test)
    assert np.array_equal(np.sort(np.concatenate([part["val"] for part in parts])), rest)
    for part in parts:
        assert np.array_equal(part["test"], test)
        assert np.array_equal(np.union1d(part["train"], part["val"]), rest)
        assert not set(part["train"]) & set(part["val"])
        assert len(part["val"]) == pytest.approx(len(rest) / folds, rel=0.2)


def test_the_splits_are_a_partition() -> None:
    rows = np.concatenate(list(split(hashes(TEXTS), None, 0).values()))
    assert np.array_equal(np.sort(rows), np.arange(len(TEXTS)))


def test_a_tenth_of_the_docstrings_validates_and_a_tenth_tests(real_data) -> None:
    facts = json.loads(Path(real_data.partition("=")[2], "docstrings", "dataset.json").read_text())
    shares = {name: count / facts["num_samples"] for name, count in facts["splits"].items()}
    assert shares == pytest.approx({"train": 0.8, "val": 0.1, "test": 0.1}, abs=0.015)


def test_the_docstrings_hold_no_text_twice_across_splits(real_data) -> None:
    table = pq.read_table(Path(real_data.partition("=")[2], "docstrings", "samples.parquet"))
    keys, texts = table["hash"].to_numpy(), table["text"].to_pylist()
    parts = {name: {texts[row].casefold() for row in rows} for name, rows in split(keys, None, 0).items()}
    assert not parts["train"] & parts["test"]
    assert not parts["train"] & parts["val"]
    assert not parts["val"] & parts["test"]


def test_the_hash_of_a_text_is_the_same_for_ever() -> None:
    # Another hash would move the samples of every dataset that was ever made, silently: FORMAT would have to rise.
    assert hash_key(normalize("The quick brown fox")) == 15093929626858416814
