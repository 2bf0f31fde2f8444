"""Compare the metrics of two sweeps over seeds, as a table in Markdown.

python .github/scripts/metrics_table.py runs/base runs/change
"""

import json
import statistics
import sys
from pathlib import Path


def read(sweep: Path) -> dict[str, list[float]]:
    """Return the values of each metric in the jobs of a sweep."""
    values: dict[str, list[float]] = {}
    for file in sorted(sweep.glob("*/metrics.json")):
        for name, value in json.loads(file.read_text(encoding="utf-8")).items():
            values.setdefault(name, []).append(value)
    if not values:
        sys.exit(f"{sweep}: no job of a sweep with a metrics.json")
    return values


def show(values: list[float]) -> str:
    """Return mean and standard deviation."""
    spread = f" \u00b1 {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{spread}" if values else ""


def table(before: dict[str, list[float]], after: dict[str, list[float]]) -> str:
    """Return a row for each metric of either side."""
    lines = ["| metric | before | after | difference |", "| --- | ---: | ---: | ---: |"]
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, []), after.get(name, [])
        difference = f"{statistics.fmean(new) - statistics.fmean(old):+.4f}" if old and new else ""
        lines.append(f"| {name} | {show(old)} | {show(new)} | {difference} |")
    return "\n".join(lines)


if __name__ == "__main__":
    before, after = (read(Path(sweep)) for sweep in sys.argv[1:])
    jobs = len(next(iter(after.values())))
    print(f"### Metrics with this change\n\n{table(before, after)}\n")
    print(f"A bag of words on the default dataset, mean and standard deviation over {jobs} seeds.")
    print("A difference within the standard deviations may be chance.")
