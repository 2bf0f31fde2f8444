"""The space of a search: plain Hydra overrides, some of which have several values."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ..errors import UsageError
from ..overrides import option_name
from ..runs.settings import PRESENTATION

MOST = 100_000  # combinations of a grid, and values of one option; a range is not made to find out
HOW = ("sweep", "sampler", "pruner", "launcher")  # groups that say how to search, not what to run


@dataclass
class Space:
    """What a sweep tries.

    Args:
        fixed: Overrides that all of its jobs have.
        varied: Overrides of several values, by their keys.
    """

    fixed: dict[str, str]
    varied: dict[str, Override]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """From where Optuna takes the value of each varied option.

        Raises:
            UsageError: One of them can't be searched.
        """
        return {name: _distribution(override) for name, override in self.varied.items()}

    def grid(self) -> list[list[str]]:
        """Return the overrides of each combination, in the order of a plain multirun.

        Raises:
            UsageError: There are ranges without steps, or too many combinations.
        """
        if (count := math.prod(map(_count, self.varied.values()))) > MOST:
            lines = " ".join(str(override.input_line) for override in self.varied.values())
            raise UsageError(f"{lines}: {count} jobs, and a grid has at most {MOST}; sweep=search tries some of them")
        lists = [[override] for override in self.fixed.values()]
        for name, override in self.varied.items():
            lists.append([f"{name}={value!s}" for value in _listed(override).sweep_string_iterator()])
        return [list(overrides) for overrides in itertools.product(*lists)]

    def describe(self) -> dict[str, str]:
        """Return what makes this search another than others, as key and value."""
        lines = {name: line.partition("=")[2] for name, line in self.fixed.items() if _counts(name)}
        return lines | {name: str(found.input_line).partition("=")[2] for name, found in self.varied.items()}


def read_space(space: Any, arguments: list[str]) -> Space:
    """Return the space of a file, with what the command line says on top.

    Args:
        space: Options and their values, in the grammar of overrides; None for no file.
        arguments: The overrides on the command line.
    """
    given = OmegaConf.to_container(space) if space else {}
    assert isinstance(given, dict)
    lines = [f"{name!s}={_text(value)}" for name, value in given.items()]
    lines = [line for line in lines if option_name(line) not in {option_name(argument) for argument in arguments}]
    parsed = OverridesParser.create().parse_overrides([*lines, *arguments])
    found = Space({}, {})
    for override in parsed:
        name, line = override.get_key_element(), str(override.input_line)
        if override.is_sweep_override():
            found.varied[name] = override
        elif not _says_how(override) and option_name(line) != "paths.run":
            found.fixed[option_name(line)] = line
    return found


def differences(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Return in which options two spaces differ, as "key old -> new"."""
    return [
        f"{name} {old.get(name, 'not set')} -> {new.get(name, 'not set')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def values_of(override: Override) -> Iterator[Any]:
    """Give the values of an override that lists them: as they are if Optuna takes them so, else as text."""
    plain, texts = list(_listed(override).sweep_iterator()), list(_listed(override).sweep_string_iterator())
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in plain)
    yield from plain if numbers else texts


def _distribution(override: Override) -> BaseDistribution:
    value, name = override.value(), override.key_or_group
    log = "log" in value.tags  # type: ignore[union-attr]
    if unknown := value.tags - {"log"}:  # type: ignore[union-attr]
        raise UsageError(f"{override.input_line}: unknown tag {', '.join(sorted(unknown))}; there is log")
    try:
        if isinstance(value, IntervalSweep):
            low, high = value.start, value.end
            assert low is not None and high is not None
            if isinstance(low, int) and isinstance(high, int):
                return IntDistribution(low, high, log=log)
            return FloatDistribution(float(low), float(high), log=log)
        if isinstance(value, RangeSweep) and not log and (numbers := _whole(value)) and len(numbers) > 1:
            return IntDistribution(numbers[0], numbers[-1], step=numbers.step)
        if _count(override) > MOST:
            raise UsageError(f"{override.input_line}: {_count(override)} values; interval(low,high) takes any between")
        return CategoricalDistribution(list(values_of(override)))
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def _whole(found: RangeSweep) -> range | None:
    """Return a range of whole numbers that rises; None if it is another one."""
    parts = (found.start, found.stop, found.step)
    if not all(isinstance(part, int) for part in parts) or not found.step or found.step < 0:
        return None
    return range(*parts)  # type: ignore[arg-type]


def _count(override: Override) -> int:
    """Return how many values an override has, without making them."""
    value = override.value()
    if isinstance(value, RangeSweep):
        assert value.start is not None and value.stop is not None and value.step is not None
        if not value.step:
            raise UsageError(f"{override.input_line}: a step of zero never ends")
        return max(0, math.ceil((value.stop - value.start) / value.step))
    return sum(1 for _ in _listed(override).sweep_iterator())


def _listed(override: Override) -> Override:
    if not override.is_discrete_sweep():
        raise UsageError(
            f"{override.input_line}: no end of values; list some, or let a sampler search it: sweep=search"
        )
    return override


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return str(value)


def _says_how(override: Override) -> bool:
    group = override.key_or_group.partition(".")[0].partition("/")[0]
    return group in HOW or override.key_or_group.startswith(("hydra.sweep", "hydra/", "hydra.launcher"))


def _counts(name: str) -> bool:
    """Whether an option makes another search; where things go and how they are shown does not."""
    return name.partition(".")[0].partition("@")[0] not in (*PRESENTATION, "paths")
