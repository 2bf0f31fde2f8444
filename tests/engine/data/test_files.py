"""Files as people have them."""

import datetime
import decimal
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kindling.data import store
from kindling.data.download import check_digest, download
from kindling.data.faults import doubts
from kindling.data.file import TextFile
from kindling.data.readers import read_rows
from kindling.errors import UsageError

GOOD = [(f"words, {number}", "good" if number % 2 else "bad") for number in range(100)]


def text_file(path: Path, **options) -> TextFile:
    return TextFile(str(path), **{"dir": str(path.parent / "made")} | options)


def write(path: Path, rows: list[tuple[str, str]], delimiter: str = ",", quote: str = '"') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [delimiter.join(f"{quote}{value}{quote}" for value in row) for row in [("text", "label"), *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def line_of(data: TextFile) -> str:
    """Return the one line that refuses the dataset."""
    with pytest.raises(UsageError) as error:
        data.make()
    assert "\n" not in str(error.value)
    assert not data.dir.exists()
    return str(error.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_separates_the_columns_is_found(tmp_path, delimiter: str, mark: str) -> None:
    path = write(tmp_path / "a.csv", GOOD, delimiter, '"' if delimiter == "," else "")
    path.write_text(mark + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert text_file(path).make()["classes"] == {"bad": 50, "good": 50}


@pytest.mark.parametrize("given", [",", "^", "tab", "\\t"])
def test_a_delimiter_that_is_not_plain_is_given(tmp_path, given: str) -> None:
    rows = [(text.replace(",", ";"), label) for text, label in GOOD]
    path = write(tmp_path / "a.csv", rows, {"tab": "\t", "\\t": "\t"}.get(given, given), "")
    assert text_file(path, delimiter=given).make()["num_samples"] == 100


@pytest.mark.parametrize("given", ["", ";;", 3, "\n", '"'])
def test_a_delimiter_that_is_none_is_refused(tmp_path, given: object) -> None:
    with pytest.raises(UsageError, match=r"^data\.delimiter="):
        text_file(tmp_path / "a.csv", delimiter=given)


def test_one_column_with_a_delimiter_in_its_texts_stays_one(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\nmine; yours\nhers\n")
    assert [row for _, row, _ in read_rows(path)] == [{"text": "mine; yours"}, {"text": "hers"}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text,label\ncafé,good\n".encode("latin-1"), "it looks like Latin-1 (Windows-1252): iconv -f windows-1252"),
        ("text,label\ncafé,good\n".encode("utf-16"), "it looks like UTF-16: iconv -f utf-16"),
        (b"text,label\n\x81\x8d,good\n", "byte 0x81 is not UTF-8; save the file in UTF-8"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
            "a pointer of Git LFS, not the file; get it with",
        ),
        (b"\xef\xbb\xbf \n<!DOCTYPE html><p>Sign in, please", "a page of HTML, not the file"),
        (b"PK\x03\x04xl/workbook.xml", "a ZIP archive or a workbook of Excel"),
        (b"\x1f\x8b\x08", "packed with gzip"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_what_is_no_data_is_named(tmp_path, content: bytes, expected: str, suffix: str) -> None:
    if suffix == ".parquet" and b"text" in content.replace(b"\0", b""):
        expected = "not a Parquet file"
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert expected in line_of(text_file(path))


def test_all_faulty_rows_are_counted_at_once_and_can_be_left_out(tmp_path, caplog) -> None:
    path = write(tmp_path / "a.csv", GOOD)
    path.write_text(path.read_text() + '"",good\nfine,\none\n"fine",good\n')
    line = line_of(text_file(path))
    assert line == (
        "a.csv, row 101 (line 102): the text is empty (and 2 more of 104 rows are faulty); mend or remove the row, or "
        "leave such rows out with data.bad_rows=skip"
    )
    made = text_file(path, bad_rows="skip").make()
    assert made["num_samples"] == 101
    assert "3 of 104 rows are left out; a.csv, row 101 (line 102): the text is empty" in caplog.messages
    with pytest.raises(UsageError, match=r"and 2 more of 104 rows"):
        text_file(path).make()
    with pytest.raises(UsageError, match=r"data\.bad_rows=skp: .* did you mean skip\?"):
        text_file(path, bad_rows="skp")


@pytest.mark.parametrize(
    ("classes", "samples", "val", "expected"),
    [
        ({"a": 90, "b": 90}, 180, 20, []),
        ({"a": 90, "A": 90}, 180, 20, ["the classes 'a', 'A' differ in case only"]),
        ({str(number): 1 for number in range(300)}, 300, 30, ["300 classes in 300 samples: are these numbers"]),
        ({"a": 20, "b": 20}, 40, 4, ["only 4 samples in val: metrics of so few are mostly chance"]),
        ({}, 40, 1, ["only 1 sample in val: metrics"]),
    ],
)
def test_what_is_doubtful_is_one_line_each(classes: dict, samples: int, val: int, expected: list[str]) -> None:
    splits = {"train": samples - 2 * val, "val": val, "test": max(val, 10)}
    found = list(doubts({"classes": classes, "num_samples": samples, "splits": splits}))
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_labels_that_differ_in_white_space_are_one_class_and_doubts_are_shown(tmp_path, caplog) -> None:
    rows = [(f"text {number}", ["a", " a", "A", "b"][number % 4]) for number in range(60)]
    made = text_file(write(tmp_path / "a.csv", rows)).make()
    assert made["classes"] == {"A": 15, "a": 30, "b": 15}
    assert [line for line in caplog.messages if "differ in case only" in line]


def invalid_utf8() -> pa.Array:
    return pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xff")]
    )


DATE = datetime.date(2026, 1, 1)
ODD = {  # a column of a Parquet file, and whether it can be a class and a number
    "integers": (pa.array([1], pa.int8()), True, True),
    "large integers": (pa.array([2**64 - 1], pa.uint64()), True, True),
    "half floats": (pa.array([np.float16(1)], pa.float16()), True, True),
    "nan": (pa.array([float("nan")]), False, False),
    "infinite": (pa.array([float("inf")]), True, False),
    "booleans": (pa.array([True]), True, True),
    "nulls": (pa.array([None], pa.null()), False, False),
    "null text": (pa.array([None], pa.string()), False, False),
    "large text": (pa.array(["1"], pa.large_string()), True, True),
    "text views": (pa.array(["1"], pa.string_view()), True, True),
    "dictionary": (pa.array(["1"]).dictionary_encode(), True, True),
    "bytes": (pa.array([b"1"]), False, False),
    "decimal": (pa.array([decimal.Decimal("1.5")]), True, False),
    "date": (pa.array([DATE]), True, False),
    "a date that overflows": (pa.array([2**31 - 1], pa.int32()).cast(pa.date32()), None, None),
    "a time that overflows": (pa.array([2**62], pa.int64()).cast(pa.timestamp("ms")), None, None),
    "nanoseconds": (pa.array([1], pa.int64()).cast(pa.timestamp("ns")), None, False),
    "an unknown time zone": (pa.array([1], pa.timestamp("s", "Nowhere/Land")), None, None),
    "a duration": (pa.array([datetime.timedelta(1)]), True, False),
    "a duration that overflows": (pa.array([2**62], pa.int64()).cast(pa.duration("s")), None, None),
    "invalid UTF-8": (invalid_utf8(), None, None),
    "a list": (pa.array([[1]]), False, False),
    "nested lists": (pa.array([[[1], []]]), False, False),
    "a fixed list": (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), False, False),
    "a struct": (pa.array([{"a": 1}]), False, False),
    "a map": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), False, False),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("labels", ["classes", "numbers"])
def test_a_column_of_any_kind_is_a_label_or_one_line(tmp_path, name: str, labels: str) -> None:
    column, *fits = ODD[name]
    repeated = pa.concat_arrays([column] * 60)
    table = pa.table({"text": [f"text {number}" for number in range(60)], "label": repeated, "other": invalid(60)})
    pq.write_table(table, tmp_path / "a.parquet")
    data = text_file(tmp_path / "a.parquet", labels=labels)
    try:
        made = data.make()
    except UsageError as error:
        assert "\n" not in str(error)
        assert "every label is" in str(error) or fits[labels == "numbers"] in (False, None)
    else:
        assert fits[labels == "numbers"] in (True, None)
        assert made["num_samples"] == 60


def invalid(rows: int) -> pa.Array:
    return pa.concat_arrays([invalid_utf8()] * rows)


@pytest.mark.parametrize("kept", [4, 60, 200, 0.2, 0.5])
def test_a_parquet_file_that_is_cut_off_or_flipped_is_one_line(tmp_path, kept: float) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"some text {number * 7919 % 1000}" for number in range(3000)]
    pq.write_table(pa.table({"text": texts, "label": texts}), path, use_dictionary=False)
    content = bytearray(path.read_bytes())
    if kept < 1:  # the middle is overwritten, the footer whole
        start = int(len(content) * kept * 0.8)
        content[start : start + 500] = bytes(500)
        path.write_bytes(content)
    else:
        path.write_bytes(content[: int(kept)])
    line_of(text_file(path, labels="none", text="text"))


@pytest.mark.parametrize(
    "row",
    [
        '{"text": "a", "label": 1e999}',
        '{"text": "a", "label": NaN}',
        f'{{"text": "a", "label": {"9" * 400}}}',
        f'{{"text": "a", "label": {"9" * 5000}}}',
        '{"text": "a", "label": {"a": 1}}',
        '{"text": "a", "label": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"text": {"a": "b"}, "label": 1}',
        '{"text": true, "label": 1}',
        "null",
        '"text"',
        "{",
        "\x00",
    ],
)
def test_a_row_of_json_of_any_kind_is_one_line(tmp_path, row: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {n}", "label": n}) + "\n" for n in range(99)) + row + "\n")
    assert "a.jsonl, row 100: " in line_of(text_file(path, labels="numbers"))


def test_two_files_of_one_name_do_not_share_a_dataset(tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setenv("PROJECT_ROOT", str(tmp_path))
    one = write(tmp_path / "a" / "reviews.csv", GOOD)
    other = write(tmp_path / "b" / "reviews.csv", [(text, label.upper()) for text, label in GOOD])
    folder = str(tmp_path / "made")
    first, second = text_file(one, dir=folder), text_file(other, dir=folder)
    assert first.make()["file"] == {"path": "a/reviews.csv", "bytes": one.stat().st_size}
    first.check_source()
    with pytest.raises(UsageError, match=r"made was made from a/reviews\.csv; run make_dataset\.py with the same"):
        second.check_source()
    second.make()
    assert [line for line in caplog.messages if "was made from a/reviews.csv before; a folder for each" in line]
    second.check_source()
    caplog.clear()
    shutil.copy(other, tmp_path / "moved.csv")  # the same content elsewhere is the same source
    text_file(tmp_path / "moved.csv", dir=folder).check_source()
    assert not caplog.messages
    one.unlink()
    first.check_source()
    assert "there is no file" in caplog.messages[0]


def test_a_clone_without_the_file_trains_without_a_word(tmp_path, caplog, monkeypatch) -> None:
    """The dataset came with DVC, and the project lies elsewhere."""
    monkeypatch.setenv("PROJECT_ROOT", str(tmp_path / "one"))
    text_file(write(tmp_path / "one" / "raw" / "a.csv", GOOD), dir=str(tmp_path / "one" / "made")).make()
    shutil.move(tmp_path / "one", tmp_path / "two")
    monkeypatch.setenv("PROJECT_ROOT", str(tmp_path / "two"))
    shutil.rmtree(tmp_path / "two" / "raw")
    caplog.clear()
    text_file(tmp_path / "two" / "raw" / "a.csv", dir=str(tmp_path / "two" / "made")).check_source()
    assert not caplog.messages


def test_a_file_that_has_changed_since_is_noticed(tmp_path, caplog) -> None:
    path = write(tmp_path / "a.csv", GOOD)
    text_file(path).make()
    caplog.clear()
    os.utime(path)  # touched, not changed
    text_file(path).check_source()
    assert not caplog.messages
    for content in (path.read_text() + "more,good\n", path.read_text().replace("words", "Words")):
        path.write_text(content)
        text_file(path).check_source()
        assert "has changed since" in caplog.messages.pop()
        caplog.clear()
    facts = json.loads((tmp_path / "made" / "dataset.json").read_text())
    del facts["file"]  # as datasets of earlier versions are
    (tmp_path / "made" / "dataset.json").write_text(json.dumps(facts))
    text_file(path).check_source()
    assert "has changed since" in caplog.messages[0]


def test_training_says_so(command, reviews, tmp_path) -> None:
    source = Path(shutil.copy(reviews, tmp_path / "reviews.csv"))
    options = ["data=csv", f"data.path={source}", "data.text=review", "data.label=stars", "data.vocab_size=300"]
    assert command("make_dataset", *options).code == 0
    source.write_text(source.read_text() + "more,good\n")
    run = ["model=bow", "debug=fast", "logger=[]", "callbacks=[checkpoint]"]
    result = command("train", *options, *run)
    assert result.code == 0, result.err
    assert "reviews.csv has changed since" in result.err
    other = write_other(tmp_path / "other" / "reviews.csv", source)
    result = command("train", *options, f"data.path={other}", *run)
    assert result.code == 2
    assert f"train.py: data.path={other}: " in result.err.splitlines()[-1]


def write_other(path: Path, source: Path) -> Path:
    path.parent.mkdir()
    path.write_text(source.read_text().replace("good", "great"))
    return path


@pytest.mark.parametrize("given", ["1", "0123", "xyz" * 5, "0" * 65, 0.5, "12345678 "])
def test_a_digest_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match=r"^data\.sha256="):
        check_digest(given)


def test_the_digest_counts_when_the_file_is_there(tmp_path) -> None:
    path = write(tmp_path / "a.csv", GOOD)
    digest = store.hash_file(path)
    assert f"its SHA-256 is {digest}" in line_of(text_file(path, sha256="0" * 64))
    assert text_file(path, sha256=digest[:8].upper()).make()["num_samples"] == 100


@pytest.mark.parametrize(
    "url", ["data:", "", "a.csv", "http://", "http://[", "ftp://", "file:///nowhere.csv", "s3://a/b"]
)
def test_an_address_that_is_none_is_one_line(tmp_path, url: str) -> None:
    with pytest.raises(UsageError, match=r"^data\.url=") as error:
        download(url, tmp_path / "raw" / "a.csv")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_download_that_is_refused_does_not_stay(tmp_path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html>Sign in</html>")
    data = text_file(tmp_path / "raw" / "a.csv", url=page.as_uri())
    assert "a page of HTML" in line_of(data)
    assert not data.path.exists()
    data = text_file(tmp_path / "raw" / "a.csv", url=write(tmp_path / "b.csv", GOOD).as_uri(), text="review")
    assert "no column 'review'" in line_of(data)
    assert not data.path.exists()
