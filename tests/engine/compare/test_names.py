"""Names that somebody has chosen steer no terminal, and bring no HTML into a page."""

import json
from pathlib import Path

import pytest
from kindling.checkpoints.find import find_checkpoint
from kindling.compare.output import print_comparison, write_comparison
from kindling.compare.rows import compare
from kindling.errors import visible
from kindling.reports.page import Summary
from kindling.runs.run import find_runs, read_run
from kindling.tables import in_markdown, markdown_table, print_table

NAME = "\x1b[2J<img src=x onerror=alert(1)>\u202e[a](http://b)"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run whose options, folder and error are what nobody expects."""
    folder = tmp_path / NAME.replace("/", "")
    (folder / ".hydra").mkdir(parents=True)
    for name in ("config.yaml", "overrides.yaml"):
        text = (trained / ".hydra" / name).read_text(encoding="utf-8")
        (folder / ".hydra" / name).write_text(text.replace("model=bow", "model=<script>bow"), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps({"name": NAME, "status": "failed", "task": NAME}), encoding="utf-8")
    (folder / "error.txt").write_text(f"ValueError: {NAME}\n", encoding="utf-8")
    return folder


def test_a_comparison_shows_odd_names_as_they_are(run: Path, tmp_path: Path, capsys) -> None:
    runs = [read_run(folder) for folder in find_runs([str(tmp_path)])]
    sections = compare(runs)
    print_comparison(sections, runs, 60)
    write_comparison(tmp_path, sections, runs, 60)
    said, page = capsys.readouterr().out, (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert "ValueError" in said and "ValueError" in page
    for text in (said, page):
        assert "\x1b" not in text and "\u202e" not in text
    assert "<img" not in page and "&lt;img" in page and "](http" not in page


def test_the_page_of_a_checkpoint_shows_odd_names_as_they_are(run: Path, trained: Path) -> None:
    checkpoint = find_checkpoint(str(trained), trained.parent)
    facts = {"training": {"epoch": 1, "step": 3}, "data": {"folder": NAME}}
    overrides = ["model=bow", "name='```\n<script>'", f"tags=[{NAME}]"]
    page = Summary(checkpoint, run, facts, {"val/loss": 1.0}, overrides).markdown()
    outside = "".join(page.split("````")[::2])
    assert "<script>" in page and "<script>" not in outside
    assert "\x1b" not in page and "\u202e" not in page
    assert "<img" not in outside.replace(f"`{visible(str(run))}`", "").replace(visible(run.name), "")


def test_cells_are_escaped_and_small_numbers_are_not(capsys) -> None:
    print_table([["a", "b"], [NAME, "<0.001"]])
    assert "\x1b" not in capsys.readouterr().out
    assert "<0.001" in markdown_table([["a"], ["<0.001"]])
    assert in_markdown("a < b, [32, 64]") == "a < b, [32, 64]"
