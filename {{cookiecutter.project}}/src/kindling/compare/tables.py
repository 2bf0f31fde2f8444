"""A comparison in tables, and as one CSV file with a row for each run."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..digits import count, counted, duration, metric, probability
from ..errors import short
from ..runs.run import Run
from ..tables import write_csv
from .differing import text_of
from .rows import Row, Section
from .significance import LEVEL

FOLDED = 5  # settings without a column that a note names


def section_cells(
    section: Section, metrics: Sequence[str], most: int | None = None, runs: str = "runs", numbered: bool = True
) -> list[list[str]]:
    """Return the table of a section.

    Args:
        section: What is shown.
        metrics: Those that get a column.
        most: Number of rows, if not all.
        runs: What the column with their number is called.
        numbered: Whether rows get a number, time, parameters and status, too.
    """
    rows = section.rows[:most]
    failed = not numbered and any(run.status == "failed" for row in rows for run in row.runs)
    names = [*["#"] * numbered, *section.columns, runs, *["failed"] * failed, *metrics]
    cells = [[*names, *["time", "parameters", "status"] * numbered]]
    for number, row in enumerate(rows, 1):
        line = [str(number)] * numbered + list(row.shown.values()) + [str(len(row.runs))]
        if failed:
            line.append(str(sum(run.status == "failed" for run in row.runs) or ""))
        line += [_reached(row, name) for name in metrics]
        if numbered:
            seconds, parameters = row.mean_of("seconds"), row.mean_of("parameters")
            line += [duration(seconds), "-" if math.isnan(parameters) else count(parameters), row.status]
        cells.append(line)
    return cells


def difference_cells(section: Section) -> list[list[str]]:
    """Return the table of the best row's differences from the others."""
    cells = [["#1 and", "difference", "95% interval", "pairs", "p", "p corrected", "p sign flips", "difference is"]]
    best = section.rows[0].mean(section.metric)
    for number, found in enumerate(section.differences, 2):
        mean, low, high = (metric(value, scale=best) for value in (found.mean, found.low, found.high))
        interval = "-" if math.isnan(found.low) else f"{low} to {high}"
        values = [probability(value) for value in (found.p, found.p_corrected, found.p_flipped)]
        pairs = f"{found.pairs} {'folds' if found.folds else 'seeds'}"
        cells.append([f"#{number}", mean, interval, pairs, *values, found.verdict])
    return cells


def notes(section: Section) -> list[str]:
    """Return what the table of a section does not say."""
    found = []
    if section.ranked and not all(row.finished for row in section.rows):
        found.append("Rows without a run that finished stand below the others; * is their best epoch so far.")
    if folded := [key for key in section.keys if key not in section.columns]:
        few = ", ".join(folded[:FOLDED]) + (", ..." if len(folded) > FOLDED else "")
        found.append(f"The rows differ in {counted(len(folded), 'more setting')}, which comparison.html shows: {few}.")
    if any(_repeated(row) for row in section.rows):
        found.append("Runs of the same seed and fold count once, as their mean.")
    commits = {(run.record.get("git") or {}).get("commit") for row in section.rows for run in row.runs} - {None}
    if len(commits) > 1:
        found.append(f"The runs come from {len(commits)} commits; `comparison.csv` says which.")
    return found


def assumptions(section: Section) -> str:
    """Return which test was made, and what it takes for granted; nothing if there was nothing to test."""
    tested = [found for found in section.differences if not math.isnan(found.p)]
    if not tested:
        if len(section.ranked) < 2:
            return ""
        if any(found.pairs > 1 for found in section.differences):
            return (
                "Nothing can be said about chance: each seed or fold that two rows share gives the same difference, "
                "and without a spread there is nothing to measure it by. More of them may tell."
            )
        return (
            "Nothing can be said about chance: the best row shares fewer than two seeds or folds with any other. "
            "Repeat it, and them, with the same seeds: python train.py -m ... seed=1,2,3,4,5"
        )
    parts = []
    if any(not found.folds for found in tested):
        parts.append(
            "Paired t-test over the seeds that two rows share, two-sided. It assumes that the differences are "
            "independent and about normal. Flipping signs assumes no more than symmetry, but with n pairs its p is at "
            "least 2 / 2^n: below 0.05 from six pairs on. Both speak of this split of this dataset."
        )
    if any(found.folds for found in tested):
        parts.append(
            "Corrected resampled t-test over the folds that two rows share (Nadeau and Bengio, 2003), two-sided: folds "
            "share training samples, which makes the usual test find too much. It assumes about normal differences."
        )
    number = section.comparisons
    times = "for the one comparison" if number == 1 else f"for {number} comparisons, those of all rows with each other"
    parts.append(
        f"p is corrected by Holm's method {times}, as the best row is picked by the same numbers; larger than chance "
        f"means that it is below {LEVEL:g}. The interval is not corrected."
    )
    return " ".join(parts)


def left_out(runs: Sequence[Run]) -> str:
    """Return a line on the debug runs, which a comparison leaves out unless there are no others; nothing if none is."""
    debug = [run for run in runs if run.is_debug]
    if not debug or len(debug) == len(runs):
        return ""
    kinds = ", ".join(sorted({run.choices["debug"] for run in debug}))
    return f"Left out: {counted(len(debug), 'run')} with debug={kinds}"


def unfinished(runs: Sequence[Run]) -> list[str]:
    """Return a line for each run that has not finished."""
    lines = []
    for run in runs:
        if not (run.finished or run.is_debug):
            epoch = f", best epoch so far {run.epoch + 1}" if run.epoch is not None else ""
            lines.append(f"{short(run.folder)}: {run.status}{epoch}{f': {run.error}' if run.error else ''}")
    return lines


def write_runs(path: Path, sections: Sequence[Section], job: bool = False) -> None:
    """Write a row for each run, in full precision.

    Args:
        path: The file.
        sections: What is written.
        job: Whether the first column is the number of the job in a sweep, whose order is kept, not the rank.
    """
    keys = list(dict.fromkeys(key for section in sections for key in section.keys))
    metrics = list(dict.fromkeys(name for section in sections for name in section.metrics))
    lines: list[dict[str, Any]] = []
    for section in sections:
        for number, row in enumerate(section.rows, 1):
            for run in row.runs:
                first: dict[str, Any] = {"job": run.folder.name} if job else {"row": number, "dataset": section.data}
                settings = {key: text_of(run, key) for key in (run.overrides if job else keys)}
                lines.append(first | _facts(run) | settings | {name: run.metrics.get(name) for name in metrics})
    if job:
        lines.sort(key=lambda line: int(line["job"]))
    names = dict.fromkeys(name for line in lines for name in line)
    columns = [*(name for name in names if name not in metrics), *metrics]
    write_csv(path, columns, ([line.get(name) for name in columns] for line in lines))


def _facts(run: Run) -> dict[str, Any]:
    git = run.record.get("git") or {}
    seed, folds, fold = run.repeat
    return {
        "run": short(run.folder),
        "name": run.record.get("name"),
        "status": run.status,
        "error": run.error,
        "task": run.task,
        "data_hash": run.data_hash,
        "monitor": run.monitor,
        "seed": seed,
        "data.folds": folds,
        "data.fold": fold,
        "epoch": run.epoch,
        "seconds": run.record.get("seconds"),
        "parameters": run.record.get("parameters"),
        "started": run.record.get("started"),
        "commit": git.get("commit"),
        "dirty": git.get("dirty"),
        "host": (run.record.get("machine") or {}).get("host"),
    }


def _repeated(row: Row) -> bool:
    return len({run.repeat for run in row.counted}) < len(row.counted)


def _reached(row: Row, name: str) -> str:
    if not row.repeats(name):
        return "-"
    value, spread = row.mean(name), row.deviation(name)
    text = metric(value) + ("" if math.isnan(spread) else f" ± {metric(spread, scale=value)}")
    return text if row.finished else f"{text} *"
