"""What a comparison shows of many settings, in a table, on a page for a browser and as JSON."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from kindling.compare.differing import telling
from kindling.compare.facts import comparison_facts
from kindling.compare.page import write_page
from kindling.compare.rows import MOST_COLUMNS, Section, compare, judge
from kindling.compare.tables import assumptions, notes, section_cells
from kindling.json_output import json_output
from kindling.runs.run import Run


def run(name: str, settings: dict[str, Any], value: float, seed: int = 1) -> Run:
    record = {"name": name, "monitor": "val/accuracy", "mode": "max", "seed": seed, "seconds": 2.5, "parameters": 7}
    record["data"] = {"dir": "data/reviews", "hash": "abcdef0123"}
    metrics = {"val/accuracy": value, "test/accuracy": value / 2}
    return Run(Path("runs", name), record, "finished", None, settings, settings, {}, metrics, 0)


def section_of(runs: list[Run]) -> Section:
    (section,) = compare(runs)
    judge(section)
    return section


def random_search(count: int, columns: int) -> list[Run]:
    """Runs that differ in many settings, of which some take two values and one takes all."""
    names = [f"model.option_{column}" for column in range(columns)]
    rows = [{name: (number >> place) % 2 for place, name in enumerate(names)} for number in range(count)]
    return [run(f"M{n}", row | {"optimizer.lr": n / 1000}, n / 100) for n, row in enumerate(rows)]


def test_the_settings_that_tell_most_rows_apart_have_a_column_and_the_others_a_line() -> None:
    section = section_of(random_search(40, 30))
    names, *rows = section_cells(section, ["val/accuracy"])
    assert names == ["#", "optimizer.lr", "runs", "val/accuracy", "time", "parameters", "status"]
    assert len({tuple(row[1:2]) for row in rows}) == 40
    (note,) = (note for note in notes(section) if "differ" in note)
    folded = len(section.keys) - 1  # with forty rows, six of the thirty vary
    assert note.startswith(f"The rows differ in {folded} more settings, which comparison.html shows: model.option_0")


def test_a_few_settings_all_have_a_column() -> None:
    runs = [run(f"M{n}", {"a.x": n, "b.x": n % 2, "c.x": 7}, 0.5) for n in range(4)]
    assert section_of(runs).columns == ["a.x", "b.x"]


def test_rows_that_the_columns_do_not_tell_apart_have_the_name_of_their_run() -> None:
    runs = [run(f"M{n}", {f"a.x{place}": int(place == n) for place in range(12)}, n / 100) for n in range(12)]
    section = section_of(runs)
    assert len(section.columns) == MOST_COLUMNS + 1
    assert [row.shown["run"] for row in section.rows][:2] == ["M11", "M10"]
    assert section.rows[0].label == "M11"  # of the picture, in place of seven values


def test_columns_stand_in_their_own_order_and_stop_where_they_tell_all() -> None:
    rows = [{"a": "1", "b": str(n // 2), "c": str(n % 2), "d": str(n // 2)} for n in range(4)]
    assert telling(["a", "b", "c", "d"], rows, 3) == ["b", "c"]


def test_pairs_that_differ_alike_are_not_called_fewer_than_two() -> None:
    values = {1: (0.5, 0.75), 2: (0.625, 0.875)}
    runs = [run(f"{x}-{s}", {"a.x": x}, values[s][x], s) for s in values for x in (0, 1)]
    section = section_of(runs)
    assert "fewer than two" not in assumptions(section)
    assert "same difference" in assumptions(section)


def test_the_page_is_one_file_that_sorts_by_values_and_shows_every_setting(tmp_path: Path) -> None:
    runs = random_search(40, 20)
    runs[0] = run("M0", {**runs[0].settings, "note.text": "<script>alert(1)</script>"}, 0.9)
    write_page(tmp_path / "page.html", compare(runs), runs)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"(src|href)=", page)
    assert page.count("<tr>") == 41
    assert 'data-value="0.9"' in page and 'data-value="2.5"' in page
    assert set(re.findall(r"<th[^>]*>(model\.option_\d+)<", page)) == {f"model.option_{n}" for n in range(6)}


def test_json_holds_every_row_in_full(tmp_path: Path) -> None:
    runs = [run(f"{x}-{s}", {"a.x": x}, 0.1 * s + x / 3 + x * s / 50, s) for s in (1, 2, 3) for x in (0, 1)]
    sections = [section_of(runs)]
    with json_output(str(tmp_path / "found.json")) as found:
        found |= comparison_facts(sections, runs)
    (section,) = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["sections"]
    best, second = section["rows"]
    assert (best["settings"], second["settings"]) == ({"a.x": "1"}, {"a.x": "0"})
    seeds = {entry["seed"]: entry["value"] for entry in best["metrics"]["val/accuracy"]["values"]}
    assert seeds == {s: runs[2 * s - 1].metrics["val/accuracy"] for s in (1, 2, 3)}
    assert best["difference"] is None
    assert second["difference"]["pairs"] == 3 and 0 < second["difference"]["p"] < 1


def test_json_on_the_standard_output_stands_there_alone(capfd: pytest.CaptureFixture[str]) -> None:
    with json_output("-") as found:
        print("a table")
        found |= {"loss": float("nan"), "steps": float("inf"), "values": (1, 2.5)}
    out, err = capfd.readouterr()
    assert json.loads(out) == {"loss": None, "steps": None, "values": [1, 2.5]}
    assert err == "a table\n"
