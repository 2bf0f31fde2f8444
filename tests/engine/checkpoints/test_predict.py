import csv
import io
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from kindling.checkpoints import predictor
from kindling.checkpoints.predictor import ROWS_PER_CHUNK, Predictor
from kindling.data import writers as output

CLASSES = ["bad", "fair", "good"]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """More texts than a batch of predict.py holds, of very different lengths, each with its number in it."""
    generator = random.Random(1)
    words = ["great", "dull", "fine", "story", "the", "of"]
    return [f"{' '.join(generator.choices(words, k=generator.choice([1, 9, 90])))} {number}" for number in range(150)]


@pytest.fixture
def predict(command, trained) -> Callable:
    return lambda *options: command("predict", f"checkpoint={trained}", *options)


def write(path: Path, rows: list[dict]) -> Path:
    table = pd.DataFrame(rows)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        path.write_text("\n".join(table["review"]))
    return path


def read(path: Path) -> list[dict]:
    if path.suffix == ".csv":
        return list(csv.DictReader(path.open(encoding="utf-8", newline="")))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return pd.read_parquet(path).to_dict("records")


@pytest.fixture
def type_in(monkeypatch) -> Callable[[bytes], None]:
    """Give the command this standard input."""
    return lambda content: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.fixture(scope="module")
def expected(trained, texts) -> list[dict]:
    return Predictor(trained / "checkpoints/best.ckpt")([{"review": text} for text in texts])


@pytest.mark.parametrize("source", [".csv", ".jsonl", ".parquet", ".txt"])
@pytest.mark.parametrize("target", [".csv", ".jsonl", ".parquet"])
def test_every_row_comes_out_in_order_with_its_prediction(predict, texts, expected, tmp_path, source, target) -> None:
    path = write(tmp_path / f"in{source}", [{"id": number, "review": text} for number, text in enumerate(texts)])
    result = predict(f"input={path}", f"output={tmp_path / f'out{target}'}")
    assert result.code == 0, result.err
    assert result.err.splitlines()[-1].startswith("150 rows, 0 of them without a prediction")
    rows = read(tmp_path / f"out{target}")
    assert [row["text" if source == ".txt" else "review"] for row in rows] == texts
    if source != ".txt":
        assert [int(row["id"]) for row in rows] == list(range(150))
    assert [row["prediction"] for row in rows] == [row["prediction"] for row in expected]
    for name in CLASSES:
        probabilities = [float(row[f"probability_{name}"]) for row in rows]
        assert probabilities == pytest.approx([row[f"probability_{name}"] for row in expected], abs=1e-6)


def test_lines_in_and_json_lines_out_make_a_pipe(predict, type_in, texts, expected) -> None:
    type_in("\n".join(texts).encode())
    result = predict("input=-")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["text"] for row in rows] == texts
    assert [row["prediction"] for row in rows] == [row["prediction"] for row in expected]


def test_the_class_is_that_of_the_highest_probability(expected) -> None:
    for row in expected:
        probabilities = {name: row[f"probability_{name}"] for name in CLASSES}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert row["prediction"] == max(probabilities, key=probabilities.__getitem__)
    assert len({row["prediction"] for row in expected}) == 3


def test_the_model_has_learned_what_the_words_mean(command, dataset, tmp_path) -> None:
    overrides = ["model=bow", "optimizer.lr=3e-2", "trainer.max_epochs=5", "logger=[csv]", "callbacks=[checkpoint]"]
    command("train", *dataset, *overrides, f"paths.run={tmp_path / 'run'}")
    predictor = Predictor(tmp_path / "run/checkpoints/best.ckpt")
    rows = predictor([{"review": text} for text in ("superb lovely great", "decent passable", "awful dull broken")])
    assert [row["prediction"] for row in rows] == ["good", "fair", "bad"]


@pytest.mark.parametrize("model", ["bert", "lstm", "bow"])
def test_a_prediction_does_not_depend_on_the_rows_beside_it(command, dataset, texts, tmp_path, model: str) -> None:
    command("train", *dataset, f"model={model}", "debug=fast", "logger=[csv]", f"paths.run={tmp_path / 'run'}")
    predictor = Predictor(tmp_path / "run/checkpoints/best.ckpt")
    rows = [{"review": text} for text in texts[:40]]
    together = predictor(rows)
    alone = [predictor([row])[0] for row in rows]
    for name in CLASSES:
        name = f"probability_{name}"
        assert [row[name] for row in together] == pytest.approx([row[name] for row in alone], abs=1e-5)


def test_a_regression_predicts_a_number(command, data_of, tmp_path) -> None:
    overrides = ["task=regression", "model=bow", "optimizer.lr=1e-2", "trainer.max_epochs=30"]
    run = tmp_path / "run"
    command("train", *data_of("numbers"), *overrides, "logger=[csv]", "callbacks=[checkpoint]", f"paths.run={run}")
    path = write(tmp_path / "in.csv", [{"review": "lovely great superb"}, {"review": ""}, {"review": "dull and awful"}])
    result = command("predict", f"checkpoint={run}", f"input={path}")
    good, empty, bad = (json.loads(line) for line in result.out.splitlines())
    assert good["prediction"] > 3 > bad["prediction"]
    assert good.keys() == {"review", "prediction"}
    assert empty["error"] == "the text is empty"


BAD_CSV = 'id,review\n1,good film\n2,  \n3,one,too many\n\n4,dull film\n5\n6,"never closed\n'
BAD_JSONL = '{"review": "good film"}\n{"review": null}\n{"review": 7}\n{no json}\n["a"]\n{"review": "\\ud83d"}\n{}\n'


@pytest.mark.parametrize(
    ("name", "content", "problems"),
    [
        (
            "in.csv",
            BAD_CSV,
            [
                "",
                "row 2 (line 3): the text is empty",
                "row 3 (line 4): 3 values for 2 columns",
                "",
                "row 5 (line 7): 1 values for 2 columns",
                "row 6 (line 8): not CSV (unexpected end of data)",
            ],
        ),
        (
            "in.jsonl",
            BAD_JSONL,
            [
                "",
                "row 2: the text is empty",
                "row 3: the text 7 is of type int, not text",
                "row 4: not JSON",
                "row 5: not a JSON object",
                "row 6: not JSON",
                "row 7: the text is empty",
            ],
        ),
        ("in.txt", "good film\n\ndull film\n \n", ["", "row 2: the text is empty", "", "row 4: the text is empty"]),
    ],
)
@pytest.mark.parametrize("output", ["out.csv", "out.jsonl", "out.parquet"])
def test_bad_rows_keep_their_place_and_the_rest_is_predicted(
    predict, tmp_path, name: str, content: str, problems: list[str], output: str
) -> None:
    if (name, output) == ("in.jsonl", "out.parquet"):
        content = content.replace("7", "null")  # a column of Parquet has one type
        problems = [problem.replace("the text 7 is of type int, not text", "the text is empty") for problem in problems]
    (tmp_path / name).write_text(content)
    result = predict(f"input={tmp_path / name}", f"output={tmp_path / output}")
    assert result.code == 0, result.err
    rows = read(tmp_path / output)
    assert len(rows) == len(problems)
    reported = iter(result.err.splitlines())
    for row, problem in zip(rows, problems, strict=True):
        assert (row["prediction"] in CLASSES) == (not problem)
        if problem:
            assert next(reported).startswith(f"{name}, {problem}")
            assert row["error"] in result.err
            assert row["error"].startswith(problem.partition(": ")[2])
    assert next(reported).startswith(f"{len(rows)} rows, {sum(map(bool, problems))} of them without a prediction")


def test_a_line_that_is_not_utf8_is_a_bad_row_of_the_standard_input(predict, type_in) -> None:
    type_in(b"good film\n" + b"caf\xe9\n" + "naïve\r\n".encode())
    result = predict("input=-")
    assert [("error" in json.loads(line)) for line in result.out.splitlines()] == [False, True, False]
    assert json.loads(result.out.splitlines()[2])["text"] == "naïve"
    assert "standard input, row 2: not UTF-8" in result.err
    assert result.code == 0


def test_columns_of_the_input_called_error_or_prediction_do_no_harm(predict, tmp_path) -> None:
    rows = [{"review": text, "prediction": "old", "error": "old"} for text in ("good", "")]
    path = write(tmp_path / "in.csv", rows)
    result = predict(f"input={path}")
    good, bad = (json.loads(line) for line in result.out.splitlines())
    assert good["prediction"] in CLASSES
    assert bad["prediction"] is None
    assert bad["error"] == "the text is empty"
    assert "2 rows, 1 of them" in result.err


def test_bad_rows_alone_are_a_failure(predict, tmp_path) -> None:
    (tmp_path / "in.jsonl").write_text("no json\n[]\n")
    result = predict(f"input={tmp_path / 'in.jsonl'}")
    assert result.code == 2
    assert len(result.out.splitlines()) == 2


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.parquet", "in.txt"])
def test_no_rows_give_no_rows(predict, tmp_path, name: str) -> None:
    if name == "in.parquet":
        pd.DataFrame({"review": pd.Series([], dtype=str)}).to_parquet(tmp_path / name)
    else:
        (tmp_path / name).write_text("review\n" if name == "in.csv" else "")
    result = predict(f"input={tmp_path / name}", f"output={tmp_path / 'out.jsonl'}")
    assert result.code == 0, result.err
    assert (tmp_path / "out.jsonl").read_text() == ""


def test_the_column_of_training_is_found_among_others(predict, tmp_path) -> None:
    path = write(tmp_path / "in.csv", [{"title": "dull awful broken", "review": "great"}])
    assert (
        json.loads(predict(f"input={path}").out)["prediction"]
        == (json.loads(predict(f"input={write(tmp_path / 'one.csv', [{'review': 'great'}])}").out)["prediction"])
    )


def test_the_only_column_needs_a_name_too(predict, tmp_path) -> None:
    path = write(tmp_path / "in.csv", [{"anything": "great"}])
    assert predict(f"input={path}").code == 2
    assert predict(f"input={path}", "column=anything").code == 0


def test_another_column_is_named(predict, tmp_path) -> None:
    path = write(tmp_path / "in.csv", [{"title": "great", "note": "dull"}])
    result = predict(f"input={path}")
    assert result.code == 2
    assert "row 1 (line 2): no column 'review' among title, note; name yours with column=" in result.err
    by_title = json.loads(predict(f"input={path}", "column=title").out)
    by_note = json.loads(predict(f"input={path}", "column=note").out)
    assert by_title["probability_good"] != by_note["probability_good"]


def test_a_row_without_the_column_is_a_bad_row_even_if_it_is_the_first(predict, tmp_path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": 1, "note": "a"}\n{"id": 2, "review": "great"}\n')
    result = predict(f"input={path}")
    assert [json.loads(line).get("error") for line in result.out.splitlines()] == ["the text is empty", None]


def test_a_row_without_the_column_is_a_bad_row_even_after_many(trained) -> None:
    rows = [("", {"review": "great", "id": 1}, "")] * ROWS_PER_CHUNK + [("row 10001", {"id": 2, "note": ""}, "")]
    results = list(Predictor(trained / "checkpoints/best.ckpt").predict(rows, batch_size=1000))
    assert len(results) == len(rows)
    assert [row["prediction"] is None for row in results[-2:]] == [False, True]


def test_values_of_several_types_in_a_column_of_parquet_are_told_in_one_line(predict, tmp_path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": 1, "review": "a"}\n{"id": "x", "review": "b"}\n')
    result = predict(f"input={path}", f"output={tmp_path / 'out.parquet'}")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "use .jsonl" in result.err
    assert sorted(tmp_path.iterdir()) == [path]


def test_the_output_replaces_a_file_in_one_go_and_makes_its_folder(predict, tmp_path) -> None:
    path = write(tmp_path / "in.csv", [{"review": "great"}])
    output = tmp_path / "new" / "out.csv"
    for _ in range(2):
        assert predict(f"input={path}", f"output={output}").code == 0
    assert len(read(output)) == 1
    assert list(output.parent.iterdir()) == [output]


def test_predicting_leaves_nothing_else_behind(predict, tmp_path) -> None:
    path = write(tmp_path / "in.csv", [{"review": "great"}])
    predict(f"input={path}")
    assert list(tmp_path.rglob("*")) == [path]


LATE = [{"id": 1}, {"id": 2, "note": None}, {"id": 2.5, "note": 'a,\n"b"'}, {"id": None, "error": "é"}, {"id": 4}]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_column_or_type_that_only_a_late_row_has_is_a_column_of_all(tmp_path, monkeypatch, suffix: str) -> None:
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 2)
    output.write_rows(tmp_path / f"out{suffix}", iter(LATE))
    rows = read(tmp_path / f"out{suffix}")
    names = ["id", "note", "error"]
    if suffix == ".jsonl":
        assert rows == LATE
    elif suffix == ".csv":
        assert [list(row) for row in rows] == [names] * 5
        wanted = [["" if row.get(name) is None else str(row[name]) for name in names] for row in LATE]
        assert [list(row.values()) for row in rows] == wanted
    else:
        assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
            {name: row.get(name) for name in names} for row in LATE
        ]


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_the_output_appears_whole_or_not_at_all(tmp_path, name: str) -> None:
    def rows(fail: bool) -> Iterator[dict]:
        yield from ({"id": number} for number in range(30_000))
        assert (tmp_path / name).exists() == old
        if fail:
            raise KeyboardInterrupt

    old = False
    with pytest.raises(KeyboardInterrupt):
        output.write_rows(tmp_path / name, rows(fail=True))
    assert not list(tmp_path.iterdir())
    output.write_rows(tmp_path / name, rows(fail=False))
    before, old = (tmp_path / name).read_bytes(), True
    with pytest.raises(KeyboardInterrupt):
        output.write_rows(tmp_path / name, rows(fail=True))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, before)]


class Counted(dict):
    """A row that knows how many of its kind are in memory."""

    alive = 0

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        Counted.alive += 1

    def __del__(self) -> None:
        Counted.alive -= 1


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet", "-"])
def test_many_rows_are_never_in_memory_together(trained, tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.setattr(output, "ROWS_PER_GROUP", 20)
    monkeypatch.setattr(predictor, "ROWS_PER_CHUNK", 20)
    most = 0

    def rows() -> Iterator[tuple[str, dict, str]]:
        nonlocal most
        for number in range(500):
            yield f"row {number}", Counted({"review": f"great {number}"}), ""
            most = max(most, Counted.alive)

    path = name if name == "-" else tmp_path / name
    predictions = Predictor(trained / "checkpoints/best.ckpt").predict(rows())
    output.write_rows(path, (Counted(row) for row in predictions))
    assert 20 <= most < 100


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_with_another_delimiter_is_read_as_one(predict, tmp_path, delimiter: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(f"id{delimiter}review\n1{delimiter}good, film\n2{delimiter}dull film\n")
    rows = [json.loads(line) for line in predict(f"input={path}").out.splitlines()]
    assert [(row["id"], row["review"]) for row in rows] == [("1", "good, film"), ("2", "dull film")]


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", [], "a pointer of Git LFS"),
        ("<html>\n<p>Sign in\n", [], "a page of HTML"),
        ("stars\n3\n4\n", [], "no column 'review' among stars; name yours with column=..."),
        ("review\n \n\t\n", [], "none of its 2 rows got a prediction"),
        ("id^review\n1^good\n", [], "no column 'review'"),
        ("review\ngood\n", ["delimiter=abc"], "delimiter=abc: expected one character"),
    ],
)
def test_what_gets_no_prediction_is_a_mistake(predict, tmp_path, content: str, options: list[str], expected) -> None:
    (tmp_path / "in.csv").write_text(content)
    result = predict(f"input={tmp_path / 'in.csv'}", f"output={tmp_path / 'out.csv'}", *options)
    assert expected in result.err.splitlines()[-1]
    assert result.code == 2
    assert (tmp_path / "out.csv").exists() == ("none of" in expected)


def test_a_file_without_rows_is_no_mistake(predict, tmp_path) -> None:
    (tmp_path / "in.csv").write_text("review\n")
    assert predict(f"input={tmp_path / 'in.csv'}", f"output={tmp_path / 'out.csv'}").code == 0


def test_a_terminal_gets_the_answer_alone(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    rows = [
        {"text": "a", "prediction": "good", "probability_bad": 0.06, "probability_good": 0.94},
        {"text": "b", "prediction": 3.14159265358979},
        {"text": "", "prediction": None, "error": "the text is empty"},
        {"prediction": "\x1b[31mred", "probability_\x1b[31mred": 0.5},
        {"score": 1.5},
    ]
    output.write_rows("-", rows)
    assert capsys.readouterr().out.splitlines() == [
        *("good 0.94", "3.14159", "- (the text is empty)", "?[31mred 0.50", '{"score": 1.5}')
    ]
