"""What a search ends with: a table on the screen, and files in the sweep's folder."""

import math
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import optuna

from ..digits import duration, metric, setting
from ..errors import short
from ..exits import ROOT
from ..tables import Cells, print_table, write_csv
from .experiment import write_best
from .password import kept_overrides
from .trials import SweepResult, Trial, read_sweep

MOST = 10  # rows on the screen
FILE = "results.csv"


def report_search(
    folder: Path,
    study: optuna.Study,
    objectives: dict[str, str],
    fixed: list[str],
    experiment: Path | None,
    format: str = "png",
) -> int:
    """Print the best trials, write what the sweep has found, and return how many trials failed.

    Args:
        folder: The sweep's. It gets `results.csv`, `report.html` and pictures.
        study: Its trials.
        objectives: The metrics that it optimized, and whether "min" or "max" is wanted.
        fixed: The overrides that all of its jobs had.
        experiment: The experiment file to write for the best trial, in configs/experiment; None for none.
        format: Of the pictures.
    """
    sweep = read_sweep(folder, study, objectives, _command())
    write_trials(folder / FILE, sweep)
    _print_best(sweep)
    print(sweep.counts() + ("; *: on the Pareto front" if len(objectives) > 1 and sweep.front else ""))
    best, written = sweep.best(), False
    if best:
        settings = " ".join(f"{name}={setting(value)}" for name, value in best.settings.items())
        print(f"Best: trial {best.number}, {_reached(sweep, best)}  {settings}  {short(best.folder)}")
        written = experiment is not None and write_best(experiment, sweep, best, fixed)
    again = f"python train.py experiment={experiment.stem}" if experiment and written else ""
    if again:
        print(f"Train it: {again}")
    for reason in _draw(sweep, again, format):
        print(reason)
    print(f"Each trial: {short(folder / FILE)}")
    print(f"Report: {short(folder / 'report.html')}")
    for trial in sweep.failed:
        file = trial.folder / "error.txt"
        where = f"; {short(file)}" if file.is_file() else ""
        print(f"Trial {trial.number} failed: {trial.error or 'unknown'}{where}", file=sys.stderr)
    return len(sweep.failed)


def trial_cells(sweep: SweepResult, trials: list[Trial]) -> Cells:
    """Return a table of trials: what each one tried and reached."""
    tests = [name for name in map(_of_test, sweep.objectives) if any(name in trial.metrics for trial in trials)]
    cells = [["trial", *sweep.keys, *sweep.objectives, *tests, "time", "state"]]
    for trial in trials:
        star = " *" if len(sweep.objectives) > 1 and trial.number in sweep.front else ""
        settings = [setting(trial.settings[key]) if key in trial.settings else "-" for key in sweep.keys]
        reached = [metric(value) for value in trial.values] or ["-"] * len(sweep.objectives)
        tested = [metric(trial.metrics.get(name)) for name in tests]
        cells.append([f"{trial.number}{star}", *settings, *reached, *tested, duration(trial.seconds), trial.state])
    return cells


def write_trials(path: Path, sweep: SweepResult) -> None:
    """Write a row for each trial, in full precision."""
    metrics = dict.fromkeys(name for trial in sweep.trials for name in trial.metrics if name not in sweep.objectives)
    lines: list[dict[str, Any]] = []
    for trial in sweep.trials:
        line: dict[str, Any] = {"trial": trial.number, "state": trial.state}
        line |= {key: trial.settings.get(key) for key in sweep.keys}
        line |= (
            dict(zip(sweep.objectives, trial.values, strict=True)) if trial.values else dict.fromkeys(sweep.objectives)
        )
        line |= {name: trial.metrics.get(name) for name in metrics}
        line |= {"pareto": trial.number in sweep.front} if len(sweep.objectives) > 1 else {}
        seconds = None if math.isnan(trial.seconds) else trial.seconds
        line |= {"last_value": trial.reached, "seconds": seconds, "attempts": trial.attempts}
        lines.append(line | {"started": trial.started, "run": short(trial.folder), "error": trial.error})
    write_csv(path, list(lines[0]) if lines else ["trial", "state"], (list(line.values()) for line in lines))


def _draw(sweep: SweepResult, again: str, format: str) -> list[str]:
    """Draw the pictures and write the page, and return a line for each picture that there is not."""
    from .page import write_page
    from .pictures import draw  # here, as Matplotlib takes most of a second

    pictures, left_out = draw(sweep, format)
    write_page(sweep.folder / "report.html", sweep, trial_cells(sweep, _in_order(sweep)), pictures, left_out, again)
    return left_out


def _in_order(sweep: SweepResult) -> list[Trial]:
    ranked = sweep.ranked()
    return [*ranked, *(trial for trial in sweep.trials if trial not in ranked)]


def _print_best(sweep: SweepResult) -> None:
    """Print the best trials, without as many of the options as it takes to fit on the screen."""
    trials = sweep.ranked()[:MOST]
    if not trials:
        return
    varied = sweep.varied()
    optional = sorted(reversed(sweep.keys), key=lambda name: name in varied)
    too_wide = print_table(trial_cells(sweep, trials), optional, FILE)
    if len(sweep.trials) > len(trials):
        print(f"The best {len(trials)} of {len(sweep.trials)} trials.", end=" ")
    if too_wide:
        print(too_wide)


def _reached(sweep: SweepResult, trial: Trial) -> str:
    return ", ".join(f"{name} {metric(value)}" for name, value in zip(sweep.objectives, trial.values, strict=True))


def _of_test(name: str) -> str:
    return f"test/{name.removeprefix('val/')}" if name.startswith("val/") else ""


def _command() -> str:
    root = Path(os.environ[ROOT])
    file = Path(sys.argv[0]).resolve()
    name = str(file.relative_to(root) if file.is_relative_to(root) else file)
    return shlex.join(["python", name, *kept_overrides(sys.argv[1:])])
