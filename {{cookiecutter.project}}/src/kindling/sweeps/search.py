"""A search with Optuna: its study lies in the sweep's folder, and every process that works on it asks it for trials."""

import logging
import math
import warnings
from pathlib import Path
from typing import Any

import optuna
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from ..digits import metric, setting
from ..errors import UsageError
from ..exits import INTERRUPTED, PRUNED
from ..seeding import seed_from
from .jobs import Job, Jobs, read_numbers
from .lock import Lock
from .space import Space, values_of
from .storage import open_study
from .trials import option

log = logging.getLogger(__name__)

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Search(Jobs):
    """The trials of a search.

    What the sampler suggests depends on the seed, the trial's number and what is known by then: a sweep that was
    interrupted suggests what it would have suggested.

    Args:
        folder: The sweep's.
        space: What it tries.
        settings: The node `sweep` of the configuration.
        objectives: The metrics to optimize, and whether "min" or "max" is wanted.
        seed: Of the sampler.
    """

    def __init__(self, folder: Path, space: Space, settings: DictConfig, objectives: dict[str, str], seed: int) -> None:
        super().__init__(folder, _number_of("restarts", settings))
        self.space = space
        self.settings = settings
        self.objectives = objectives
        self.seed = seed
        self.distributions = space.distributions
        self.study = open_study(folder, settings.storage, folder.name, objectives)
        self.trials = self._count()
        self._announced = {trial.number for trial in self._trials(*ENDED)}

    def take(self) -> Job | None:
        with self.guard:
            for trial in self._trials(TrialState.RUNNING):
                # One that another machine began, in a folder of its own, is not for this one to go on with.
                known = (self.folder / ".locks" / str(trial.number)).exists()
                if known and (lock := self.lock(trial.number)):
                    return self._job(trial.number, trial.params, lock)
            if (
                sum(trial.state is not TrialState.WAITING for trial in self.study.get_trials(deepcopy=False))
                >= self.trials
            ):
                return None
            asked, lock = self._ask()
        return self._job(asked.number, asked.params, lock)

    def end(self, job: Job, code: int, stops: bool = False) -> bool:
        try:
            trial = next(trial for trial in self._trials(TrialState.RUNNING) if trial.number == job.number)
            attributes = optuna.trial.Trial(self.study, trial._trial_id)
            goes_on = self.goes_on(job, code, stops)
            if code not in INTERRUPTED and not (goes_on and stops):
                attributes.set_user_attr("attempts", trial.user_attrs.get("attempts", 0) + 1)
            return not goes_on and self._report_end(job, code, attributes)
        finally:
            job.lock.release()

    def left(self) -> int:
        return self.trials - len(self._trials(*ENDED))

    def idle(self) -> int:
        running = self._trials(TrialState.RUNNING)
        begun = len(running) + len(self._trials(*ENDED))
        known = (t for t in running if (self.folder / ".locks" / str(t.number)).exists())  # others are elsewhere
        return max(0, self.trials - begun) + sum(self.is_free(trial.number) for trial in known)

    def news(self) -> list[str]:
        ended = [trial for trial in self._trials(*ENDED) if trial.number not in self._announced]
        self._announced.update(trial.number for trial in ended)
        return [self._line(trial) for trial in ended]

    def _count(self) -> int:
        """Return how many trials there are to be: as many as a grid has points, where none are asked for."""
        trials = self.settings.trials
        if "search_space" in self.settings.sampler:
            points = len(self.space.grid()) if self.distributions else 1
            return points if trials is None else min(trials, points)
        if not isinstance(trials, int) or trials < 1:
            raise UsageError(f"sweep.trials={trials}: expected 1 or more")
        if not self.distributions:
            raise UsageError(
                "sweep: no option has several values, so that all trials would be the same; give one some, such as "
                "'optimizer.lr=tag(log,interval(1e-4,1e-1))' or model=bow,lstm"
            )
        return trials

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def _ask(self) -> tuple[optuna.trial.Trial, Lock]:
        known = self.study.get_trials(deepcopy=False)
        self.study.sampler = self._sampler(len(known))
        trial = self.study.ask(self._named(known))
        lock = self.lock(trial.number)
        assert lock, "its number is new"
        return trial, lock

    def _sampler(self, trials: int) -> Any:
        config = self.settings.sampler
        if "search_space" in config:  # a grid, which its seed puts in order once
            points = {name: list(distribution.choices) for name, distribution in self._points().items()}
            return instantiate(config, search_space=points)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an option is experimental, which its file may say
            return instantiate(config, seed=seed_from(self.seed, trials))

    def _points(self) -> dict[str, CategoricalDistribution]:
        return {name: CategoricalDistribution(list(values_of(found))) for name, found in self.space.varied.items()}

    def _named(self, known: list[FrozenTrial]) -> dict[str, BaseDistribution]:
        """Return the distributions by the names that the study has for them.

        Optuna lets no parameter have other choices than before: one of a changed space gets a name of its own.
        """
        grid = "search_space" in self.settings.sampler
        named: dict[str, BaseDistribution] = {}
        for wanted, distribution in (self._points() if grid else self.distributions).items():
            name, count = wanted, 1
            while any(_clash(trial.distributions.get(name), distribution) for trial in known):
                count += 1
                name = f"{wanted}~{count}"
            named[name] = distribution
        return named

    def _job(self, trial: int, params: dict[str, Any], lock: Lock) -> Job:
        own = {option(name): value for name, value in params.items()}
        fixed = [line for name, line in self.space.fixed.items() if name not in own]
        overrides = [*fixed, *(f"{name}={_text(value)}" for name, value in own.items())]
        return Job(trial, overrides, self.folder / str(trial), lock)

    def _report_end(self, job: Job, code: int, attributes: optuna.trial.Trial) -> bool:
        """Tell the study how a trial has ended; return False if it is tried again."""
        if code == PRUNED:
            return self._close(job, TrialState.PRUNED)
        error = self.error(job, code) if code else ""
        if not error:
            reached = read_numbers(job.folder)
            error = self._missing(reached)
            if not error:
                attributes.set_user_attr("seconds", reached.get("seconds"))
                return self._close(job, TrialState.COMPLETE, [reached[name] for name in self.objectives])
        attributes.set_user_attr("error", error)
        attempts = attributes.user_attrs["attempts"]
        if attempts > self.settings.retries or code < 0:
            return self._close(job, TrialState.FAIL)
        log.warning("Trial %d failed (%s), and is tried again", job.number, error)
        (job.folder / "error.txt").rename(job.folder / f"error-{attempts}.txt")
        return False

    def _missing(self, reached: dict[str, float]) -> str:
        """Return what a trial that ended well has not reached, or nothing."""
        missing = [name for name in self.objectives if name not in reached]
        if missing:
            return f"there is no metric {missing[0]}; there are {', '.join(sorted(reached))}"
        no_number = any(math.isnan(reached[name]) for name in self.objectives)
        return f"{', '.join(self.objectives)} is no number" if no_number else ""

    def _close(self, job: Job, state: TrialState, values: list[float] | None = None) -> bool:
        self.study.sampler = optuna.samplers.RandomSampler()  # that of a grid would end a loop that is not Optuna's
        self.study.tell(job.number, values, state, skip_if_finished=True)
        return True

    def _line(self, trial: FrozenTrial) -> str:
        settings = "  ".join(f"{option(name)}={setting(value)}" for name, value in trial.params.items())
        if trial.state is TrialState.FAIL:
            return f"#{trial.number} failed: {trial.user_attrs.get('error', 'unknown')}  {settings}"
        if trial.state is TrialState.PRUNED:
            return f"#{trial.number} pruned after validation {trial.last_step}  {settings}"
        values = "  ".join(f"{name} {metric(value)}" for name, value in zip(self.objectives, trial.values, strict=True))
        return f"#{trial.number} {values}{self._best(trial)}  {settings}"

    def _best(self, trial: FrozenTrial) -> str:
        if len(self.objectives) > 1:
            return ""
        best = self.study.best_trial
        return "  (best so far)" if best.number == trial.number else f"  (best: {metric(best.value)} in #{best.number})"


def _clash(old: BaseDistribution | None, new: BaseDistribution) -> bool:
    if old is None:
        return False
    try:
        optuna.distributions.check_distribution_compatibility(old, new)
    except ValueError:
        return True
    return False


def _number_of(name: str, settings: DictConfig) -> int:
    value = settings[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"sweep.{name}={value}: expected a whole number from 0")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
