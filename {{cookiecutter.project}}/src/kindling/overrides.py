"""Hydra's grammar of the command line: what an argument sets, and how a value is quoted."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

TAKES_A_VALUE = ("-c", "--cfg", "-p", "--package", "-i", "--info", "-cd", "--config-dir", "-cn", "--config-name")

RERUN = "--config-name=rerun"  # a config that `rerun.py` has made


def is_override(argument: str) -> bool:
    """Whether the argument changes the config, as `key=value` and `~key` do and a flag does not."""
    return ("=" in argument and not argument.startswith("-")) or argument.startswith("~")


def name_positional(arguments: list[str], name: str) -> list[str]:
    """Return the arguments with those that are neither flags nor overrides, such as folders, as one override."""
    values = [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if not argument.startswith("-")
        and before not in TAKES_A_VALUE
        and (not is_override(argument) or Path(argument).exists())  # runs/lr=0.1
    ]
    if not values:
        return arguments
    quoted = ",".join(quote(value) for value in values)
    return [*(argument for argument in arguments if argument not in values), f"{name}=[{quoted}]"]


def config_folder(arguments: Sequence[str]) -> Path | None:
    """Return the folder of more configurations that --config-dir names; None without it."""
    for argument, after in pairwise([*arguments, ""]):
        option, _, attached = argument.partition("=")
        if option in ("--config-dir", "-cd"):
            return Path(attached or after).absolute()
    return None


def searched(folder: Path) -> str:
    """Return the override by which Hydra looks for configurations in a folder, too."""
    return f"hydra.searchpath=[{quote(f'file://{folder}')}]"


def quote(path: str | Path) -> str:
    """Return the path as a value in Hydra's grammar."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


def option_name(argument: str) -> str:
    """Return the name of the option that an override sets, without + and ~."""
    return argument.partition("=")[0].lstrip("+~")


def value_of(override: str) -> Any:
    """Return the value that an override gives."""
    return OverridesParser.create().parse_override(override).value()
