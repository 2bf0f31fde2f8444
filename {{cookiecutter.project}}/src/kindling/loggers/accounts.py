"""The files in configs/user: accounts and keys, which go into the environment and nowhere else."""

import logging
import os
import subprocess
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from ..errors import UsageError, did_you_mean, short
from ..runs.end import at_job_end

log = logging.getLogger(__name__)

PREFIXES = ("WANDB_", "COMET_", "MLFLOW_")
SHARED = ("sample", "offline")  # they hold no keys, and are committed

_before: dict[str, str | None] = {}  # what the environment gets back


def name_user(arguments: list[str], folder: Path) -> list[str]:
    """Return the arguments with user=name turned into account=name, after a look whether `folder` has that file.

    The folder lies in configs/, so Hydra would take user=name for a choice and copy the keys into every saved config.

    Raises:
        UsageError: There is no such file.
    """
    renamed = []
    for argument in arguments:
        key, equals, name = argument.partition("=")
        if key.lstrip("+") == "user" and equals:
            if name not in ("null", ""):
                _find(name, folder)
            argument = f"account={name or 'null'}"
        renamed.append(argument)
    return renamed


def sign_in(name: str | None, folder: str | Path) -> None:
    """Put what the file of the user `name` holds into the environment, whose own variables win.

    Raises:
        UsageError: There is no such file, or it is not of the form that sample.yaml shows.
    """
    if name is None:
        return
    file = _find(name, Path(folder))
    if name not in SHARED and _would_be_committed(file):
        log.warning("%s holds keys and is not ignored by git: add /configs/user/* to .gitignore", short(file))
    at_job_end(_sign_out)
    for variable, value in _read(file).items():
        if value not in (None, "") and not os.environ.get(variable):
            _before.setdefault(variable, os.environ.get(variable))
            os.environ[variable] = str(value)


def _sign_out(failed: bool) -> None:
    """Make the environment what it was before `sign_in`: the next job of a sweep may be another user's."""
    for variable, value in _before.items():
        os.environ.pop(variable, None)
        if value is not None:
            os.environ[variable] = value
    _before.clear()


def _find(name: str, folder: Path) -> Path:
    file = Path(folder, f"{name}.yaml")
    if file.parent != folder or not file.is_file():
        known = sorted(path.stem for path in folder.glob("*.yaml"))
        listed = f"; there are {', '.join(known)}" if known else ""
        raise UsageError(f"user={name}: there is no {short(file)}{listed}")
    return file


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError:
        content = None  # whose message might quote a key
    if not isinstance(content, dict):
        raise UsageError(f"{short(file)}: expected lines such as WANDB_API_KEY: ...; see sample.yaml beside it")
    sample = file.with_name("sample.yaml")
    known = list(_read(sample)) if sample.is_file() and file != sample else list(content)
    for name in map(str, content):
        misspelt = name not in known and get_close_matches(name, known, cutoff=0.9)
        if not name.startswith(PREFIXES) or misspelt or isinstance(content[name], dict | list):
            raise UsageError(f"{short(file)}: unknown line {name}{did_you_mean(name, known)}")
    return content


def _would_be_committed(file: Path) -> bool:
    command = ["git", "-C", str(file.parent), "check-ignore", "--quiet", file.name]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 1  # 128: no repository
    except OSError:  # no git
        return False
