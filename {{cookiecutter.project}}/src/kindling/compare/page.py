"""A comparison as a page for a browser: one file, whose tables sort and filter, with every setting."""

import html
import math
from collections.abc import Sequence
from pathlib import Path

from ..digits import metric
from ..files import new_file
from ..runs.run import Run
from .rows import Row, Section
from .tables import assumptions, difference_cells, notes, section_cells, unfinished

HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'">
<title>Comparison</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222 }
table { border-collapse: collapse; margin: 0.5em 0 1.5em }
th, td { padding: 0.2em 0.8em; text-align: left; border-bottom: 1px solid #e4e4e4; white-space: nowrap }
td.number { text-align: right; font-variant-numeric: tabular-nums }
th { position: sticky; top: 0; background: white; cursor: pointer }
th[aria-sort=ascending]::after { content: " \\25B2" }
th[aria-sort=descending]::after { content: " \\25BC" }
table.brief .more { display: none }
input[type=search] { width: 24em; padding: 0.3em }
</style>
"""
# Sorts by the value of a cell, not by its text; empty cells stay below. Words of the filter all have to be in a row.
SCRIPT = """<script>
for (const table of document.querySelectorAll("table.sorted")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => head.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[place].dataset.value ?? row.cells[place].textContent;
    const compare = (a, b) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = isNaN(a) || isNaN(b) ? a.localeCompare(b, "en", {numeric: true}) : a - b;
      return down ? -order : order;
    };
    body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b))));
  }));
  const tools = table.previousElementSibling;
  tools.querySelector("input[type=search]").addEventListener("input", event => {
    const words = event.target.value.toLowerCase().split(/\\s+/);
    for (const row of body.rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
  });
  const more = tools.querySelector("input[type=checkbox]");
  if (more) more.addEventListener("change", () => table.classList.toggle("brief", !more.checked));
}
</script>
"""


def write_page(path: Path, sections: Sequence[Section], runs: Sequence[Run]) -> None:
    """Write the comparison as one HTML file, which loads nothing from elsewhere."""
    parts = [HEAD, f"<h1>Comparison of {len(runs)} run{'s' * (len(runs) > 1)}</h1>\n"]
    for section in sections:
        parts += [f"<h2>{html.escape(section.title)}</h2>\n", _tools(section), _rows_table(section)]
        parts += [f"<p>{html.escape(note)}</p>\n" for note in notes(section)]
        if any(found.pairs > 1 for found in section.differences):
            parts += [
                "<h3>Is the first row better by more than chance?</h3>\n",
                _plain_table(difference_cells(section)),
            ]
        parts += [f"<p>{html.escape(assumptions(section))}</p>\n"] * bool(assumptions(section))
    if lines := unfinished(runs):
        items = "".join(f"<li>{html.escape(line)}\n" for line in lines)
        parts.append(f"<h2>Not finished</h2>\n<ul>\n{items}</ul>\n")
    with new_file(path) as new:
        new.write_text("".join([*parts, SCRIPT]), encoding="utf-8")


def _tools(section: Section) -> str:
    folded = len(section.keys) - len([key for key in section.keys if key in section.columns])
    box = f' <label><input type="checkbox"> {folded} more settings</label>' if folded else ""
    return f'<p><input type="search" placeholder="Filter rows" aria-label="Filter rows">{box}</p>\n'


def _rows_table(section: Section) -> str:
    """Return the table of the rows: what is shown elsewhere, then the other settings, hidden until asked for."""
    names, *lines = section_cells(section, section.metrics)
    others = [key for key in section.keys if key not in section.columns]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    head += "".join(f'<th class="more">{html.escape(key)}</th>' for key in others)
    body = ""
    for row, line in zip(section.rows, lines, strict=True):
        cells = "".join(_cell(text, _value(row, name)) for name, text in zip(names, line, strict=True))
        cells += "".join(f'<td class="more">{html.escape(row.values[key])}</td>' for key in others)
        body += f"<tr>{cells}</tr>\n"
    return f'<table class="sorted brief"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>\n'


def _cell(text: str, value: float | None) -> str:
    if value is None:
        return f"<td>{html.escape(text)}</td>"
    exact = "" if math.isnan(value) else repr(value)
    return f'<td class="number" data-value="{exact}" title="{metric(value)}">{html.escape(text)}</td>'


def _value(row: Row, name: str) -> float | None:
    """Return the number that a cell is sorted by, if it holds one."""
    if name in ("time", "parameters"):
        return row.mean_of({"time": "seconds"}.get(name, name))
    return row.mean(name) if "/" in name or row.repeats(name) else None


def _plain_table(cells: Sequence[Sequence[str]]) -> str:
    rows = ["".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in line) for tag, line in _tagged(cells)]
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>\n"


def _tagged(cells: Sequence[Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    return [("th" if not number else "td", line) for number, line in enumerate(cells)]
