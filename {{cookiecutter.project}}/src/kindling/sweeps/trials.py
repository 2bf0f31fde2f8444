"""What a sweep has tried, as its study and the folders of its jobs tell."""

import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from ..digits import setting
from ..runs.read import read_metrics

STATES = {"FAIL": "failed"}  # the others are called as Optuna calls them


@dataclass
class Trial:
    """A trial and the run that it made.

    Args:
        number: Its number, which is the name of its folder, too.
        state: complete, pruned, failed, running or waiting.
        folder: The run's folder.
        settings: What it tried: options and their values.
        spaces: From where each value was taken.
        values: What it reached in each objective; none unless it is complete.
        reached: The last value that it reported on the way.
        metrics: Of its best checkpoint.
        seconds: The time it took, over all attempts.
        attempts: How often it was started; None if nobody counted.
        started: When, as ISO 8601.
        error: Why it failed, in one line.
    """

    number: int
    state: str
    folder: Path
    settings: dict[str, Any]
    spaces: dict[str, BaseDistribution]
    values: list[float]
    reached: float | None
    metrics: dict[str, float]
    seconds: float
    attempts: int | None
    started: str
    error: str

    @property
    def complete(self) -> bool:
        return self.state == "complete"


@dataclass
class SweepResult:
    """All trials of a sweep.

    Args:
        folder: The sweep's, in which each trial has one.
        objectives: The metrics that are optimized, and whether "min" or "max" is wanted.
        trials: In the order of their numbers.
        front: Numbers of those that no other trial beats in every objective; of one objective the best.
        command: What the user called.
    """

    folder: Path
    objectives: dict[str, str]
    trials: list[Trial]
    front: set[int]
    command: str

    @property
    def complete(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.complete]

    @property
    def failed(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.state == "failed"]

    @property
    def keys(self) -> list[str]:
        """The options that any trial tried."""
        return list(dict.fromkeys(key for trial in self.trials for key in trial.settings))

    def varied(self) -> list[str]:
        """Return the options in which the complete trials differ."""
        return [key for key in self.keys if len({setting(trial.settings.get(key)) for trial in self.complete}) > 1]

    def ranked(self) -> list[Trial]:
        """Return the trials from the best to the worst: the front, the other complete ones, then those that tell less.

        Of several objectives the first one counts. Trials that have failed or wait for their turn are left out.
        """
        sign = -1 if next(iter(self.objectives.values())) == "max" else 1

        def place(trial: Trial) -> tuple[bool, bool, float]:
            value = trial.values[0] if trial.complete else trial.reached
            return not trial.complete, trial.number not in self.front, math.inf if value is None else sign * value

        return sorted((trial for trial in self.trials if trial.state not in ("failed", "waiting")), key=place)

    def best(self) -> Trial | None:
        """Return the best trial; of several objectives that of the front which is best in the first."""
        return next((trial for trial in self.ranked() if trial.complete), None)

    def counts(self) -> str:
        """Return how many trials are in each state, as "17 complete, 2 pruned, 1 failed"."""
        count = Counter(trial.state for trial in self.trials)
        states = ("complete", "pruned", "failed", "running", "waiting")
        return ", ".join(f"{count[state]} {state}" for state in states if count[state] or state == "complete")

    def space(self, name: str) -> BaseDistribution:
        """Return from where the trials' values of an option were taken, also if that was changed on the way.

        Choices are what `digits.setting` makes of them.
        """
        spaces = [trial.spaces[name] for trial in self.trials if name in trial.spaces]
        numeric: list[Any] = [space for space in spaces if not isinstance(space, CategoricalDistribution)]
        if len(numeric) == len(spaces):
            low, high = min(space.low for space in numeric), max(space.high for space in numeric)
            return FloatDistribution(low, high, log=all(space.log for space in numeric))
        choices = {setting(value) for space in spaces for value in getattr(space, "choices", ())}
        choices |= {setting(trial.settings[name]) for trial in self.trials if name in trial.settings}
        ordered = sorted(choices, key=_in_order)
        return CategoricalDistribution(ordered)


def read_sweep(folder: Path, study: Study, objectives: dict[str, str], command: str) -> SweepResult:
    """Return what the study and the folders in the sweep's folder tell."""
    found = study.get_trials(deepcopy=False)
    front = {trial.number for trial in study.best_trials} if any(_complete(trial) for trial in found) else set()
    return SweepResult(folder, objectives, [_read(folder, trial) for trial in found], front, command)


def option(parameter: str) -> str:
    """Return the option that a parameter of the study sets; a changed space gives it a new name, as optimizer.lr~2."""
    return re.sub(r"~\d+$", "", parameter)


def _read(folder: Path, trial: FrozenTrial) -> Trial:
    attributes, duration = trial.user_attrs, trial.duration
    return Trial(
        number=trial.number,
        state=STATES.get(trial.state.name, trial.state.name.lower()),
        folder=folder / str(trial.number),
        settings={option(key): value for key, value in trial.params.items()},
        spaces={option(key): space for key, space in trial.distributions.items()},
        values=trial.values if _complete(trial) else [],
        reached=trial.intermediate_values[trial.last_step] if trial.last_step is not None else None,
        metrics=read_metrics(folder / str(trial.number)),
        seconds=attributes.get("seconds") or (duration.total_seconds() if duration else math.nan),
        attempts=attributes.get("attempts"),
        started=trial.datetime_start.isoformat(timespec="seconds") if trial.datetime_start else "",
        error=" ".join(str(attributes.get("error", "")).split()),
    )


def _complete(trial: FrozenTrial) -> bool:
    return trial.state is TrialState.COMPLETE


def _in_order(choice: str) -> tuple[float, str]:
    """Numbers come in their own order, and before words."""
    try:
        return float(choice), choice
    except ValueError:
        return math.inf, choice
