"""A comparison on the screen, and the files that it leaves."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ..errors import UsageError, short
from .comparison import Section
from .runs import Run
from .tables import (
    Cells,
    assumptions,
    difference_cells,
    notes,
    section_cells,
    to_markdown,
    to_screen,
    unfinished,
    write_csv,
)

WIDE = 10_000


def show(sections: Sequence[Section], runs: Sequence[Run], most: int) -> None:
    """Print the comparison: at most so many rows of each table, and as many metrics as are as wide as the screen."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    for section in sections:
        print(f"\n{section.title}")
        metrics = section.metrics
        while len(metrics) > 1 and _width(section_cells(section, metrics, most)) > console.width:
            metrics = metrics[:-1]
        _print(console, section_cells(section, metrics, most), len(section.rows) - most)
        if left := section.metrics[len(metrics) :]:
            print(f"In comparison.md also: {', '.join(left)}.")
        for note in notes(section):
            print(note)
        if any(found.pairs > 1 for found in section.differences):
            print("\nIs the first row better by more than chance?")
            _print(console, difference_cells(section)[: most + 1], len(section.differences) - most)
        if text := assumptions(section):
            console.print(text, highlight=False, markup=False)
    lines = unfinished(runs)
    if lines:
        print("\nNot finished:")
    for line in lines[:most]:
        print(line)
    if len(lines) > most:
        print(f"... and {len(lines) - most} more")


def write(folder: Path, sections: Sequence[Section], runs: Sequence[Run], most: int) -> None:
    """Write `comparison.csv`, `comparison.md` and `comparison.png` to the folder.

    Raises:
        UsageError: The folder can't be written to.
    """
    from .picture import draw  # here, as it takes a second

    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / "comparison.csv", sections)
        (folder / "comparison.md").write_text(_markdown(sections, runs), encoding="utf-8")
        draw(folder / "comparison.png", sections, most)
    except OSError as error:
        raise UsageError(f"{short(folder)}: can't be written to ({error.strerror}); add output=<folder>") from error


def _markdown(sections: Sequence[Section], runs: Sequence[Run]) -> str:
    parts = [f"# Comparison of {len(runs)} run{'s' * (len(runs) > 1)}\n", "![](comparison.png)\n"]
    for section in sections:
        parts += [f"## {section.title}\n", to_markdown(section_cells(section, section.metrics))]
        parts += [f"{note}\n" for note in notes(section)]
        if any(found.pairs > 1 for found in section.differences):
            parts += ["Is the first row better by more than chance?\n", to_markdown(difference_cells(section))]
        parts += [f"{assumptions(section)}\n"] * bool(assumptions(section))
    if lines := unfinished(runs):
        parts += ["## Not finished\n", "".join(f"- {line}\n" for line in lines)]
    return "\n".join(parts)


def _print(console: Console, cells: Cells, left: int) -> None:
    console.print(to_screen(cells))
    if left > 0:
        print(f"... and {left} more rows, in comparison.md")


def _width(cells: Cells) -> int:
    return Console(width=WIDE).measure(to_screen(cells)).maximum
