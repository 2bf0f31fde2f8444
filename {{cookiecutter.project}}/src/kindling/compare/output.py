"""A comparison on the screen, and the files that it leaves."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError, short, visible
from ..files import new_file
from ..formats import as_picture, check_format
from ..runs.run import Run
from ..tables import Cells, in_markdown, markdown_table, print_table, screen
from .page import write_page
from .rows import Section
from .tables import assumptions, difference_cells, left_out, notes, section_cells, unfinished, write_runs

FILE = "comparison.md"


def print_comparison(sections: Sequence[Section], runs: Sequence[Run], most: int) -> None:
    """Print the comparison, at most so many rows of each table."""
    for section in sections:
        print(f"\n{visible(section.title)}")
        metrics = section.metrics
        optional = [*reversed(metrics[1:]), "parameters", "time"]
        _print(section_cells(section, metrics, most), len(section.rows) - most, optional)
        for note in notes(section):
            print(note)
        if any(found.pairs > 1 for found in section.differences):
            print("\nIs the first row better by more than chance?")
            optional = ["p sign flips", "p", "pairs"]
            _print(difference_cells(section)[: most + 1], len(section.differences) - most, optional)
        if text := assumptions(section):
            screen().print(text, highlight=False, markup=False)
    if text := left_out(runs):
        print(f"\n{text}")
    lines = unfinished(runs)
    if lines:
        print("\nNot finished:")
    for line in lines[:most]:
        print(visible(line))
    if len(lines) > most:
        print(f"... and {len(lines) - most} more")


def write_comparison(
    folder: Path, sections: Sequence[Section], runs: Sequence[Run], most: int, format: str = "png"
) -> None:
    """Write `comparison.html`, `.md`, `.csv` and, of this format, a picture to the folder.

    Raises:
        UsageError: There is no such format, or the folder can't be written to.
    """
    from .picture import draw  # here, as it takes a second

    picture = f"comparison.{check_format(format, 'format')}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_runs(folder / "comparison.csv", sections)
        with new_file(folder / FILE) as new:
            new.write_text(_markdown(sections, runs, as_picture("", picture)), encoding="utf-8")
        write_page(folder / "comparison.html", sections, runs)
        draw(folder / picture, sections, most)
    except OSError as error:
        raise UsageError(f"{short(folder)}: can't be written to ({error.strerror}); add output=<folder>") from error


def _markdown(sections: Sequence[Section], runs: Sequence[Run], picture: str) -> str:
    parts = [f"# Comparison of {len(runs)} run{'s' * (len(runs) > 1)}\n", f"{picture}\n"]
    for section in sections:
        parts += [f"## {in_markdown(section.title)}\n", _markdown_table(section_cells(section, section.metrics))]
        parts += [f"{note}\n" for note in notes(section)]
        if any(found.pairs > 1 for found in section.differences):
            parts += ["Is the first row better by more than chance?\n", _markdown_table(difference_cells(section))]
        parts += [f"{assumptions(section)}\n"] * bool(assumptions(section))
    parts += [f"{left_out(runs)}\n"] * bool(left_out(runs))
    if lines := unfinished(runs):
        parts += ["## Not finished\n", "".join(f"- {in_markdown(line)}\n" for line in lines)]
    return "\n".join(parts)


def _markdown_table(cells: Cells) -> str:
    return f"{markdown_table(cells, padded=True)}\n"


def _print(cells: Cells, left: int, optional: list[str]) -> None:
    """Print the table, without as many of the optional columns as it takes to fit on the screen."""
    too_wide = print_table(cells, optional, FILE)
    if left > 0:
        print(f"... and {left} more rows, in {FILE}")
    if too_wide:
        print(too_wide)
