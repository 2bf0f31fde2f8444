import functools
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset
from kindling.data import progress
from kindling.data import store as storage
from kindling.data.file import TextFile
from kindling.errors import UsageError

SCHEMA = pa.schema([("text", pa.string()), ("label", pa.string())])
COLUMNS = ["data=csv", "data.text=review", "data.label=stars"]


def sample(number: int) -> Iterator[tuple[dict, bytes]]:
    """Yield so many samples, each with what identifies it."""
    yield from (({"text": f"text {row}", "label": str(row % 2)}, str(row).encode()) for row in range(number))


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    """Return when each file in `folder` changed, and its hash."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


def facts(folder: Path) -> dict:
    return json.loads((folder / "dataset.json").read_text())


def samples(folder: Path) -> list[dict]:
    return pq.read_table(folder / "samples.parquet").to_pylist()


@pytest.fixture
def make(command, tmp_path) -> Callable:
    """Make a dataset in the folder `made` with these options."""
    return lambda *options: command("make_dataset", f"data.dir={tmp_path / 'made'}", *options)


def test_the_docstrings_are_real_text_in_ten_classes(real_data) -> None:
    folder = Path(real_data.partition("=")[2]) / "docstrings"
    made = facts(folder)
    assert len(made["classes"]) == 10
    assert min(made["classes"].values()) > 50
    assert made["num_samples"] == sum(made["classes"].values()) == len(samples(folder)) > 3000
    label = {sample["text"]: sample["label"] for sample in samples(folder)}
    assert next(label[text] for text in label if text.startswith("Deserialize ``fp`` (a ``.read()``")) == "text"
    assert next(label[text] for text in label if text.startswith("Run command with arguments and return")) == (
        "concurrency"
    )


def test_the_docstring_lines_are_logarithms_of_whole_numbers(real_data) -> None:
    folder = Path(real_data.partition("=")[2]) / "docstring_lines"
    labels = pd.Series([sample["label"] for sample in samples(folder)])
    assert facts(folder)["classes"] == {}
    assert labels.min() == 0
    assert labels.max() > 5
    assert (labels.map(lambda label: 2.718281828459045**label) % 1).map(lambda rest: min(rest, 1 - rest)).max() < 1e-6


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_every_file_format_gives_the_same_samples(make, reviews, tmp_path, suffix: str) -> None:
    rows = pd.read_csv(reviews)
    rows["stars"] = rows["stars"].map({"bad": 1, "fair": 2, "good": 3})
    rows.loc[3, "review"] = 'she said "naïve",\nthen\tleft — 終'
    rows.to_csv(tmp_path / "a.csv", index=False)
    rows.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    rows.to_parquet(tmp_path / "a.parquet")
    make(*COLUMNS, f"data.path={tmp_path / 'a.csv'}")
    from_csv, content = samples(tmp_path / "made"), facts(tmp_path / "made")["hash"]
    assert [sample["text"] for sample in from_csv] == list(rows["review"])
    assert [sample["label"] for sample in from_csv] == list(rows["stars"].map(str))
    result = make(*COLUMNS, f"data.path={tmp_path / f'a.{suffix}'}")
    assert result.code == 0, result.err
    assert samples(tmp_path / "made") == from_csv
    assert facts(tmp_path / "made")["hash"] == content


@pytest.fixture
def served(reviews, tmp_path, monkeypatch) -> Iterator[str]:
    """The address of the reviews on a server of this machine, which serves for this test."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = shutil.copytree(reviews.parent, tmp_path / "served", ignore=lambda *_: {"made"})
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{reviews.name}"
        server.shutdown()


def test_a_file_is_downloaded_once(make, reviews, served, tmp_path) -> None:
    raw = tmp_path / "raw/reviews.csv"
    digest = hashlib.sha256(reviews.read_bytes()).hexdigest()
    options = [*COLUMNS, f"data.path={raw}", f"data.sha256={digest}"]
    assert make(*options, f"data.url={served}").code == 0
    assert raw.read_bytes() == reviews.read_bytes()
    before = tree(tmp_path)
    assert "up to date" in make(*options, "data.url=http://127.0.0.1:9/gone.csv").err
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "digest", "expected"),
    [
        ("", "01234567", "it is another file than data.sha256=01234567 says"),
        ("gone.csv", "01234567", "HTTP Error 404"),
    ],
)
def test_a_download_that_is_not_the_file_leaves_nothing(
    make, served, tmp_path, name: str, digest: str, expected: str
) -> None:
    url = f"{served}{name}"
    result = make(*COLUMNS, f"data.path={tmp_path / 'raw/a.csv'}", f"data.url={url}", f"data.sha256='{digest}'")
    assert result.code == 2
    port, file = url.rpartition(":")[2].split("/")
    assert expected.format(port=port, name=file) in result.err.splitlines()[-1]
    assert not (tmp_path / "raw").exists()
    assert not (tmp_path / "made").exists()


def test_a_second_call_does_nothing(make, reviews, tmp_path) -> None:
    make(*COLUMNS, f"data.path={reviews}")
    before = tree(tmp_path / "made")
    result = make(*COLUMNS, f"data.path={reviews}")
    assert "up to date" in result.err
    assert tree(tmp_path / "made") == before


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ("source", []),
        ("text column", ["data.text=stars"]),
        ("label column", ["data.label=review"]),
        ("kind of label", ["data.label=number", "data.labels=numbers"]),
        ("format", []),
    ],
)
def test_a_change_of_anything_it_depends_on_makes_it_anew(
    make, reviews, tmp_path, monkeypatch, change, options
) -> None:
    source = tmp_path / "reviews.csv"
    rows = pd.read_csv(reviews).assign(number=1.5)
    rows.to_csv(source, index=False)
    make(*COLUMNS, f"data.path={source}")
    before = tree(tmp_path / "made")
    if change == "source":
        rows.assign(stars=rows["stars"].replace("good", "great")).to_csv(source, index=False)
    if change == "format":
        monkeypatch.setattr(storage, "FORMAT", 1000)
    result = make(*COLUMNS, f"data.path={source}", *options)
    assert "up to date" not in result.err
    assert result.code == (2 if change == "text column" else 0)  # three texts are too few for three splits
    assert (tree(tmp_path / "made") == before) == (change == "text column")


def test_an_option_that_the_samples_do_not_depend_on_does_not_make_it_anew(make, reviews) -> None:
    make(*COLUMNS, f"data.path={reviews}")
    assert "up to date" in make(*COLUMNS, f"data.path={reviews}", "data.max_length=16", "data.batch_size=2").err


def test_training_refuses_a_dataset_of_another_format(command, make, reviews, tmp_path, monkeypatch) -> None:
    options = [*COLUMNS, f"data.path={reviews}", f"data.dir={tmp_path / 'made'}"]
    make(*options)
    monkeypatch.setattr(storage, "FORMAT", 1000)
    result = command("train", *options, "model=bow", "debug=fast")
    assert result.code == 2
    assert "made by another version of make_dataset.py; run it again" in result.err


def test_raw_data_is_never_changed(make, reviews, tmp_path) -> None:
    source = tmp_path / "raw" / "reviews.csv"
    source.parent.mkdir()
    source.write_bytes(reviews.read_bytes())
    source.chmod(0o444)
    before = tree(source.parent)
    assert make(*COLUMNS, f"data.path={source}").code == 0
    assert tree(source.parent) == before


GOOD = [{"review": f"words {number}", "stars": "good" if number % 2 else "bad"} for number in range(100)]


def as_csv(rows: list[dict]) -> str:
    return pd.DataFrame(rows).to_csv(index=False)


def as_jsonl(rows: list[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def with_row(row: dict) -> str:
    return as_jsonl([*GOOD, row])


BAD = [
    ("a.csv", as_csv(GOOD), ["data.text=revew"], "a.csv, row 1 (line 2): no column 'revew' among review, stars"),
    ("a.jsonl", as_jsonl(GOOD), ["data.label=star"], "a.jsonl, row 1: no column 'star' among review, stars"),
    ("a.csv", as_csv(GOOD).encode() + b"caf\xe9,good\n", [], "a.csv, line 102: byte 0xe9 is not UTF-8"),
    ("a.csv", as_csv(GOOD).encode("utf-16"), [], "a.csv, line 1: byte 0xff is not UTF-8"),
    ("a.csv", as_csv(GOOD) + "  ,good\n", [], "a.csv, row 101 (line 102): the text is empty"),
    ("a.csv", as_csv(GOOD) + "fine,\n", [], "a.csv, row 101 (line 102): the label is empty"),
    ("a.csv", as_csv(GOOD) + "one,two,three\n", [], "a.csv, row 101 (line 102): 3 values for 2 columns"),
    ("a.csv", as_csv(GOOD) + "one\n", [], "a.csv, row 101 (line 102): 1 values for 2 columns"),
    ("a.csv", as_csv(GOOD) + 'a,"never closed\n' + as_csv(GOOD), [], "a.csv, row 101 (line 102): not CSV"),
    ("a.csv", "review,review,stars\n" + "a,b,good\n" * 99, [], "a.csv: two columns are called 'review'"),
    ("a.csv", "", [], "a.csv: the file is empty"),
    ("a.csv", "review,stars\n", [], "the dataset has 0 samples"),
    ("a.csv", as_csv(GOOD[:3]), [], "the dataset has 3 samples, too few for a"),
    ("a.csv", as_csv([row | {"stars": "good"} for row in GOOD]), [], "every label is 'good'"),
    ("a.csv", as_csv(GOOD), ["data.labels=numbers"], "a.csv, row 1 (line 2): the label 'bad' is not a number"),
    ("a.csv", as_csv([{"review": "a", "stars": "nan"}]), ["data.labels=numbers"], "the label 'nan' is not a number"),
    ("a.jsonl", as_jsonl([{"review": "a", "stars": [1]}]), ["data.labels=numbers"], "the label [1] is of type list"),
    ("a.jsonl", with_row({"review": "a", "stars": [1]}), [], "row 101: the label [1] is of type list"),
    ("a.jsonl", with_row({"review": "no label"}), [], "row 101: the label is empty"),
    ("a.jsonl", with_row({"review": "a", "stars": None}), [], "row 101: the label is empty"),
    ("a.jsonl", with_row({"review": 7, "stars": "good"}), [], "row 101: the text 7 is of type int, not text"),
    ("a.jsonl", with_row({"review": "half \ud83d", "stars": "good"}), [], "row 101: not JSON ("),
    ("a.jsonl", as_jsonl(GOOD) + "{'review': 1}\n", [], "a.jsonl, row 101: not JSON"),
    ("a.jsonl", as_jsonl(GOOD) + "[1, 2]\n", [], "a.jsonl, row 101: not a JSON object"),
    ("a.parquet", b"no parquet", [], "a.parquet: not a Parquet file"),
    ("a.xlsx", "", [], "a.xlsx: can't read .xlsx; use one of .csv, .jsonl, .parquet"),
    ("a", "", [], "a: can't read a file without a suffix"),
    ("folder.csv/a.csv", as_csv(GOOD), ["data.path={tmp}/folder.csv"], "folder.csv: no such file"),
    ("a.csv", as_csv(GOOD), ["data.path={tmp}/b.csv"], "b.csv: no such file; did you mean a.csv?"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "expected"), BAD, ids=[expected for *_, expected in BAD])
def test_a_bad_input_is_told_in_one_line_and_leaves_nothing(tmp_path, name, content, options, expected) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = sorted(tmp_path.rglob("*"))
    given = dict(item.format(tmp=tmp_path).removeprefix("data.").split("=") for item in options)
    columns = {"path": str(path), "text": "review", "label": "stars", "dir": str(tmp_path / "made")}
    with pytest.raises(UsageError) as error:
        TextFile(**columns | given).make()
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("row", ["  ,good", "fine,", "one,two,three", 'a,"never closed'])
def test_the_command_says_nothing_else_and_ends_with_two(make, reviews, tmp_path, row: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(reviews.read_text() + row + "\n")
    result = make(*COLUMNS, f"data.path={path}")
    making, mistake = result.err.splitlines()
    assert making == f"Making {tmp_path / 'made'}"
    assert mistake.startswith("make_dataset.py: a.csv, row 151 (line 152): ")
    assert result.code == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_bad_input_leaves_the_dataset_that_was_there(make, reviews, tmp_path) -> None:
    source = tmp_path / "reviews.csv"
    source.write_text(reviews.read_text())
    make(*COLUMNS, f"data.path={source}")
    before = tree(tmp_path / "made")
    source.write_text(reviews.read_text() + "one too few\n")
    assert make(*COLUMNS, f"data.path={source}").code == 2
    assert tree(tmp_path / "made") == before


def test_a_byte_order_mark_and_empty_lines_do_no_harm(make, reviews, tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ufeff" + reviews.read_text().replace("\n", "\n\n"), encoding="utf-8")
    assert make(*COLUMNS, f"data.path={path}").code == 0
    assert len(samples(tmp_path / "made")) == 150


def test_an_interrupted_build_leaves_nothing(tmp_path) -> None:
    def rows() -> Iterator[tuple[dict, bytes]]:
        yield from sample(20_000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.make(tmp_path / "data" / "made", rows(), SCHEMA, {}, ("label",))
    assert not list(tmp_path.rglob("*made*"))


BUILD = """
import sys
from pathlib import Path
import pyarrow as pa
from kindling.data.store import make

def rows():
    for number in range(20_000):
        yield {"text": f"text {number}", "label": str(number % 2)}, str(number).encode()
    print("half", flush=True)
    sys.stdin.read()

make(Path(sys.argv[1]), rows(), pa.schema([("text", pa.string()), ("label", pa.string())]), {}, ("label",))
"""


@pytest.fixture
def kill_while_building():
    """Build a dataset in another process, and kill that when half of the rows are written."""

    def kill(folder: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", BUILD, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout and process.stdout.readline() == b"half\n"
        process.kill()
        assert process.wait() != 0
        process.communicate()

    return kill


def test_a_killed_build_is_never_taken_for_a_whole_one(command, make, reviews, tmp_path, kill_while_building) -> None:
    kill_while_building(tmp_path / "made")
    assert [path for path in tmp_path.rglob("*.parquet") if path.stat().st_size]  # it was half written
    assert not (tmp_path / "made").exists()
    options = [*COLUMNS, f"data.path={reviews}"]
    result = command("train", *options, f"data.dir={tmp_path / 'made'}", "model=bow", "debug=fast")
    assert "not made yet" in result.err
    assert make(*options).code == 0
    assert len(samples(tmp_path / "made")) == 150
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_killed_rebuild_leaves_the_dataset_that_was_there(make, reviews, tmp_path, kill_while_building) -> None:
    make(*COLUMNS, f"data.path={reviews}")
    before = tree(tmp_path / "made")
    kill_while_building(tmp_path / "made")
    assert tree(tmp_path / "made") == before


def test_two_builds_of_one_dataset_at_once_do_not_disturb_each_other(tmp_path) -> None:
    folder = tmp_path / "made"
    command = [sys.executable, "-c", BUILD, str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for other in (500, 20_000):  # another dataset, and the same one
        slow = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert slow.stdout and slow.stdout.readline() == b"half\n"
        storage.make(folder, sample(other), SCHEMA, {}, ("label",))
        before = tree(folder)
        slow.communicate()
        assert slow.returncode == 0
        assert facts(folder)["num_samples"] == len(samples(folder)) == 20_000
        assert (tree(folder) == before) == (other == 20_000)  # what is the same stays: somebody may read it
        assert list(tmp_path.iterdir()) == [folder]


def test_the_tokens_are_made_too_and_training_finds_them(command, make, reviews, tmp_path) -> None:
    options = [*COLUMNS, f"data.path={reviews}"]
    assert "into tokens" in make(*options).err
    before = tree(tmp_path / "made")
    train = [
        *options,
        f"data.dir={tmp_path / 'made'}",
        "model=bow",
        "debug=fast",
        "logger=[]",
        "callbacks=[checkpoint]",
    ]
    assert "into tokens" not in command("train", *train).err
    assert tree(tmp_path / "made") == before
    assert "into tokens" in command("train", *train, "data.max_length=16").err
    for change in (["data.max_length=16"], ["data.folds=3", "data.fold=1"], ["data.vocab_size=300"]):
        result = make(*options, *change)
        assert ("into tokens" in result.err) == (change != ["data.max_length=16"])
        assert "up to date" in result.err
        assert "into tokens" not in command("train", *train, *change).err


def test_missing_tokens_are_made_though_the_samples_are_up_to_date(make, reviews, tmp_path) -> None:
    make(*COLUMNS, f"data.path={reviews}")
    shutil.rmtree(tmp_path / "made" / "tokens")
    assert make(*COLUMNS, f"data.path={reviews}").code == 0
    assert len(list((tmp_path / "made" / "tokens").iterdir())) == 1


def test_a_log_gets_a_line_now_and_then(make, reviews, monkeypatch) -> None:
    options = [*COLUMNS, f"data.path={reviews}"]
    assert "rows" not in make(*options).err
    monkeypatch.setattr(progress, "SECONDS", 0)
    lines = make(*options, "data.labels=classes", "data.label=review").err.splitlines()
    assert [line for line in lines if line.startswith("samples: 150 rows, ")]
    assert [line for line in lines if line.startswith("tokens: 150 of 150 rows, ")]


def test_a_terminal_gets_a_bar(monkeypatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress.show_progress([[1, 2], [3]], "samples", 3)) == [[1, 2], [3]]
    assert "samples" in terminal.getvalue()
    assert "rows/s" in terminal.getvalue()


def test_a_build_leaves_the_unfinished_builds_of_others_alone(make, reviews, tmp_path, kill_while_building) -> None:
    kill_while_building(tmp_path / "made.v2")
    make(*COLUMNS, f"data.path={reviews}")
    assert len(list(tmp_path.glob(".made.v2.*"))) == 1


@pytest.fixture
def hub_rows(reviews) -> pd.DataFrame:
    return pd.read_csv(reviews).rename(columns={"review": "text", "stars": "label"})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_folder_is_a_dataset_of_the_hub(make, hub_rows, tmp_path, suffix: str) -> None:
    folder = tmp_path / "on the hub"
    folder.mkdir()
    for name, rows in [("train", hub_rows[:100]), ("test", hub_rows[100:])]:
        getattr(rows, f"to_{suffix}")(folder / f"{name}.{suffix}", index=False)
    result = make("data=hub", f"data.name='{folder}'")
    assert result.code == 0, result.err
    rows = {(sample["text"], sample["label"]) for sample in samples(tmp_path / "made")}
    assert rows == set(zip(hub_rows["text"], hub_rows["label"], strict=True))
    assert "up to date" in make("data=hub", f"data.name='{folder}'").err


def test_class_numbers_of_the_hub_get_their_names_and_unlabelled_splits_are_left_out(make, hub_rows, tmp_path) -> None:
    names = ClassLabel(names=["bad", "fair", "good"])
    labelled = Dataset.from_pandas(hub_rows, preserve_index=False).cast_column("label", names)
    rest = hub_rows.assign(text=hub_rows["text"] + " not labelled", label=-1)
    unlabelled = Dataset.from_pandas(rest, preserve_index=False).cast_column("label", names)
    for name, split in [("train", labelled), ("test", unlabelled)]:
        path = tmp_path / "hub" / "data" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        split.to_parquet(path)
    result = make("data=hub", f"data.name={tmp_path / 'hub'}")
    assert result.code == 0, result.err
    assert set(facts(tmp_path / "made")["classes"]) == {"bad", "fair", "good"}
    assert [(sample["text"], sample["label"]) for sample in samples(tmp_path / "made")] == list(
        zip(hub_rows["text"], hub_rows["label"], strict=True)
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["data.text=txt"], "no column 'txt' among text, label"),
        (["data.name=nobody/nothing"], "data.name=nobody/nothing: "),
        (["data.subset=english"], "english"),
    ],
)
def test_a_mistake_about_the_hub_is_one_line(make, hub_rows, tmp_path, options: list[str], expected: str) -> None:
    (tmp_path / "hub").mkdir()
    hub_rows.to_csv(tmp_path / "hub" / "train.csv", index=False)
    result = make("data=hub", f"data.name={tmp_path / 'hub'}", *options)
    assert expected in result.err.splitlines()[-1]  # Hugging Face shows its progress before
    assert "Traceback" not in result.err
    assert result.code == 2
    assert not (tmp_path / "made").exists()


def test_a_dataset_of_the_hub_without_any_label_is_told_in_one_line(make, hub_rows, tmp_path) -> None:
    (tmp_path / "hub").mkdir()
    hub_rows.assign(label=-1).to_csv(tmp_path / "hub" / "train.csv", index=False)
    result = make("data=hub", f"data.name={tmp_path / 'hub'}")
    assert result.err.splitlines()[-1].endswith("no split has labels (all are -1)")
    assert "Traceback" not in result.err
    assert result.code == 2


def test_a_first_dataset_that_fails_leaves_no_empty_folder(command, tmp_path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,\n", encoding="utf-8")
    assert command("make_dataset", "data=csv", f"data.path={tmp_path / 'a.csv'}").code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]
