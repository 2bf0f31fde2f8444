"""Each trial of a sweep as a line through its settings to what it reached."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator
from optuna.distributions import CategoricalDistribution

from ..digits import setting
from ..style import ORANGE, cut
from .trials import SweepResult, Trial

BELOW = -0.12  # where on an axis those trials lie that do not have the option
MANTISSAS = (1, 2, 5)


class Scale:
    """An axis: numbers, on a logarithmic scale if that is how they were searched, or choices.

    Args:
        name: What it is called.
        values: What each trial has there; None if it has nothing.
        choices: The choices, for an option that has some.
        log: Whether the scale is logarithmic.
    """

    def __init__(self, name: str, values: Sequence[Any], choices: Sequence[str] = (), log: bool = False) -> None:
        self.name, self.log = name, log
        self.missing = None in values
        self.choices = [choice for choice in choices if choice in map(setting, values)]
        if not self.choices:
            numbers = [self._scaled(value) for value in values if value is not None]
            self.low, self.high = min(numbers), max(numbers)
        self.places = [BELOW if value is None else self._place(value) for value in values]

    def ticks(self) -> list[tuple[float, str]]:
        """Return where on the axis what is written."""
        ticks = [(BELOW, "not set")] * self.missing
        if self.choices:
            return ticks + [(self._place(choice), cut(choice, 14)) for choice in self.choices]
        numbers = self._round_numbers()
        if len(numbers) < 2:
            numbers = [10**end if self.log else end for end in (self.low, self.high)]
        return ticks + [(self._place(value), setting(value)) for value in numbers]

    def _round_numbers(self) -> list[float]:
        if not self.log:
            found = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
            return [value for value in found if self.low <= value <= self.high]
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        mantissas = MANTISSAS if self.high - self.low < 2 else (1,)
        found = [float(f"{mantissa}e{decade}") for decade in decades for mantissa in mantissas]
        return [value for value in found if self.low <= math.log10(value) <= self.high]

    def _place(self, value: Any) -> float:
        if self.choices:
            return (self.choices.index(setting(value)) + 0.5) / len(self.choices)
        return (self._scaled(value) - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else float(value)


def scales(sweep: SweepResult, trials: list[Trial], keys: list[str]) -> list[Scale]:
    """Return an axis for each of the options, and one for each objective."""
    found = []
    for key in keys:
        space: Any = sweep.space(key)
        if isinstance(space, CategoricalDistribution):
            names = [setting(trial.settings[key]) if key in trial.settings else None for trial in trials]
            found.append(Scale(key, names, [str(choice) for choice in space.choices]))
        else:
            found.append(Scale(key, [trial.settings.get(key) for trial in trials], log=space.log))
    return found + [Scale(name, [t.values[place] for t in trials]) for place, name in enumerate(sweep.objectives)]


def draw_lines(axis: Axes, sweep: SweepResult, trials: list[Trial], axes: list[Scale]) -> None:
    """Draw the axes, and the lines: the better the darker, and the best on top."""
    best = sweep.front if len(sweep.objectives) > 1 else {trial.number for trial in sweep.ranked()[:1]}
    mode = next(iter(sweep.objectives.values()))
    order = sorted(range(len(trials)), key=lambda row: trials[row].values[0], reverse=mode == "min")
    low, high = (trials[row].values[0] for row in (order[0], order[-1]))
    for row in order:
        share = (trials[row].values[0] - low) / (high - low) if high != low else 1.0
        bold = trials[row].number in best
        style: dict[str, Any] = {"linewidth": 2.4, "zorder": 4} if bold else {"linewidth": 0.9, "alpha": 0.75}
        color = ORANGE if bold else colormaps["viridis_r"](0.1 + 0.9 * share)
        axis.plot(range(len(axes)), [scale.places[row] for scale in axes], color=color, **style)
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
    for place, scale in enumerate(axes):
        axis.plot([place, place], [BELOW if scale.missing else 0, 1], color="black", linewidth=0.8)
        for at, text in scale.ticks():
            axis.plot([place - 0.015, place + 0.015], [at, at], color="black", linewidth=0.8)
            axis.text(place + 0.035, at, text, fontsize=7, va="center", bbox=box, zorder=6)
    axis.set_xticks(range(len(axes)), [_fold(scale.name) for scale in axes])
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.yaxis.set_major_locator(NullLocator())
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.set_xlim(-0.25, len(axes) - 0.45)


def _fold(name: str) -> str:
    """Return the name of an option in lines that fit above its axis."""
    *parents, last = name.split(".")
    return "\n".join(cut(f"{part}.", 18) for part in parents[-3:]) + "\n" * bool(parents) + cut(last, 18)
