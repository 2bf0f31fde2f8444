"""The options of a command: their names, and which values they take."""

import functools
import math
import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf

from .signatures import Parameters, accepts, described, parameters
from .words import remedy

CLOSE = 0.75  # likeness below which another option is more often meant than the one that looks most like it
BUILT = ("trainer", "optimizer", "model", "data", "task")  # what a bare word may belong to
SIZES = ("hidden_size", "vocab_size", "embedding_size", "intermediate_size", "kernel_size", "batch_size")
NEEDED = ("data", "task", "trainer")  # what train.py reads itself
# Options without a class that says their type, of which there is one value.
ONE_VALUE = ("resume", "init", "rerun", "account", "checkpoint", "input", "output", "inspect", "metric", "mode")
TEXTS = ("monitor", "mode", "metric", "name_pattern")
FILES = ("checkpoint", "inspect", "init", "input", "output")
EPOCHS = ("checkpoint", "inspect", "init")  # which take the number of one, too

_parameters = functools.cache(parameters)


def keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield the names of all options."""
    for name in config:
        yield prefix + str(name)
        node = config._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none():
            yield from keys(node, f"{prefix}{name!s}.")


def is_unlisted(key: str, config: DictConfig, given: dict[str, str]) -> bool:
    """Whether the class that an option belongs to takes it, though the file in configs/ does not list it.

    Args:
        key: The option.
        config: Without it.
        given: What the command line itself sets.
    """
    return key.rpartition(".")[2] in _takes(key.rpartition(".")[0], config, given)


def check_value(key: str, value: Any, config: DictConfig, given: dict[str, str]) -> str | None:
    """Return what an option expects if a value is not that: of the type of its default, or of its class's signature."""
    if "${" in str(value):
        if missing := _missing(str(value), config, given):
            return missing
        value = _referred(str(value), config, given)
        if value is None:
            return None
    parent, _, last = key.rpartition(".")
    listed = key in keys(config)
    plain = listed and _is_plain(config, key)
    default = OmegaConf.select(config, key, throw_on_missing=False) if plain else None
    if expected := _expected(default, value):
        return f"{expected}, such as {default}"
    if isinstance(value, float) and math.isnan(value):
        return "a number"
    if last in SIZES and isinstance(value, int) and value < 1:
        return "1 or more"
    if key in EPOCHS and type(value) is int:
        return None if value > 0 else "1 or more, where it is the number of an epoch"
    if (key in FILES or key.startswith("paths.")) and isinstance(value, bool | int | float):
        return f"a file or a folder; ./{value} is one of that name"
    number = isinstance(value, bool | int | float)
    odd = isinstance(value, dict | list) or isinstance(default, DictConfig | ListConfig)
    odd = odd or (listed and number and _is_text(config, key))
    odd = odd or (plain and default is None and value is not None)  # null tells nothing of the type
    if listed and not odd and not (value is None and _has_value(config, key)):
        return None  # of the right type, as far as the default tells: the class need not be imported
    if parameter := _takes(parent, config, given).get(last):
        return None if accepts(parameter, value) else described(parameter)
    return _expected_without_class(key, value, default, config) if listed else None


def needed_by(key: str, config: DictConfig) -> str:
    """Return an option that refers to another one, which can't be left out then; empty if none does."""
    if key in NEEDED:
        return "it is what is run"
    for name in keys(config):
        parent, _, last = name.rpartition(".")
        node = (OmegaConf.select(config, parent) if parent else config)._get_node(last)
        text = str(node._value()) if node is not None and not isinstance(node, DictConfig | ListConfig) else ""
        if any(f"${{{key}{end}" in text for end in ("}", ".")) and not name.startswith(f"{key}."):
            return f"{name} is {text}"
    return ""


def unknown(given: str, key: str, config: DictConfig, configs: Path, command: str) -> str:
    """Return the line about an option that there is not: the remedy if it is a known word, else what it looks like."""
    parent, value = key.rpartition(".")[0], given.partition("=")[2]
    if found := remedy(command, key):
        return f"{given}: there is no option {key}; {found.said(value)}"
    choice = key.split(".")[1] if parent else ""
    group = key.partition(".")[0]
    if parent and group in ("callbacks", "logger") and Path(configs, group, f"{choice}.yaml").is_file():
        return f"{given}: there is no option {key}; +{group}={choice} adds what has it"
    guess = _guess(key, value.split(",")[0], config, configs)
    return f"{given}: there is no option {key}" + (f"; did you mean {guess}?" if guess else "")


def _guess(key: str, value: str, config: DictConfig, configs: Path) -> str | None:
    parent, _, last = key.rpartition(".")
    elsewhere = [known for known in keys(config) if known.endswith(f".{last}")]
    elsewhere.sort(key=lambda known: known.partition(".")[0] not in BUILT)
    found = configs.glob(f"*/{value}.yaml") if re.fullmatch(r"[\w-]+", value) else ()
    groups = {path.parent.name for path in found} & set(map(str, config))
    siblings = {k.rpartition(".")[2]: k for k in keys(config) if k.rpartition(".")[0] == parent}
    siblings |= {name: f"{parent}.{name}" for name in _takes(parent, config, {})}
    close = [siblings[name] for name in get_close_matches(last, siblings, n=1, cutoff=CLOSE)]
    # modle=bert means the group that has a bert, and lr=1e-3 means optimizer.lr
    guesses = close + elsewhere if parent else [*(groups if len(groups) == 1 else ()), *elsewhere, *close]
    if not guesses and not parent:
        guesses = [f"{part}.{key}" for part in BUILT if key in _takes(part, config, {})]
    return guesses[0] if guesses else None


def _takes(parent: str, config: DictConfig, given: dict[str, str]) -> Parameters:
    """Return what the class that a part of the config names takes; nothing if it names none."""
    node = OmegaConf.select(config, parent, throw_on_missing=False) if parent else None
    target = given.get(f"{parent}._target_")
    if target is None and isinstance(node, DictConfig) and not OmegaConf.is_missing(node, "_target_"):
        target = node.get("_target_")
    return _parameters(target) if isinstance(target, str) else {}


def _missing(value: str, config: DictConfig, given: dict[str, str]) -> str | None:
    """Return what a value refers to that there is not: a variable of the environment, or another option."""
    for name in re.findall(r"\$\{oc\.env:([^,}]+)\}", value):
        if name not in os.environ:
            return f"the environment to have {name}"
    for name in re.findall(r"\$\{(\w[\w.]*)\}", value):
        here = any(name == key or name.startswith(f"{key}.") or key.startswith(f"{name}.") for key in given)
        if not here and name not in keys(config):
            return f"an option {name}, which there is not"
    return None


def _referred(value: str, config: DictConfig, given: dict[str, str]) -> Any:
    """Return the value that ${another.option} stands for; None if it is known in a running job only, or is a group."""
    match = re.fullmatch(r"\$\{(\w[\w.]*)\}", value)
    if match is None:
        return None
    name = match[1]
    if name in given:
        found = OverridesParser.create().parse_override(f"{name}={given[name]}").value()
        return found if isinstance(found, bool | int | float) else None
    found = OmegaConf.select(config, name, throw_on_missing=False) if _is_plain(config, name) else None
    return None if isinstance(found, DictConfig | ListConfig) else found


def _expected(default: Any, value: Any) -> str | None:
    """Return what a value of the default's type is called if `value` is not one."""
    if value is None:
        return None
    for kind, accepted, name in [
        (bool, bool, "true or false"),
        (int, int, "a whole number"),
        (float, int | float, "a number"),
    ]:
        if isinstance(default, kind):
            return None if isinstance(value, accepted) and isinstance(value, bool) == (kind is bool) else name
    return None


def _expected_without_class(key: str, value: Any, default: Any, config: DictConfig) -> str | None:
    """Return what an option that belongs to no class expects if `value` is not that."""
    if isinstance(default, ListConfig) and not isinstance(value, list | None):
        return f"a list, such as {key}=[{value if isinstance(value, str) else 'a'}]"
    own = "." not in key or key.startswith("paths.")
    if value is None and own and not isinstance(default, DictConfig | ListConfig) and _has_value(config, key):
        return f"a value, such as {default}" if default is not None else "a value"
    if isinstance(default, DictConfig) and not isinstance(value, dict | None):
        return f"options of its own, such as {key}.{next(map(str, default), 'a')}=..."
    if key in TEXTS and isinstance(value, bool | int | float):
        return "text"
    if isinstance(value, dict | list) and (key in ONE_VALUE or isinstance(default, str)):
        return "one value"
    return None


def _has_value(config: DictConfig, key: str) -> bool:
    """Whether an option is something by default, or has to be."""
    parent, _, last = key.rpartition(".")
    node = (OmegaConf.select(config, parent) if parent else config)._get_node(last)
    return node is not None and not node._is_none()


def _is_text(config: DictConfig, key: str) -> bool:
    """Whether an option is text by default, with interpolations maybe, or has to be given."""
    parent, _, last = key.rpartition(".")
    node = (OmegaConf.select(config, parent) if parent else config)._get_node(last)
    text = None if node is None or isinstance(node, DictConfig | ListConfig) else node._value()
    return isinstance(text, str) and text != "auto" and not re.fullmatch(r"\$\{[^{}]*\}", text)


def _is_plain(config: DictConfig, key: str) -> bool:
    """Whether the value is written in the config, not interpolated: some interpolations work in a running job only."""
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and not OmegaConf.is_interpolation(node, last)
