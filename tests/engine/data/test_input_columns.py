"""Texts in several columns, from the file to the predictions; texts without labels; datasets of before."""

import csv
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from kindling.data.file import TextFile
from kindling.errors import UsageError
from tokenizers import Tokenizer

COLUMNS = ["data.text=[title,body]", "data.label=agree", "data.vocab_size=400"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """200 rows whose label says whether title and body name the same animal: no column alone tells."""
    generator, path = random.Random(0), tmp_path_factory.mktemp("pairs") / "pairs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "body", "agree"])
        for number in range(200):
            one, other = generator.choice(["cat", "dog"]), generator.choice(["cat", "dog"])
            title = "" if number == 7 else f"about a {one} {number}"
            writer.writerow([number, title, f"there was a {other}", "yes" if one == other else "no"])
    return path


def test_several_columns_go_from_the_file_to_the_predictions(command, pairs, tmp_path) -> None:
    options = ["data=csv", f"data.path={pairs}", *COLUMNS, f"data.dir={tmp_path / 'made'}"]
    result = command("make_dataset", *options)
    assert result.code == 0, result.err
    assert pq.read_schema(tmp_path / "made/samples.parquet").names == ["title", "body", "label", "hash"]
    run = tmp_path / "run"
    short = ["model=lstm", "trainer.max_epochs=2", "logger=[csv]", "callbacks=[checkpoint,report]", f"paths.run={run}"]
    result = command("train", *options, *short)
    assert result.code == 0, result.err
    shown = pd.read_csv(run / "samples.csv")["text"]
    assert shown.str.fullmatch(r"(about a \w+ \d+)? \| there was a \w+").all()
    # The columns are found among others, in any order; both count, and a row needs one of them.
    rows = [{"body": "there was a cat", "x": 1, "title": title} for title in ("about a cat 1", "about a dog 1", "")]
    rows += [{"body": "", "x": 1, "title": ""}, {"body": "", "x": 1, "title": "about a cat 1"}]
    pd.DataFrame(rows).to_csv(tmp_path / "in.csv", index=False)
    result = command("predict", f"checkpoint={run}", f"input={tmp_path / 'in.csv'}")
    assert result.code == 0, result.err
    found = [json.loads(line) for line in result.out.splitlines()]
    assert [row.get("error") for row in found] == [None, None, None, "the title is empty", None]
    assert len({row["probability_yes"] for row in found if "error" not in row}) == 4
    # Other names are given in the order of training.
    renamed = pd.DataFrame(rows).rename(columns={"title": "headline", "body": "content"})
    renamed.to_csv(tmp_path / "renamed.csv", index=False)
    predict = ["predict", f"checkpoint={run}", f"input={tmp_path / 'renamed.csv'}"]
    result = command(*predict, "column=[headline,content]")
    assert [json.loads(line)["prediction"] for line in result.out.splitlines()] == [row["prediction"] for row in found]
    for more, expected in [
        ([], "no column 'title' among content, x, headline; name yours with column="),
        (["column=headline"], "column=headline: the model was trained on 2 columns: title, body"),
    ]:
        result = command(*predict, *more)
        assert result.code == 2
        assert expected in result.err.splitlines()[-1]


def opened(source: Path, folder: Path, **options) -> TextFile:
    data = TextFile(str(source), dir=str(folder), vocab_size=400, **options)
    data.make()
    data.prepare_data()
    data.setup()
    return data


def test_two_texts_stand_behind_each_other_with_a_separator_between(pairs, tmp_path) -> None:
    data = opened(pairs, tmp_path / "made", text=["title", "body"], label="agree")
    ids = data.inputs(np.array([3]))["input_ids"][0].tolist()
    tokenizer = Tokenizer.from_str(data.tokenizer.definition)
    separator = tokenizer.token_to_id("[SEP]")
    assert (ids.count(separator), ids[-1]) == (2, separator)
    first, second = (part.split() for part in tokenizer.decode(ids, skip_special_tokens=False).split("[SEP]")[:2])
    assert {"Ġabout"} <= set(first) - set(second)
    assert {"Ġthere"} <= set(second) - set(first)
    row = pq.read_table(tmp_path / "made/samples.parquet").to_pylist()[3]
    assert data.encode([row])["input_ids"][0].tolist() == ids
    swapped = opened(pairs, tmp_path / "swapped", text=["body", "title"], label="agree")
    assert swapped.hash != data.hash


def test_three_texts_make_one_pair(pairs, tmp_path) -> None:
    data = opened(pairs, tmp_path / "made", text=["title", "body", "id"], label="agree")
    encoded = data.inputs(np.array([3]))["input_ids"]
    row = pq.read_table(tmp_path / "made/samples.parquet").to_pylist()[3]
    assert row["id"] == "3"
    assert torch.equal(data.encode([row])["input_ids"], encoded)
    assert not torch.equal(data.encode([row | {"id": "4"}])["input_ids"], encoded)


@pytest.mark.parametrize("text", [["title", "title"], ["title", "label"], []])
def test_columns_that_can_not_be_told_apart_are_refused_in_one_line(pairs, tmp_path, text: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^data\.text=.*: name one column or several different ones"):
        opened(pairs, tmp_path / "made", text=text, label="agree")


def test_texts_need_no_labels(command, pairs, tmp_path) -> None:
    data = opened(pairs, tmp_path / "made", text="id", labels="none")
    assert data.targets(np.arange(3)) is None
    assert next(iter(data.train_dataloader())).target is None
    assert pq.read_schema(tmp_path / "made/samples.parquet").names == ["text", "hash"]
    options = ["data=csv", f"data.path={pairs}", "data.text=id", f"data.dir={tmp_path / 'made'}", "data.labels=none"]
    assert "up to date" in command("make_dataset", *options).err


def test_a_dataset_of_before_is_used_as_it_is(command, tmp_path) -> None:
    # The content and the sizes are those that earlier versions wrote; the splits depend on the texts alone.
    source = tmp_path / "a.csv"
    source.write_text("\n".join(["text,label", *(f"Some  text {number},{'ab'[number % 2]}" for number in range(150))]))
    data = opened(source, tmp_path / "made")
    table = pq.read_table(tmp_path / "made/samples.parquet")
    assert table.schema == pa.schema([("text", pa.string()), ("label", pa.string()), ("hash", pa.uint64())])
    facts = json.loads((tmp_path / "made/dataset.json").read_text())
    assert facts["format"] == 1
    assert facts["hash"] == "16d5481ac130bfa43512c4fb0c726691a45d093823853f5c92eebfc94324f1f3"
    assert facts["splits"] == {"train": 124, "val": 11, "test": 15}
    assert set(facts["settings"]) == {"labels", "text", "label", "source", "fingerprint", "bad_rows"}
    assert data.split_key({"text": "Some  TEXT 1"}) == b"some text 1"
