"""Check the command line before anything is written: Hydra would, too, but later and at length."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType, RangeSweep, Sweep
from omegaconf import DictConfig

from ..errors import UsageError, did_you_mean
from ..overrides import RERUN, config_folder, is_override, option_name, searched
from .options import check_value, is_unlisted, keys, needed_by, unknown
from .words import CHOICES

MOST = 20  # choices of a group that are listed


def check_arguments(file: Path, arguments: list[str]) -> list[str]:
    """Check names and types of what the command line overrides, before anything is written.

    Returns:
        The command line, with `++` before what a class takes and its file in configs/ does not list, as Hydra wants it.

    Raises:
        UsageError: A group has no such choice, there is no such option, or its value is not of the type it should be.
    """
    others = [argument for argument in arguments if argument != RERUN]
    more = config_folder(others)
    of_other_files = ("--config-name", "--config-path", "-cn", "-cp", "hydra.searchpath=")
    if any(argument.startswith(of_other_files) for argument in others) or (more and not more.is_dir()):
        return arguments  # Hydra reads other files, and checks what it can
    configs = file.parent / "configs"
    folders = [configs, *([more] if more else [])]
    parsed = OverridesParser.create().parse_overrides(list(filter(is_override, arguments)))
    overrides = [override for override in parsed if override.type is OverrideType.CHANGE]
    if not {"-m", "--multirun"} & set(arguments):
        for override in overrides:
            if override.is_sweep_override():
                raise UsageError(f"{override.input_line}: several values make a sweep; add -m")
    additions = [o for o in parsed if o.type in (OverrideType.ADD, OverrideType.FORCE_ADD)]
    added_groups = _choices(additions, folders, None)
    groups = _choices(overrides, folders, _groups(file, arguments))
    options = [o for o in overrides if o.key_or_group not in groups and not o.key_or_group.startswith("hydra")]
    forced = [o for o in additions if o.key_or_group not in added_groups and not o.key_or_group.startswith("hydra")]
    left_out = [o for o in parsed if o.type is OverrideType.DEL]
    given = {o.key_or_group: str(o.input_line).partition("=")[2] for o in parsed}
    added = set[str]()
    for choices in itertools.product(*groups.values()) if options or forced or left_out else ():
        chosen = [f"{group}={_quote(choice)}" for group, choice in zip(groups, choices, strict=True)]
        defaults = _defaults(file, arguments, chosen)
        for override in left_out:
            _check_left_out(override, defaults, file.stem)
        for option in forced:
            _check_values(option, defaults, given)
        for option in options:
            if _check_option(option, defaults, file, given):
                added.add(str(option.input_line))
    return [f"++{argument}" if argument in added else argument for argument in arguments]


def leaves_runs(file: Path) -> bool:
    """Whether a command writes down its options, as its configuration asks for a run's folder."""
    return bool(_listed_defaults(file).get("hydra") == "train")


def check_additions(file: Path, arguments: Iterable[str]) -> None:
    """Refuse the choice of one callback in the place of all, as callbacks=early_stopping hardly ever means that.

    Raises:
        UsageError: It says what adds one, and what lets it be alone.
    """
    default = _listed_defaults(file).get("callbacks")
    known = {path.stem for path in Path(file.parent, "configs", "callbacks").glob("*.yaml")}
    for argument in arguments:
        group, _, name = argument.partition("=")
        if group == "callbacks" and name in known and isinstance(default, list):
            others = ", ".join(other for other in default if other != name)
            raise UsageError(
                f"{argument} would leave out {others}; +callbacks={name} adds it, callbacks=[{name}] is it alone"
            )


def _groups(file: Path, arguments: list[str]) -> set[str] | None:
    """Return the groups that a command has; None if that is not known, as for a run that is repeated."""
    return None if RERUN in arguments else set(_listed_defaults(file))


def _listed_defaults(file: Path) -> dict[str, Any]:
    """Return the defaults list of a command: each group with its choice."""
    path = file.parent / "configs" / f"{file.stem}.yaml"
    listed = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("defaults", [])
    pairs = (item for entry in listed if isinstance(entry, dict) for item in entry.items())
    return {str(group).removeprefix("override ").lstrip("/"): choice for group, choice in pairs}


def _choices(overrides: list[Override], folders: list[Path], known_groups: set[str] | None) -> dict[str, list[Any]]:
    """Return the choices of each group that the command line names.

    Raises:
        UsageError: A group has no such choice.
    """
    groups: dict[str, list[Any]] = {}
    for override in overrides:
        group = override.key_or_group
        if (known_groups is not None and group not in known_groups) or not _is_group(group, folders):
            continue
        known = sorted({path.stem for folder in folders for path in Path(folder, group).glob("*.yaml")})
        values = [value.filter(known) if isinstance(value, Glob) else [value] for value in _values(override)]
        groups[group] = list(itertools.chain.from_iterable(values))
        for choice in itertools.chain.from_iterable(v if isinstance(v, list) else [v] for v in groups[group]):
            if str(choice) not in known and not (choice is None and _may_be_none(folders[0], group)):
                raise UsageError(_no_such_choice(group, choice, known))
    return groups


def _is_group(name: str, folders: list[Path]) -> bool:
    return any(Path(folder, name).is_dir() for folder in folders)


def _may_be_none(configs: Path, group: str) -> bool:
    """Whether a command has nothing of a group by default, so that null says the same."""
    return any(f"- {group}: null" in path.read_text(encoding="utf-8") for path in configs.glob("*.yaml"))


def _no_such_choice(group: str, choice: Any, known: list[str]) -> str:
    given = f"{group}={'null' if choice is None else str(choice).lower() if isinstance(choice, bool) else choice}"
    if found := CHOICES.get(given):
        return f"{given}: {found.said('')}"
    return f"{given}: there is no such {group.removesuffix('s')}{did_you_mean(str(choice), known, MOST)}"


def _check_left_out(override: Override, defaults: DictConfig, command: str) -> None:
    key = override.key_or_group
    if user := needed_by(key, defaults):
        raise UsageError(f"~{key}: {command}.py can't do without it: {user}; give it another value instead")


def _check_option(option: Override, defaults: DictConfig, file: Path, given: dict[str, str]) -> bool:
    """Check one option, and return whether its file does not list it.

    Raises:
        UsageError: There is none of that name, or its value is of another type.
    """
    key, command = option.key_or_group, file.stem
    unlisted = key not in keys(defaults)
    if unlisted and not is_unlisted(key, defaults, given):
        raise UsageError(unknown(str(option.input_line), key, defaults, file.parent / "configs", command))
    _check_values(option, defaults, given)
    return unlisted


def _check_values(option: Override, defaults: DictConfig, given: dict[str, str]) -> None:
    key = option.key_or_group
    for value in _values(option):
        if expected := check_value(key, value, defaults, given):
            raise UsageError(f"{_text(key, value)}: expected {expected}")


def _text(key: str, value: Any) -> str:
    words: dict[Any, str] = {None: "null", True: "true", False: "false"}
    return f"{key}={words[value] if value is None or isinstance(value, bool) else value}"


def _values(override: Override) -> Iterator[Any]:
    """Yield the values of an option, of a range the first, as the others are like it."""
    value = override.value()
    if isinstance(value, RangeSweep):
        yield value.start
    elif isinstance(value, Sweep):
        yield from override.sweep_iterator() if override.is_discrete_sweep() else ()
    else:
        yield value


def _quote(choice: Any) -> str:
    return f"[{','.join(choice)}]" if isinstance(choice, list) else "null" if choice is None else str(choice)


def _defaults(file: Path, arguments: list[str], choices: list[str]) -> DictConfig:
    """Return the configuration with these choices and without the options of the command line."""
    folders = [file.parent / "configs", *filter(None, [config_folder([a for a in arguments if a != RERUN])])]
    if RERUN in arguments:  # each run has its own
        return _compose(folders, RERUN.partition("=")[2], *choices)
    added = [line for line in arguments if line.startswith("+") and _is_group(option_name(line), folders)]
    newest = max(path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*.yaml"))
    return _compose_once(tuple(folders), file.stem, newest, *choices, *added)


@functools.cache
def _compose_once(folders: tuple[Path, ...], name: str, newest: int, *choices: str) -> DictConfig:
    """Compose, once as long as no file changes: a process may run many commands, as a notebook or a test does."""
    return _compose(folders, name, *choices)


def _compose(folders: Sequence[Path], name: str, *choices: str) -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(folders[0])):
        return compose(name, [*choices, *map(searched, folders[1:])])
