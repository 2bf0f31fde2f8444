"""The password in the address of a search's database, which no file and no command line is to hold."""

import os
from collections.abc import Sequence

from omegaconf import OmegaConf

from ..addresses import holds_password
from ..exits import STORAGE
from ..overrides import option_name, value_of

INSTEAD = f"${{oc.env:{STORAGE}}}"  # an address whose password only the environment of the sweep's processes has


def kept_address(address: str | None) -> str | None:
    """Return the address as it may be written down; one with a password goes into the environment instead."""
    if address is None or not holds_password(address):
        return address
    os.environ[STORAGE] = OmegaConf.create({"address": address}).address
    return INSTEAD


def kept_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the arguments of a command line as they may be written down."""
    return [_kept(line) if option_name(line) == "sweep.storage" else line for line in overrides]


def _kept(line: str) -> str:
    name, _, text = line.partition("=")
    if not holds_password(text):
        return line
    kept_address(str(value_of(line)))
    return f"{name}={INSTEAD}"
