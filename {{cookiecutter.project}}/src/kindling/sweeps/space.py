"""The space of a search: plain Hydra overrides, some of which have several values."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ..errors import UsageError
from ..overrides import option_name
from ..runs.settings import PRESENTATION

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
            UsageError: There are ranges without steps.
        """
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
        values = list(values_of(override))
        if override.is_range_sweep() and len(values) > 1:
            step = values[1] - values[0]
            if all(isinstance(number, int) for number in values) and step > 0 and not log:
                return IntDistribution(values[0], values[-1], step=step)
        return CategoricalDistribution(values)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


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
