"""The end of a sweep: a table over its jobs."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf
from rich import box
from rich.console import Console
from rich.table import Table

REPEATS = ("seed", "data.fold")  # what is varied to measure the spread, not to compare


def report(folder: Path, monitor: str, mode: str) -> int:
    """Print the table over the jobs in a sweep's folder, write `results.csv`, and return how many jobs failed."""
    jobs = read_jobs(folder)
    jobs.to_csv(folder / "results.csv", index=False)
    Console(width=None if sys.stdout.isatty() else 160).print(to_table(summarize(jobs, monitor, mode)))
    print(f"Each job: {folder / 'results.csv'}")
    failed = jobs.loc[jobs["error"].notna(), "job"]
    for job in failed:
        print(f"Job {job} failed: {folder / str(job) / 'error.txt'}", file=sys.stderr)
    return len(failed)


def read_jobs(folder: Path) -> pd.DataFrame:
    """Return a row for each job in a sweep's folder: its number, its overrides, its metrics and its error, if any."""
    rows = []
    for job in sorted((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)):
        overrides = OmegaConf.load(job / ".hydra" / "overrides.yaml")
        row = {"job": int(job.name), "error": None} | dict(str(item).split("=", 1) for item in overrides)
        if (metrics := job / "metrics.json").exists():
            row |= json.loads(metrics.read_text(encoding="utf-8"))
        elif (error := job / "error.txt").exists():
            row["error"] = error.read_text(encoding="utf-8").strip().splitlines()[-1]
        rows.append(row)
    return pd.DataFrame(rows)


def summarize(jobs: pd.DataFrame, monitor: str, mode: str) -> pd.DataFrame:
    """Return a row for each combination of overrides, best first, with mean and standard deviation over its repeats.

    The standard deviation is that of a sample (n - 1); seeds and folds count as repeats.
    """
    metrics = [name for name in jobs if "/" in name]
    varied = [
        name
        for name in jobs.columns.drop(["job", "error", *metrics])
        if name not in REPEATS and jobs[name].nunique(dropna=False) > 1
    ]
    groups = jobs.groupby(varied, dropna=False, sort=False) if varied else [((), jobs)]
    rows = []
    for values, group in groups:
        row: dict[str, Any] = dict(zip(varied, values, strict=True)) | {"jobs": len(group)}
        if failed := int(group["error"].notna().sum()):
            row["failed"] = failed
        for name in metrics:
            row[name] = group[name].mean()
            row[f"{name} std"] = group[name].std()
        rows.append(row)
    summary = pd.DataFrame(rows)
    return summary.sort_values(monitor, ascending=mode == "min") if monitor in summary else summary


def to_table(summary: pd.DataFrame) -> Table:
    """Return the summary as a table for the screen; columns named "x std" join their "x"."""
    table = Table(box=box.SIMPLE_HEAD)
    columns = [name for name in summary if not str(name).endswith(" std")]
    for name in columns:
        table.add_column(str(name), justify="right" if name == "jobs" or "/" in str(name) else "left")
    for _, row in summary.iterrows():
        table.add_row(*(_cell(row, str(name)) for name in columns))
    return table


def _cell(row: pd.Series, name: str) -> str:
    value, spread = row[name], row.get(f"{name} std")
    if "/" not in name:
        return "" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)
    if pd.isna(value):
        return "-"
    return f"{value:.4f}" if spread is None or pd.isna(spread) else f"{value:.4f} ± {spread:.4f}"
