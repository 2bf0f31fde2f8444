"""The end of a sweep: a table over its jobs."""

import sys
from pathlib import Path

from ..compare.rows import compare
from ..compare.tables import section_cells, write_runs
from ..errors import short, visible
from ..runs.run import read_run
from ..tables import print_table


def report_jobs(folder: Path) -> int:
    """Print the table over the jobs in a sweep's folder, write `results.csv`, and return how many jobs failed."""
    jobs = sorted((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    runs = [read_run(job) for job in jobs]
    sections = compare(runs)
    write_runs(folder / "results.csv", sections, job=True)
    for section in sections:
        if len(sections) > 1:
            print(f"\n{visible(section.title)}")
        metrics = list(dict.fromkeys(name for row in section.rows for name in section.metrics_of(row)))
        print_table(section_cells(section, metrics, runs="jobs", numbered=False))
    print(f"Each job: {short(folder / 'results.csv')}")
    print(f"More than chance? python compare.py {short(folder)}")
    failed = [run for run in runs if run.status == "failed"]
    for run in failed:
        print(f"Job {run.folder.name} failed: {short(run.folder / 'error.txt')}", file=sys.stderr)
    return len(failed)
