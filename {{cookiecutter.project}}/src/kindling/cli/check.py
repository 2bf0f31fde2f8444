"""Check the command line before anything is written: Hydra would, too, but later and at length."""

import functools
import itertools
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType, Sweep
from omegaconf import DictConfig, OmegaConf

from ..errors import UsageError, did_you_mean
from ..overrides import RERUN, is_override


def check_arguments(file: Path, arguments: list[str]) -> None:
    """Check names and types of what the command line overrides, before anything is written.

    Raises:
        UsageError: A group has no such choice, there is no such option, or its value is not of the default's type.
    """
    others = [argument for argument in arguments if argument != RERUN]
    if any(argument.startswith(("--config-", "-cd", "-cn", "-cp", "hydra.searchpath=")) for argument in others):
        return  # other files count, too: Hydra reads them, and checks what it can
    configs = file.parent / "configs"
    parsed = OverridesParser.create().parse_overrides(list(filter(is_override, arguments)))
    overrides = [override for override in parsed if override.type is OverrideType.CHANGE]
    if not {"-m", "--multirun"} & set(arguments):
        for override in overrides:
            if override.is_sweep_override():
                raise UsageError(f"{override.input_line}: several values make a sweep; add -m")
    groups = _choices(overrides, configs)
    options = [o for o in overrides if o.key_or_group not in groups and not o.key_or_group.startswith("hydra")]
    if not options:
        return
    for choices in itertools.product(*groups.values()):
        chosen = [f"{group}={_quote(choice)}" for group, choice in zip(groups, choices, strict=True)]
        defaults = _defaults(file, arguments, chosen)
        for option in options:
            _check_option(option, defaults, configs)


def _choices(overrides: list[Override], configs: Path) -> dict[str, list[Any]]:
    """Return the choices of each group that the command line names.

    Raises:
        UsageError: A group has no such choice.
    """
    groups: dict[str, list[Any]] = {}
    for override in overrides:
        group = override.key_or_group
        if not Path(configs, group).is_dir():
            continue
        known = sorted(path.stem for path in Path(configs, group).glob("*.yaml"))
        values = [value.filter(known) if isinstance(value, Glob) else [value] for value in _values(override)]
        groups[group] = list(itertools.chain.from_iterable(values))
        for choice in itertools.chain.from_iterable(v if isinstance(v, list) else [v] for v in groups[group]):
            if str(choice) not in known:
                raise UsageError(f"{group}={choice}: there is no such {group}{did_you_mean(str(choice), known)}")
    return groups


def _check_option(option: Override, defaults: DictConfig, configs: Path) -> None:
    key = option.key_or_group
    if key not in _keys(defaults):
        raise UsageError(_unknown_option(option.input_line or key, key, defaults, configs))
    default = OmegaConf.select(defaults, key, throw_on_missing=False) if _is_plain(defaults, key) else None
    for value in _values(option):
        if expected := _expected(default, value):
            raise UsageError(f"{key}={value!s}: expected {expected}, such as {default}")


def _unknown_option(given: str, key: str, config: DictConfig, configs: Path) -> str:
    parent, _, last = key.rpartition(".")
    value = given.partition("=")[2].split(",")[0]
    elsewhere = [known for known in _keys(config) if known.endswith(f".{last}")]
    groups = sorted(path.parent.name for path in configs.glob(f"*/{value}.yaml"))
    siblings = {k.rpartition(".")[2]: k for k in _keys(config) if k.rpartition(".")[0] == parent}
    close = [siblings[name] for name in get_close_matches(last, siblings, n=1)]
    # modle=bert means the group that has a bert, and lr=1e-3 means optimizer.lr
    guesses = close + elsewhere if parent else groups + elsewhere + close
    return f"{given}: there is no option {key}" + (f"; did you mean {guesses[0]}?" if guesses else "")


def _expected(default: Any, value: Any) -> str | None:
    """Return what a value of the default's type is called if `value` is not one."""
    if value is None or "${" in str(value):
        return None
    for kind, accepted, name in [
        (bool, bool, "true or false"),
        (int, int, "a whole number"),
        (float, int | float, "a number"),
    ]:
        if isinstance(default, kind):
            return None if isinstance(value, accepted) and isinstance(value, bool) == (kind is bool) else name
    return None


def _values(override: Override) -> Iterator[Any]:
    value = override.value()
    if isinstance(value, Sweep):
        yield from override.sweep_iterator() if override.is_discrete_sweep() else ()
    else:
        yield value


def _quote(choice: Any) -> str:
    return f"[{','.join(choice)}]" if isinstance(choice, list) else str(choice)


def _defaults(file: Path, arguments: list[str], choices: list[str]) -> DictConfig:
    """Return the configuration with these choices and without the options of the command line."""
    configs = file.parent / "configs"
    if RERUN in arguments:  # each run has its own
        return _compose(configs, RERUN.partition("=")[2], *choices)
    newest = max(path.stat().st_mtime_ns for path in configs.rglob("*.yaml"))
    return _compose_once(configs, file.stem, newest, *choices)


@functools.cache
def _compose_once(configs: Path, name: str, newest: int, *choices: str) -> DictConfig:
    """Compose, once as long as no file changes: a process may run many commands, as a notebook or a test does."""
    return _compose(configs, name, *choices)


def _compose(configs: Path, name: str, *choices: str) -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(configs)):
        return compose(name, list(choices))


def _is_plain(config: DictConfig, key: str) -> bool:
    """Whether the value is written in the config, not interpolated: some interpolations work in a running job only."""
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and not OmegaConf.is_interpolation(node, last)


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for name in config:
        yield prefix + str(name)
        node = config._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none():
            yield from _keys(node, f"{prefix}{name!s}.")
