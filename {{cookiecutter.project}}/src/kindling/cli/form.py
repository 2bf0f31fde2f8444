"""The form of a command line: options are written key=value, without hyphens and without spaces."""

from collections.abc import Sequence
from itertools import pairwise

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser

from ..errors import UsageError
from ..overrides import TAKES_A_VALUE, is_override
from .words import remedy


def check_form(command: str, arguments: Sequence[str], positional: bool = False) -> None:
    """Check how options are written, before Hydra reads `-model=bert` as `-m odel=bert`.

    Args:
        command: Such as "train".
        arguments: Its command line.
        positional: Whether it takes arguments without a name, such as folders.

    Raises:
        UsageError: An option has hyphens or spaces, or its value can't be read.
    """
    values = [after for before, after in pairwise(["", *arguments]) if before in TAKES_A_VALUE]
    for argument, after in pairwise([*arguments, ""]):
        if argument.startswith("-") and not _is_flag(argument) and argument not in values:
            name, equals, value = argument.lstrip("-").partition("=")
            if not equals and after and not after.startswith("-") and not is_override(after):
                equals, value = "=", after
            given = argument if equals and value != after else f"{argument} {after}".strip()
            raise UsageError(_written(command, given, name.replace("-", "_"), value or "..."))
        if not positional and argument not in values:
            if after.startswith("=") and not argument.startswith("-"):
                rest = arguments[list(arguments).index(argument) + 1 :]
                value = after.lstrip("=") or "".join(rest[1:2])
                raise UsageError(_written(command, f"{argument} = {value}", argument.rstrip("="), value))
            if argument.endswith("=") and after and not after.startswith("-") and not is_override(after):
                raise UsageError(_written(command, f"{argument} {after}", argument.rstrip("="), after))
    # This names the override that it can't read, unlike parse_override.
    OverridesParser.create().parse_overrides([argument for argument in arguments if is_override(argument)])


def _is_flag(argument: str) -> bool:
    """Whether Hydra's own parser takes this: a flag, the beginning of one, or a flag with its value attached."""
    flags = get_args_parser()._option_string_actions
    name, equals, _ = argument.partition("=")
    if name in flags or argument in ("-", "--"):
        return True
    if argument.startswith("--"):
        return len(name) > len("--c") and any(flag.startswith(name) for flag in flags)
    attached = [flag for flag in flags if len(flag) == 2 and argument.startswith(flag) and flag in TAKES_A_VALUE]
    return bool(attached) and not equals and argument[2:] in ("job", "hydra", "all")


def _written(command: str, given: str, name: str, value: str) -> str:
    found = remedy(command, name)
    return f"{given}: {found.said(value)}" if found else f"{given}: use {name}={value}, without hyphens and spaces"
