"""A comparison on the screen, and the files that it leaves."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ..errors import UsageError, short
from ..runs.read import Run
from .rows import Section
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

WIDE = 10_000  # letters, for a table that is measured


def show(sections: Sequence[Section], runs: Sequence[Run], most: int) -> None:
    """Print the comparison, at most so many rows of each table."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    for section in sections:
        print(f"\n{section.title}")
        metrics = section.metrics
        optional = [*reversed(metrics[1:]), "parameters", "time"]
        _print(console, section_cells(section, metrics, most), len(section.rows) - most, optional)
        for note in notes(section):
            print(note)
        if any(found.pairs > 1 for found in section.differences):
            print("\nIs the first row better by more than chance?")
            optional = ["p sign flips", "p", "pairs"]
            _print(console, difference_cells(section)[: most + 1], len(section.differences) - most, optional)
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


def _print(console: Console, cells: Cells, left: int, optional: list[str]) -> None:
    """Print the table, without as many of the optional columns as it takes to fit on the screen."""
    dropped: list[str] = []
    while _width(cells) > console.width and len(dropped) < len(optional):
        dropped.append(optional[len(dropped)])
        place = cells[0].index(dropped[-1])
        cells = [line[:place] + line[place + 1 :] for line in cells]
    console.print(to_screen(cells))
    if left > 0:
        print(f"... and {left} more rows, in comparison.md")
    if dropped:
        print(f"Too wide for this screen, and in comparison.md: {', '.join(reversed(dropped))}.")


def _width(cells: Cells) -> int:
    return Console(width=WIDE).measure(to_screen(cells)).maximum
