"""What a sweep has found, as pictures. Matplotlib takes most of a second: imported when there is something to draw."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..digits import metric
from ..style import BLUE, COLORS, GRAY, ORANGE, PALE, cut, figure_at
from .importances import BEST, importances
from .parallel_coordinates import draw_lines, scales
from .trials import SweepResult, Trial

FEW = 10  # complete trials, below which importances say little
MOST_AXES = 8  # options that have an axis of their own
MOST_BARS = 16
LONGEST = 34  # characters of an option
LABELLED = 12  # trials of a front


class NothingToDrawError(Exception):
    """There is no picture, and this is why."""


def draw(sweep: SweepResult, format: str) -> tuple[list[str], list[str]]:
    """Draw what can be drawn into the sweep's folder, as files of a format.

    Returns:
        The names of the pictures, and a line for each that is left out.
    """
    pictures: dict[str, Callable[[SweepResult, Path], None]] = {
        f"pareto.{format}": _draw_front,
        f"history.{format}": _draw_history,
        f"importances.{format}": _draw_importances,
        f"parallel.{format}": _draw_parallel,
    }
    if len(sweep.objectives) == 1:
        del pictures[f"pareto.{format}"]
    drawn, left_out = [], []
    for name, picture in pictures.items():
        try:
            if len(_finite(sweep)) < 2:
                raise NothingToDrawError("fewer than two trials are complete")
            picture(sweep, sweep.folder / name)
            drawn.append(name)
        except NothingToDrawError as reason:
            left_out.append(f"No {name}: {reason}")
            (sweep.folder / name).unlink(missing_ok=True)
    return drawn, left_out


def _draw_history(sweep: SweepResult, path: Path) -> None:
    """Draw what each trial reached, and the best so far."""
    count = len(sweep.objectives)
    with figure_at(path, (7.4, 0.5 + 2.4 * count)) as figure:
        figure.suptitle(f"{cut(sweep.folder.name, 48)}: {sweep.counts()}", fontsize=10)
        axes = figure.subplots(count, 1, squeeze=False, sharex=True).flatten()
        for place, (axis, name) in enumerate(zip(axes, sweep.objectives, strict=True)):
            _draw_history_of(axis, sweep, place)
            axis.set_ylabel(cut(name, LONGEST))
        axes[-1].set_xlabel("trial")


def _draw_history_of(axis: Axes, sweep: SweepResult, place: int) -> None:
    trials = _finite(sweep)
    better = max if list(sweep.objectives.values())[place] == "max" else min
    numbers, values = [trial.number for trial in trials], [trial.values[place] for trial in trials]
    axis.plot(numbers, values, "o", color=BLUE, label="complete", alpha=0.8, markeredgewidth=0)
    best_so_far = [better(values[: end + 1]) for end in range(len(values))]
    axis.step(numbers, best_so_far, where="post", color=ORANGE, linewidth=1.2, label="best so far")
    pruned = [trial for trial in sweep.trials if trial.state == "pruned" and trial.reached is not None]
    if pruned and len(sweep.objectives) == 1:
        reached = [trial.number for trial in pruned], [float(trial.reached or 0) for trial in pruned]
        axis.plot(*reached, "o", color=GRAY, markerfacecolor="white", label="pruned: the last value")
    if failed := [trial.number for trial in sweep.failed]:
        transform = axis.get_xaxis_transform()  # along the lower edge
        axis.plot(failed, [0.03] * len(failed), "x", color="black", transform=transform, label="failed")
    top = better(trials, key=lambda trial: trial.values[place])
    axis.plot(top.number, top.values[place], "*", color="black", markersize=10, zorder=5)
    axis.set_title(f"best {metric(top.values[place])}, trial {top.number} (*)")
    axis.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axis.set_xlim(-0.5, len(sweep.trials) - 0.5)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02))


def _draw_importances(sweep: SweepResult, path: Path) -> None:
    """Draw how much each option matters, for each objective."""
    if len(sweep.varied()) < 2:
        raise NothingToDrawError("fewer than two options vary")
    found = {name: importances(sweep, name) for place, name in enumerate(sweep.objectives) if _differs(sweep, place)}
    found = {name: shares for name, shares in found.items() if shares}
    if not found:
        raise NothingToDrawError("the complete trials have all reached the same")
    keys = list(dict.fromkeys(key for shares in found.values() for key in shares))[:MOST_BARS]
    complete, several = len(sweep.complete), len(found) > 1
    warning = f", fewer than {FEW}: they say little" if complete < FEW else ""
    width = 5.2 + 0.065 * max(len(cut(key, LONGEST)) for key in keys) + 1.2 * several
    height = 1.0 + (0.14 + 0.18 * len(found)) * len(keys)
    with figure_at(path, (width, height)) as figure:
        axis = figure.add_subplot()
        for place, ((name, shares), color) in enumerate(zip(found.items(), COLORS, strict=False)):
            values = [shares.get(key, 0) for key in keys]
            middle = [row + 0.8 * ((place + 0.5) / len(found) - 0.5) for row in range(len(keys))]
            bars = axis.barh(middle, values, 0.72 / len(found), color=color, label=name, alpha=0.4 if warning else 1)
            axis.bar_label(bars, [f"{value:.0%}" for value in values], padding=3)
        axis.set_yticks(range(len(keys)), [cut(key, LONGEST) for key in keys])
        axis.set_ylim(len(keys) - 0.4, -0.6)
        axis.set_xlim(0, max(share for shares in found.values() for share in shares.values()) * 1.12)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axis.grid(visible=False, axis="y")
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(f"share in what tells the best {BEST:.0%} from the other trials (PED-ANOVA)")
        figure.suptitle(f"Importance for {', '.join(found)}\n{complete} complete trials{warning}", fontsize=9)
        if several:
            axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02))


def _draw_parallel(sweep: SweepResult, path: Path) -> None:
    """Draw each complete trial as a line through its settings to what it reached."""
    trials, keys = _finite(sweep), sweep.varied()
    if not keys:
        raise NothingToDrawError("no option varies")
    orange = "the best" if len(sweep.objectives) == 1 else "the Pareto front"
    title = f"{len(trials)} complete trials, the better the darker, {orange} in orange"
    if len(keys) > MOST_AXES:
        known = importances(sweep, next(iter(sweep.objectives))) if _differs(sweep, 0) else {}
        title += f"; {MOST_AXES} of {len(keys)} options"
        keys = sorted(keys, key=lambda key: -known.get(key, 0))[:MOST_AXES]
    axes = scales(sweep, trials, keys)
    with figure_at(path, (max(5.4, 1.5 * len(axes) + 0.6), 4.2)) as figure:
        figure.suptitle(f"{cut(sweep.folder.name, 40)}: {title}", fontsize=9)
        draw_lines(figure.add_subplot(), sweep, trials, axes)


def _draw_front(sweep: SweepResult, path: Path) -> None:
    """Draw each pair of objectives, with the trials that no other one beats in all of them."""
    trials, objectives = _finite(sweep), list(sweep.objectives.items())
    front = [trial for trial in trials if trial.number in sweep.front]
    others = [trial for trial in trials if trial.number not in sweep.front]
    pairs = [(x, y) for x in range(len(objectives)) for y in range(x + 1, len(objectives))]
    with figure_at(path, (max(5.6, 4.2 * len(pairs)), 4.2)) as figure:
        for axis, (x, y) in zip(figure.subplots(1, len(pairs), squeeze=False).flatten(), pairs, strict=True):
            front.sort(key=lambda trial: trial.values[x])
            _scatter(axis, others, x, y, color=PALE, label="other trials")
            line = "--" if len(objectives) == 2 else ""  # the front of more is a surface
            _scatter(axis, front, x, y, color=ORANGE, linestyle=line, markersize=6, label="Pareto front")
            for trial in front if len(front) <= LABELLED else ():
                at = (trial.values[x], trial.values[y])
                axis.annotate(str(trial.number), at, xytext=(5, 5), textcoords="offset points")
            axis.set_xlabel(_wanted(*objectives[x]))
            axis.set_ylabel(_wanted(*objectives[y]))
        axis.legend()
        numbered = ", with their numbers" if len(front) <= LABELLED else ""
        title = f"{len(front)} of {len(trials)} complete trials are on the Pareto front{numbered}"
        figure.suptitle(f"{cut(sweep.folder.name, 40)}: {title}", fontsize=9)


def _scatter(axis: Axes, trials: list[Trial], x: int, y: int, linestyle: str = "", **style: Any) -> None:
    points = [trial.values[x] for trial in trials], [trial.values[y] for trial in trials]
    axis.plot(*points, marker="o", linestyle=linestyle, linewidth=0.9, **style)


def _wanted(name: str, mode: str) -> str:
    return f"{cut(name, LONGEST)} ({'larger' if mode == 'max' else 'smaller'} is better)"


def _finite(sweep: SweepResult) -> list[Trial]:
    return [trial for trial in sweep.complete if all(map(math.isfinite, trial.values))]


def _differs(sweep: SweepResult, place: int) -> bool:
    return len({trial.values[place] for trial in _finite(sweep)}) > 1
