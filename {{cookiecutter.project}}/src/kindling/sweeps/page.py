"""A sweep as one HTML file, which needs nothing beside it but pictures that are PDF."""

import base64
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from ..digits import metric
from ..errors import short
from ..files import new_file
from ..tables import Cells
from .trials import SweepResult

KINDS = {".png": "image/png", ".svg": "image/svg+xml"}  # a browser shows them within a page
PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; }
pre { background: #f4f4f4; padding: 0.6rem 0.8rem; border-radius: 4px; white-space: pre-wrap; overflow-wrap: anywhere; }
img { max-width: 100%; display: block; margin: 1.2rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.8rem 0.25rem 0; text-align: left; white-space: nowrap; }
th { border-bottom: 1.5px solid #222; }
td { border-bottom: 1px solid #e4e4e4; max-width: 22rem; overflow: hidden; text-overflow: ellipsis; }
tr.best td { font-weight: 600; background: #fdf1e8; }
tr.pruned td, tr.failed td, tr.running td, tr.waiting td { color: #767676; }
.right { text-align: right; }
.quiet { color: #666; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="quiet">$counts</p>
<pre>$command</pre>
$body
</body>
</html>
""")


def write_page(
    path: Path, sweep: SweepResult, cells: Cells, pictures: list[str], left_out: list[str], again: str
) -> None:
    """Write the page.

    Args:
        path: The file.
        sweep: The sweep.
        cells: The table of its trials, whose first column is their number and whose last their state.
        pictures: Those that lie in its folder.
        left_out: Why there are no others.
        again: The command that trains the best trial again; nothing if there is none.
    """
    parts = [*_best(sweep, again), *_pictures(sweep.folder, pictures, left_out)]
    parts += ["<h2>Trials</h2>", _table(sweep, cells), *_failed(sweep)]
    page = PAGE.substitute(
        title=escape(sweep.folder.name),
        counts=escape(f"{len(sweep.trials)} trials: {sweep.counts()}; {_wanted(sweep)}"),
        command=escape(sweep.command),
        body="\n".join(parts),
    )
    with new_file(path) as new:
        new.write_text(page, encoding="utf-8")


def _best(sweep: SweepResult, again: str) -> list[str]:
    best = sweep.best()
    if not best:
        return ["<p>No trial is complete.</p>"]
    values = zip(sweep.objectives, best.values, strict=True)
    reached = ", ".join(f"{name} {metric(value)}" for name, value in values)
    first = f", the best in {next(iter(sweep.objectives))} of the Pareto front" if len(sweep.objectives) > 1 else ""
    parts = [f"<h2>Best: {escape(reached)}</h2>", f"<p>Trial {best.number}{escape(first)}, in {_code(best.folder)}</p>"]
    return [*parts, f"<pre>{escape(again)}</pre>"] if again else parts


def _pictures(folder: Path, names: Iterable[str], left_out: list[str]) -> list[str]:
    parts = []
    for name in names:
        if name.endswith(".pdf"):
            parts.append(f'<p><a href="{escape(name)}">{escape(name)}</a></p>')
            continue
        content = base64.b64encode((folder / name).read_bytes()).decode()
        parts.append(f'<img alt="{escape(Path(name).stem)}" src="data:{KINDS[Path(name).suffix]};base64,{content}">')
    return [*parts, *(f'<p class="quiet">{escape(line)}</p>' for line in left_out)]


def _table(sweep: SweepResult, cells: Cells) -> str:
    best, numeric = sweep.best(), {*sweep.objectives, "trial", "time"}
    right = [name in numeric or name.startswith("test/") for name in cells[0]]
    lines = ["<tr>" + "".join(map(_cell, ["th"] * len(right), cells[0], right)) + "</tr>"]
    for line in cells[1:]:
        row = int(line[0].split()[0])
        kind = "best" if best and row == best.number else line[-1]
        lines.append(f'<tr class="{escape(kind)}">' + "".join(map(_cell, ["td"] * len(right), line, right)) + "</tr>")
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _cell(tag: str, text: str, right: bool) -> str:
    side = ' class="right"' if right else ""
    return f'<{tag}{side} title="{escape(text)}">{escape(text)}</{tag}>'


def _failed(sweep: SweepResult) -> list[str]:
    if not sweep.failed:
        return []
    lines = [f"<li>Trial {trial.number}: {escape(trial.error or 'unknown')}</li>" for trial in sweep.failed]
    return ["<h2>Failed</h2>", "<ul>", *lines, "</ul>"]


def _wanted(sweep: SweepResult) -> str:
    return ", ".join(
        f"{'larger' if m == 'max' else 'smaller'} {name} is better" for name, m in sweep.objectives.items()
    )


def _code(path: Path) -> str:
    return f"<code>{escape(short(path))}</code>"
