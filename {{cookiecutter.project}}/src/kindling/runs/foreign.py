"""What the options of a run may say that come out of a file, which anybody may have made."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from ..errors import UsageError
from ..overrides import is_override

TARGET = "_target_"
# An option of the project, by its own name, or in a group: data.dir, callbacks, +optimizer@task.optimizer
KEY = re.compile(r"\w[\w-]*([./]\w[\w-]*)*(@\w[\w.]*)?")
CHOICE = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")
# What an interpolation may ask: another option, or what is known of the run and its data. None of these runs anything.
ASKS = "hydra|now|oc\\.select|oc\\.dict\\.values|oc\\.dict\\.keys|num_classes|stem|slug|name_of"
INTERPOLATION = re.compile(rf"\$\{{([\w.\[\]]+\}}|({ASKS}):)")


def check_overrides(overrides: list[str], where: str, configs: Path) -> list[str]:
    """Return the classes that options of a command line name, if that is all that they would let run.

    Args:
        overrides: The options, from a file.
        where: The option that named the file, for messages.
        configs: The project's own configurations, whose texts and groups are known.

    Raises:
        UsageError: An option is none, changes what Hydra itself does, or names what a file may not have built.
    """
    found = [target for text in overrides for target in _check_override(text, where, configs)]
    return list(dict.fromkeys(found))


def check_config(config: dict[str, Any], where: str, configs: Path) -> None:
    """Check a whole configuration, not yet resolved, of a run that is repeated.

    Raises:
        UsageError: It names what a file may not have built, and the project's own configurations do not.
    """
    _check_value(config, where, configs)


def _check_override(text: str, where: str, configs: Path) -> list[str]:
    override = _parse(text, where)
    key = override.key_or_group
    name = f"{key}@{override.package}" if override.package else key
    if not KEY.fullmatch(name) or "hydra" in re.split(r"[./@]", name):
        raise _refusal(text, where)
    if override.is_sweep_override():
        raise UsageError(f"{where}: {text[:80]!r} in it is for a sweep, and no option of one run")
    value = override.value()
    if "/" in key or Path(configs, key).is_dir():
        _check_choice(value, text, where)
    for part in reversed(key.split(".")):
        value = {part: value}
    return _check_value(value, where, configs, own=False)


def _parse(text: str, where: str) -> Override:
    if not is_override(text):
        raise _refusal(text, where)
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        raise _refusal(text, where) from None


def _check_choice(value: Any, text: str, where: str) -> None:
    choices = value if isinstance(value, list) else [value]
    if isinstance(value, dict) or any("${" in str(choice) for choice in choices):
        return  # no choice of files, but what is looked at as a value
    for choice in choices:
        if choice is not None and not (isinstance(choice, str) and CHOICE.fullmatch(choice)):
            raise _refusal(text, where)


def _check_value(value: Any, where: str, configs: Path, own: bool = True) -> list[str]:
    """Return the classes that a value names; with `own` those of the project's own configurations may be any."""
    from ..checkpoints.kinds import find  # here, as --help does without torch
    from ..checkpoints.trust import check

    check(value, where)
    named = []
    for text in _texts(value):
        if "${" in text and not _is_harmless(text) and text not in _known(configs):
            raise UsageError(
                f"{where}: an option in it is {text[:80]!r}, which is not trusted: it may run code or read what is "
                "yours; give this option on the command line, too, if it is your own"
            )
    for node in _dictionaries(value):
        target = node.get(TARGET)
        if target in (None, "???") or (own and str(target) in _known(configs)):
            continue
        find(target, where, node.get("_partial_") is True, training=True)
        named.append(str(target))
    return named


def _is_harmless(text: str) -> bool:
    """Whether the interpolations in a text ask what `ASKS` lists and hold no container, in which a class could be."""
    if any(character in text for character in "'\"\\"):
        return False
    depth = place = 0
    while place < len(text):
        if text.startswith("${", place):
            if not INTERPOLATION.match(text, place):
                return False
            depth, place = depth + 1, place + 2
            continue
        if depth and text[place] == "{":
            return False
        depth -= depth > 0 and text[place] == "}"
        place += 1
    return True


@cache
def _known(configs: Path) -> frozenset[str]:
    """Return the texts in the project's own configurations."""
    found = set()
    for file in configs.rglob("*.yaml"):
        try:
            found |= set(_texts(yaml.safe_load(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, yaml.YAMLError):
            continue  # Hydra says what is wrong with it
    return frozenset(found)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for pair in node.items():
            yield from _texts(list(pair))
    elif isinstance(node, list):
        for item in node:
            yield from _texts(item)


def _dictionaries(node: Any) -> Iterator[dict[Any, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    for item in node if isinstance(node, list) else ():
        yield from _dictionaries(item)


def _refusal(text: str, where: str) -> UsageError:
    return UsageError(f"{where}: {text[:80]!r} in it is no option of a run, and is not trusted")
