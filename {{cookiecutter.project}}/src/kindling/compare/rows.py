"""Runs that can be compared, in rows: one for each setting, with its repeats."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

from ..digits import setting
from ..errors import UsageError, did_you_mean
from ..runs.run import Run
from .differing import differing, telling, text_of
from .significance import Difference, Repeat, correct, difference

MOST_COLUMNS = 6  # of settings in a table; a page in the browser has all
NAME = "run"  # of the column with a run's name
LOWER_IS_BETTER = ("loss", "error", "mse", "mae", "rmse", "perplexity")


@dataclass
class Row:
    """Runs that agree in all settings but seed and fold.

    Args:
        values: Its settings, those in which the rows differ.
        runs: All of them, whatever became of them.
        shown: The few settings that a table has room for, and the name of its first run if they don't tell it apart.
    """

    values: dict[str, str]
    runs: list[Run]
    shown: dict[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return any(run.finished for run in self.runs)

    @property
    def counted(self) -> list[Run]:
        """The runs whose metrics count: those that finished, and where none did, those that have reached something."""
        return [run for run in self.runs if run.finished or not self.finished]

    @property
    def label(self) -> str:
        if NAME in self.shown:
            return self.shown[NAME]
        return ", ".join(value for value in self.shown.values() if value) or "all runs"

    @property
    def name(self) -> str:
        return str(self.runs[0].record.get("name") or self.runs[0].folder.name)

    def repeats(self, metric: str) -> dict[Repeat, float]:
        """Return the metric of each seed and fold; runs of the same one count once, as their mean."""
        found: dict[Repeat, list[float]] = {}
        for run in self.counted:
            if metric in run.metrics:
                found.setdefault(run.repeat, []).append(run.metrics[metric])
        return {repeat: fmean(values) for repeat, values in found.items()}

    def mean(self, metric: str) -> float:
        values = self.repeats(metric).values()
        return fmean(values) if values else math.nan

    def deviation(self, metric: str) -> float:
        """The standard deviation of a sample (n - 1) over seeds and folds."""
        values = list(self.repeats(metric).values())
        return stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else math.nan

    def mean_of(self, key: str) -> float:
        """The mean of a number that `run.json` holds."""
        values = [run.record[key] for run in self.counted if isinstance(run.record.get(key), int | float)]
        return fmean(values) if values else math.nan

    @property
    def status(self) -> str:
        counts = Counter(run.status for run in self.runs)
        if len(counts) == 1:
            return next(iter(counts))
        return ", ".join(f"{number} {status}" for status, number in sorted(counts.items(), key=_finished_first))


@dataclass
class Section:
    """Rows of one task on one dataset, which can be ranked.

    Args:
        data: Name and hash of the dataset.
        task: Class of the task.
        metric: What the rows are sorted by.
        mode: "min" or "max".
        keys: In which settings the rows differ.
        columns: Those of them that a table has room for, and the run's name if they don't tell all rows apart.
        rows: Best first; after those that have finished, those that have not.
        differences: From the best row to each of the others, in the order of `rows`.
        comparisons: How many pairs of rows can be tested.
    """

    data: str
    task: str
    metric: str
    mode: str
    keys: list[str]
    columns: list[str]
    rows: list[Row]
    differences: list[Difference] = field(default_factory=list)
    comparisons: int = 0

    @property
    def title(self) -> str:
        order = "highest" if self.mode == "max" else "lowest"
        return ", ".join(filter(None, (self.data, self.task, f"by {self.metric}", f"{order} first")))

    @property
    def ranked(self) -> list[Row]:
        return [row for row in self.rows if row.finished and self.metric in self.metrics_of(row)]

    @property
    def metrics(self) -> list[str]:
        """All metrics: first what the rows are sorted by, then its namesake on the test split, then the others."""
        names = dict.fromkeys(name for row in self.rows for name in self.metrics_of(row))
        first = [name for name in names if name.rpartition("/")[2] == self.metric.rpartition("/")[2]]
        return sorted(names, key=lambda name: (name != self.metric, name not in first, not name.startswith("test/")))

    def metrics_of(self, row: Row) -> dict[str, None]:
        return dict.fromkeys(name for run in row.counted for name in run.metrics if not name.startswith("train/"))


def compare(runs: Sequence[Run], metric: str | None = None, mode: str | None = None) -> list[Section]:
    """Return a section for each task and dataset, and, unless `metric` is given, for each metric that was monitored.

    Debug runs are left out, unless there are no others.

    Raises:
        UsageError: No run has the metric, or `mode` is neither min nor max.
    """
    runs = [run for run in runs if not run.is_debug] or runs
    known = {name for run in runs for name in run.metrics}
    if metric and metric not in known:
        raise UsageError(f"metric={metric}: no run has it{did_you_mean(metric, known)}")
    if mode not in (None, "min", "max"):
        raise UsageError(f"mode={mode}: choose from max, min")
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in sorted(runs, key=lambda run: not run.data_hash):
        groups.setdefault(_group(run, metric, groups), []).append(run)
    order = {id(run): number for number, run in enumerate(runs)}
    sections = []
    for (task, _, data_hash, by, monitor_mode), members in groups.items():
        members.sort(key=lambda run: order[id(run)])
        how = mode or (monitor_mode if not metric else _mode(metric, members))
        version = data_hash[:8] or "version not recorded"
        sections.append(_section(members, f"{members[0].data or 'data'} ({version})", task, by, how))
    return sorted(sections, key=lambda section: order[id(section.rows[0].runs[0])])


def judge(section: Section) -> None:
    """Test the best row against each of the others."""
    ranked = section.ranked
    values = [row.repeats(section.metric) for row in ranked]
    section.differences = [difference(values[0], others) for others in values[1:]] if values else []
    section.comparisons = _count(values)
    correct(section.differences, section.comparisons)


def _group(run: Run, metric: str | None, groups: dict[tuple[str, ...], list[Run]]) -> tuple[str, ...]:
    by = (metric, "") if metric else (run.monitor, run.mode)
    if not run.data_hash and not run.metrics:  # it failed before it knew its data, and ranks nowhere
        alike = [group for group in groups if group[0] == run.task and group[3:] == by]
        named = [group for group in alike if group[1] == run.data]
        if named or len(alike) == 1:
            return (named or alike)[0]
    return run.task, "" if run.data_hash else run.data, run.data_hash, *by


def _section(runs: list[Run], data: str, task: str, metric: str, mode: str) -> Section:
    keys = differing(runs)
    rows: dict[tuple[str, ...], Row] = {}
    for run in runs:
        values = {key: text_of(run, key) for key in keys}
        rows.setdefault(tuple(values.values()), Row(values, [])).runs.append(run)
    for key in keys:
        _shorten([row.values for row in rows.values()], key)

    columns = telling(keys, [row.values for row in rows.values()], MOST_COLUMNS)
    for row in rows.values():
        row.shown = {key: row.values[key] for key in columns}
    if len({tuple(row.shown.values()) for row in rows.values()}) < len(rows):
        columns.append(NAME)
        for row in rows.values():
            row.shown[NAME] = row.name

    def rank(row: Row) -> tuple[bool, bool, float]:
        value = row.mean(metric)
        return not row.finished, math.isnan(value), 0 if math.isnan(value) else -value if mode == "max" else value

    return Section(data, task, metric, mode, keys, columns, sorted(rows.values(), key=rank))


def _shorten(rows: list[dict[str, str]], key: str) -> None:
    """Give the numbers of a column four digits, as a search gives them many; all that they have if they get equal."""
    brief = {text: _brief(text) for text in (values[key] for values in rows)}
    if len(set(brief.values())) == len(brief):
        for values in rows:
            values[key] = brief[values[key]]


def _brief(text: str) -> str:
    try:
        return setting(float(text)) if len(text) > 6 and "." in text else text
    except ValueError:
        return text


def _mode(metric: str, runs: list[Run]) -> str:
    name = metric.rpartition("/")[2]
    monitored = {run.mode for run in runs if run.monitor.rpartition("/")[2] == name}
    if len(monitored) == 1:
        return monitored.pop()
    return "min" if any(word in name.lower() for word in LOWER_IS_BETTER) else "max"


def _count(values: list[dict[Repeat, float]]) -> int:
    """Return how many pairs of rows share two repeats or more."""
    kinds = Counter(frozenset(row) for row in values)
    alike = sum(number * (number - 1) // 2 for repeats, number in kinds.items() if len(repeats) > 1)
    return alike + sum(kinds[a] * kinds[b] for a, b in combinations(kinds, 2) if len(a & b) > 1)


def _finished_first(item: tuple[Any, int]) -> tuple[bool, str]:
    return item[0] != "finished", item[0]
