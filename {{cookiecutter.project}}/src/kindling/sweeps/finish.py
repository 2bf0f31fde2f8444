"""What a search ends with: a table on the screen, and files in the sweep's folder."""

import csv
import math
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from optuna import Study
from rich.console import Console

from ..compare.tables import Cells, to_screen
from ..errors import short
from ..runs.read import duration
from .experiment import write_best
from .trials import Sweep, Trial, number, read_sweep, shown

MOST = 10  # rows on the screen
WIDE = 10_000  # letters, for a table that is measured


def report(folder: Path, study: Study, objectives: dict[str, str], fixed: list[str], experiment: Path | None) -> int:
    """Print the best trials, write what the sweep has found, and return how many trials failed.

    Args:
        folder: The sweep's. It gets `results.csv`, `report.html` and pictures.
        study: Its trials.
        objectives: The metrics that it optimised, and whether "min" or "max" is wanted.
        fixed: The overrides that all of its jobs had.
        experiment: The experiment file to write for the best trial, in configs/experiment; None for none.
    """
    sweep = read_sweep(folder, study, objectives, _command())
    write_csv(folder / "results.csv", sweep)
    console = Console(width=None if sys.stdout.isatty() else 160)
    _print_table(console, sweep)
    print(sweep.counts() + ("; *: on the Pareto front" if len(objectives) > 1 and sweep.front else ""))
    best, written = sweep.best(), False
    if best:
        settings = " ".join(f"{name}={shown(value)}" for name, value in best.settings.items())
        print(f"Best: trial {best.number}, {_reached(sweep, best)}  {settings}  {short(best.folder)}")
        written = experiment is not None and write_best(experiment, sweep, best, fixed)
    again = f"python train.py experiment={experiment.stem}" if experiment and written else ""
    if again:
        print(f"Train it: {again}")
    for reason in _draw(sweep, again):
        print(reason)
    print(f"Each trial: {short(folder / 'results.csv')}")
    print(f"Report: {short(folder / 'report.html')}")
    for trial in sweep.failed:
        file = trial.folder / "error.txt"
        where = f"; {short(file)}" if file.is_file() else ""
        print(f"Trial {trial.number} failed: {trial.error or 'unknown'}{where}", file=sys.stderr)
    return len(sweep.failed)


def trial_cells(sweep: Sweep, trials: list[Trial]) -> Cells:
    """Return a table of trials: what each one tried and reached."""
    tests = [name for name in map(_of_test, sweep.objectives) if any(name in trial.metrics for trial in trials)]
    cells = [["trial", *sweep.keys, *sweep.objectives, *tests, "time", "state"]]
    for trial in trials:
        star = " *" if len(sweep.objectives) > 1 and trial.number in sweep.front else ""
        settings = [shown(trial.settings[key]) if key in trial.settings else "-" for key in sweep.keys]
        reached = [number(value) for value in trial.values] or ["-"] * len(sweep.objectives)
        tested = [number(trial.metrics.get(name)) for name in tests]
        seconds = "-" if math.isnan(trial.seconds) else duration(trial.seconds)
        cells.append([f"{trial.number}{star}", *settings, *reached, *tested, seconds, trial.state])
    return cells


def write_csv(path: Path, sweep: Sweep) -> None:
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
    names = ["trial", "state"] if not lines else list(lines[0])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _draw(sweep: Sweep, again: str) -> list[str]:
    """Draw the pictures and write the page, and return a line for each picture that there is not."""
    from .page import write_page
    from .pictures import draw  # here, as Matplotlib takes most of a second

    pictures, left_out = draw(sweep)
    write_page(sweep.folder / "report.html", sweep, trial_cells(sweep, _in_order(sweep)), pictures, left_out, again)
    return left_out


def _in_order(sweep: Sweep) -> list[Trial]:
    ranked = sweep.ranked()
    return [*ranked, *(trial for trial in sweep.trials if trial not in ranked)]


def _print_table(console: Console, sweep: Sweep) -> None:
    """Print the best trials, without as many of the options as it takes to fit on the screen."""
    trials = sweep.ranked()[:MOST]
    if not trials:
        return
    cells, dropped = trial_cells(sweep, trials), []
    varied = sweep.varied()
    optional = sorted(sweep.keys, key=lambda key: key in varied, reverse=True)
    while Console(width=WIDE).measure(to_screen(cells)).maximum > console.width and optional:
        dropped.append(optional.pop())
        place = cells[0].index(dropped[-1])
        cells = [line[:place] + line[place + 1 :] for line in cells]
    console.print(to_screen(cells))
    if len(sweep.trials) > len(trials):
        print(f"The best {len(trials)} of {len(sweep.trials)} trials.", end=" ")
    if dropped:
        print(f"Too wide for this screen, and in results.csv: {', '.join(reversed(dropped))}.")


def _reached(sweep: Sweep, trial: Trial) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in zip(sweep.objectives, trial.values, strict=True))


def _of_test(name: str) -> str:
    return f"test/{name.removeprefix('val/')}" if name.startswith("val/") else ""


def _command() -> str:
    root = Path(os.environ["PROJECT_ROOT"])
    file = Path(sys.argv[0]).resolve()
    return shlex.join(["python", str(file.relative_to(root) if file.is_relative_to(root) else file), *sys.argv[1:]])
