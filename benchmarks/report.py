"""From records to figures: medians of per-round comparisons, and a table of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from catalog import Contender
from jobs import JOBS, Job

Record = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """The median over the rounds, and the least and the greatest of them."""

    middle: float
    low: float
    high: float
    rounds: int


def figures(records: Iterable[Record]) -> dict[tuple[str, str], Figure]:
    """Return the figure of each (job, contender), compared with the raw loop inside each round."""
    of = {(r["job"], r["contender"], r["round"]): r for r in records if "error" not in r}
    values: dict[tuple[str, str], list[float]] = {}
    for (name, contender, number), record in of.items():
        job = JOBS[name]
        reference = of.get((job.reference or name, "raw", number))
        if job.unit == "s":
            value = record["whole_cpu_seconds" if job.whole else "startup_cpu_seconds"]
        elif reference is None:
            continue
        elif job.unit == "us":
            value = 1e6 * (seconds_per_step(record) - seconds_per_step(reference))
        else:
            value = samples_per_second(record) / samples_per_second(reference)
        values.setdefault((name, contender), []).append(value)
    return {key: Figure(median(found), min(found), max(found), len(found)) for key, found in values.items()}


def samples_per_second(record: Record) -> float:
    """Return the samples per CPU second."""
    rate: float = record["steps"] * record["batch_size"] / record["cpu_seconds"]
    return rate


def seconds_per_step(record: Record) -> float:
    """Return the CPU seconds per step."""
    seconds: float = record["cpu_seconds"] / record["steps"]
    return seconds


def table(records: Sequence[Record], contenders: Iterable[Contender]) -> str:
    """Return a table in Markdown: a row per contender, a column per job that was done."""
    found = figures(records)
    jobs = [name for name in JOBS if any(name == job for job, _ in found)]
    lines = [f"| | {' | '.join(JOBS[name].title for name in jobs)} |", "| --- |" + " ---: |" * len(jobs)]
    for contender in contenders:
        cells = [
            cell(JOBS[name], found[name, contender.name]) if (name, contender.name) in found else "" for name in jobs
        ]
        if any(cells):
            lines.append(f"| {contender.title} | {' | '.join(cells)} |")
    raw = [absolute(name, records) for name in jobs]
    lines.append(f"| *the raw loop took* | {' | '.join(raw)} |")
    return "\n".join(lines) + "\n"


def cell(job: Job, figure: Figure) -> str:
    """Return a figure as the table shows it, with its range."""
    if job.unit == "us":
        return f"{figure.middle:+.0f} us ({figure.low:+.0f} to {figure.high:+.0f})"
    unit = " s" if job.unit == "s" else ""
    return f"{figure.middle:.2f}{unit} ({figure.low:.2f} to {figure.high:.2f})"


def absolute(name: str, records: Sequence[Record]) -> str:
    """Return what stands behind the ratios of a job: what the raw loop took by itself."""
    raw = [r for r in records if r["contender"] == "raw" and r["job"] == name and "error" not in r]
    if not raw or JOBS[name].unit == "s":
        return ""
    if JOBS[name].unit == "us":
        return f"{1e6 * median(map(seconds_per_step, raw)):.0f} us"
    return f"{median(map(samples_per_second, raw)):,.0f} samples/CPU s"
