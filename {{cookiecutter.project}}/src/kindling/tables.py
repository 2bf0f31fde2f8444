"""Tables: for the screen, in Markdown and as CSV."""

import csv
import io
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .errors import visible
from .files import new_file

Cells = Sequence[Sequence[str]]  # the names of the columns, then the rows

WIDTH = 160  # letters of a line where there is no screen
UNLIMITED = 10_000  # letters, for a table that is measured
NUMBER = re.compile(r"[-+<]?[\d.,]+(e[-+]?\d+)?%?")


def in_markdown(text: str) -> str:
    """Return a text that a page of Markdown shows as it is: without HTML, links and pictures."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", visible(text)).replace("](", "]\\(")


def screen() -> Console:
    """Return the terminal, or lines of a fixed width if the output goes elsewhere."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


def print_table(
    cells: Cells, optional: Sequence[str] = (), file: str = "", styles: Sequence[str | None] = (), header: bool = True
) -> str:
    """Print a table, and return a sentence that names the columns for which the screen has no room, if there are any.

    Args:
        cells: The table. Columns of numbers are aligned at the right.
        optional: Columns that may be left out, the first ones first.
        file: Where the sentence says that they are.
        styles: Style of each row.
        header: Whether the names of the columns are printed.
    """
    console, dropped, left = screen(), list[str](), list(optional)
    while left and _width(cells) > console.width:
        dropped.append(left.pop(0))
        place = cells[0].index(dropped[-1])
        cells = [[*line[:place], *line[place + 1 :]] for line in cells]
    console.print(_screen_table(cells, styles, header))
    return f"Too wide for this screen, and in {file}: {', '.join(reversed(dropped))}." if dropped else ""


def markdown_table(cells: Cells, padded: bool = False) -> str:
    """Return a table in Markdown.

    Args:
        cells: The table. Columns of numbers are aligned at the right.
        padded: Whether the columns are aligned in the text itself, too.
    """
    lines = [[" ".join(in_markdown(cell).replace("|", "\\|").split()) for cell in line] for line in cells]
    rules = ["---:" if _is_numeric(column) else "---" for column in zip(*lines, strict=True)]
    lines.insert(1, rules)
    if padded:
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table to a CSV file, which is whole or not there."""
    with new_file(path) as new, new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as the text of a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def _screen_table(cells: Cells, styles: Sequence[str | None], header: bool = True) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_header=header)
    cells = [[visible(cell) for cell in line] for line in cells]
    for name, *column in zip(*cells, strict=True):
        table.add_column(escape(name), justify="right" if _is_numeric([name, *column]) else "left", overflow="fold")
    for number, line in enumerate(cells[1:]):
        table.add_row(*map(escape, line), style=styles[number] if styles else None)
    return table


def _width(cells: Cells) -> int:
    return Console(width=UNLIMITED).measure(_screen_table(cells, ())).maximum


def _is_numeric(column: Sequence[str]) -> bool:
    """Whether each cell below the column's name begins with a number, or has none."""
    cells = [cell for cell in column[1:] if cell not in ("", "-")]
    return bool(cells) and all(NUMBER.fullmatch(cell.split()[0]) for cell in cells)
