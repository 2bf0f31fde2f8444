import hashlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from kindling.data import text as text_data
from kindling.data.file import TextFile
from kindling.data.splits import hash_key
from kindling.data.texts import normalize
from kindling.data.tokenizer import TextTokenizer
from kindling.errors import UsageError
from tokenizers import Tokenizer

TEXTS = [f"number {number}: the quick brown fox number {number} jumps" for number in range(300)]

TRAIN = """
import hashlib
from kindling.data.tokenizer import TextTokenizer
texts = [f"number {number}: the quick brown fox number {number} jumps" for number in range(300)]
print(hashlib.sha256(TextTokenizer.train([texts], 400, 64).definition.encode()).hexdigest())
"""


def words(tokenizer: TextTokenizer) -> set[str]:
    return set(Tokenizer.from_str(tokenizer.definition).get_vocab())


def opened(options: list[str], **changes) -> TextFile:
    """Return the data that these command-line options describe, ready to use."""
    given = dict(item.removeprefix("data.").split("=", 1) for item in options if item.startswith("data."))
    given["vocab_size"] = int(given["vocab_size"])
    data = TextFile(**given | changes)
    data.prepare_data()
    data.setup()
    return data


def test_the_same_texts_give_the_same_tokenizer_in_every_process() -> None:
    def digest(seed: str) -> str:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
        return subprocess.check_output([sys.executable, "-c", TRAIN], env=environment, text=True).strip()

    here = hashlib.sha256(TextTokenizer.train([TEXTS], 400, 64).definition.encode()).hexdigest()
    assert {digest("1"), digest("2")} == {here}


def test_the_tokenizer_does_not_depend_on_how_the_texts_are_cut_into_chunks() -> None:
    chunks = [TEXTS[:7], TEXTS[7:200], TEXTS[200:]]
    assert TextTokenizer.train(chunks, 400, 64).definition == TextTokenizer.train([TEXTS], 400, 64).definition


def rare_word_in(share: tuple[float, float], folder: Path) -> TextFile:
    """Return a dataset in which a strange word stands in rows alone whose hash lies in this share of all hashes."""
    rows = []
    for number in range(2000):
        text = f"zyzzyva sample {number}"
        if not share[0] <= hash_key(normalize(text)) / 2**64 < share[1]:
            text = f"plain sample {number}"
        rows.append(f"{text},{'ab'[number % 2]}")
    source = folder / "a.csv"
    source.write_text("\n".join(["text,label", *rows]))
    data = TextFile(str(source), dir=str(folder / "made"), vocab_size=600)
    data.make()
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize(("share", "known"), [((0.0, 0.1), False), ((0.1, 0.2), False), ((0.2, 0.3), True)])
def test_the_tokenizer_learns_from_the_training_split_alone(tmp_path, share: tuple[float, float], known: bool) -> None:
    data = rare_word_in(share, tmp_path)
    assert ("Ġzyzzyva" in words(data.tokenizer)) == known
    assert "Ġsample" in words(data.tokenizer)


def test_the_tokenizer_learns_from_some_of_many_texts(tmp_path, monkeypatch) -> None:
    data = rare_word_in((0.0, 0.0), tmp_path)
    whole = data.tokenizer.definition
    train = data.splits["train"]
    assert sum(len(chunk) for chunk in data._training_texts()) == len(train) > 1500
    monkeypatch.setattr(text_data, "TRAINING_TEXTS", 300)
    monkeypatch.setattr(text_data, "TRAINING_CHARACTERS", 10)
    texts = pq.read_table(data.dir / "samples.parquet")["text"].to_pylist()
    learned = [learned for chunk in data._training_texts() for learned in chunk]
    assert learned == [texts[row][:10] for row in train[:: -(-len(train) // 300)]]
    assert 200 < len(learned) <= 300
    assert data._make_tokenizer().definition == data._make_tokenizer().definition != whole


def test_every_fold_has_a_tokenizer_of_its_own(dataset) -> None:
    first, second = (opened(dataset, folds=3, fold=fold) for fold in (0, 1))
    assert first.tokenizer.definition != second.tokenizer.definition
    assert opened(dataset).tokenizer.definition != first.tokenizer.definition


def test_the_vocabulary_is_no_larger_than_asked_for(dataset) -> None:
    data = opened(dataset, vocab_size=350)
    assert len(words(data.tokenizer)) == 350
    assert int(data.tokens.max()) < 350


def test_tokens_on_disk_are_those_of_the_texts(dataset) -> None:
    data = opened(dataset)
    texts = pq.read_table(data.dir / "samples.parquet")["text"].to_pylist()
    rows = np.array([3, 140, 0, 77])
    stored = data.inputs(rows)
    direct = data.encode([{"review": texts[row]} for row in rows])
    assert stored.keys() == direct.keys() == {"input_ids", "attention_mask"}
    assert all((stored[name] == direct[name]).all() for name in stored)
    assert len(data.offsets) == len(texts) + 1
    assert data.lengths(rows).tolist() == stored["attention_mask"].sum(dim=1).tolist()


def test_tokens_are_cut_once(dataset) -> None:
    def changed() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in data.dir.rglob("*")}

    data = opened(dataset)
    before = changed()
    opened(dataset)
    assert changed() == before
    opened(dataset, max_length=9)
    assert len(changed()) > len(before)


def test_a_long_text_is_cut_off_and_still_ends_as_every_text(dataset) -> None:
    data = opened(dataset, max_length=8)
    short, long = data.tokenizer(["good", "good " * 100])
    start, end = short[0], short[-1]
    assert len(short) < len(long) == 8
    assert (long[0], long[-1]) == (start, end)
    assert int(data.lengths(np.arange(150)).max()) == 8


def test_padding_is_masked_and_goes_to_the_longest_of_the_batch(dataset) -> None:
    data = opened(dataset)
    alone = [
        data.encode([{"review": text}])["input_ids"][0].tolist() for text in ("good", "good film and a dull story")
    ]
    batch = data.encode([{"review": "good"}, {"review": "good film and a dull story"}])
    short, long = len(alone[0]), len(alone[1])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, long)
    assert batch["input_ids"].tolist() == [alone[0] + [data.tokenizer.pad_id] * (long - short), alone[1]]
    assert batch["attention_mask"].tolist() == [[1] * short + [0] * (long - short), [1] * long]


def test_case_makes_no_difference_and_no_text_is_unknown(dataset) -> None:
    tokenizer = opened(dataset).tokenizer
    upper, lower, strange = tokenizer(["GOOD Film", "good film", "終 ☃ \x00"])
    assert upper.tolist() == lower.tolist()
    assert "☃" in Tokenizer.from_str(tokenizer.definition).decode(strange.tolist()) or len(strange) > 5


@pytest.mark.parametrize("num_folds", [None, 3])
def test_a_killed_tokenisation_is_never_taken_for_a_whole_one(dataset, tmp_path, num_folds, monkeypatch) -> None:
    folder = tmp_path / "made"
    given = dict(item.split("=", 1) for item in dataset if item.startswith("data."))
    shutil.copytree(given["data.dir"], folder, ignore=shutil.ignore_patterns("tokens"))
    monkeypatch.setattr(TextTokenizer, "cut", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        opened(dataset, dir=str(folder), folds=num_folds)
    monkeypatch.undo()
    assert not list((folder / "tokens").iterdir())
    assert len(opened(dataset, dir=str(folder), folds=num_folds).offsets) == 151


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(dataset, tmp_path) -> None:
    folder = tmp_path / "made"
    given = dict(item.split("=", 1) for item in dataset if item.startswith("data."))
    shutil.copytree(given["data.dir"], folder, ignore=shutil.ignore_patterns("tokens"))
    opened(dataset, dir=str(folder))
    (tokens,) = (folder / "tokens").iterdir()
    (tokens / "offsets.npy").unlink()
    tokens.rename(tokens.with_name(f".{tokens.name}.{socket.gethostname()}-{os.getpid()}.new"))
    assert len(opened(dataset, dir=str(folder)).offsets) == 151
    assert [path.name for path in (folder / "tokens").iterdir()] == [tokens.name]


def test_a_dataset_that_is_replaced_meanwhile_is_told_in_one_line(dataset, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "made"
    given = dict(item.split("=", 1) for item in dataset if item.startswith("data."))
    shutil.copytree(given["data.dir"], folder, ignore=shutil.ignore_patterns("tokens"))
    cut = TextTokenizer.cut
    monkeypatch.setattr(TextTokenizer, "cut", lambda *args: (shutil.rmtree(folder), cut(*args))[1])
    with pytest.raises(UsageError, match="was replaced while it was cut into tokens; run this again"):
        opened(dataset, dir=str(folder))


def test_a_share_of_the_tokens_is_hidden_from_training_alone(dataset) -> None:
    given = dict(item.removeprefix("data.").split("=") for item in dataset if item.startswith("data."))
    plain, masked = (TextFile(**given | {"vocab_size": 400, "mask": mask}) for mask in (0.0, 0.3))
    for data in (plain, masked):
        data.prepare_data()
        data.setup()
    hidden, changed, total = 0, 0, 0
    for one, other in zip(plain.train_dataloader(), masked.train_dataloader(), strict=True):
        before, after = one[0]["input_ids"], other[0]["input_ids"]
        special = torch.isin(before, plain.tokenizer.special_ids)
        assert torch.equal(before[special], after[special])
        hidden += int((after == masked.tokenizer.mask_id).sum())
        changed += int((before != after).sum())
        total += int((~special).sum())
    assert hidden == changed
    assert 0.25 < hidden / total < 0.35
    for one, other in zip(plain.val_dataloader(), masked.val_dataloader(), strict=True):
        assert torch.equal(one[0]["input_ids"], other[0]["input_ids"])
