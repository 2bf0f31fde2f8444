"""The experiment file of the best trial: `python train.py experiment=best_of_<sweep>` trains it again."""

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from ..errors import UsageError, short
from ..exits import ROOT
from ..files import new_file
from ..overrides import option_name, quote
from ..runs.settings import GLOBAL
from .trials import SweepResult, Trial

log = logging.getLogger(__name__)

PLACES = ("hydra", "paths.run", "resume")  # what says where a run goes, not what it is


def write_best(path: Path, sweep: SweepResult, trial: Trial, fixed: list[str]) -> bool:
    """Write the experiment file of a trial; if there can't be one, say why and return False.

    Args:
        path: The file, in configs/experiment.
        sweep: The sweep.
        trial: Its best trial.
        fixed: The overrides that all of its jobs have.
    """
    try:
        if not _is_own(path):
            raise UsageError(f"{short(path)} is a file of yours")
        defaults, options = _contents(_overrides(trial, fixed))
    except UsageError as error:
        log.warning("No %s: %s; repeat the trial with rerun=%s", path.name, error, short(trial.folder))
        return False
    values = ", ".join(f"{name} {value}" for name, value in zip(sweep.objectives, trial.values, strict=True))
    header = (
        "# @package _global_\n"
        f"# python train.py experiment={path.stem}    {values}: trial {trial.number} of {short(sweep.folder)}\n"
    )
    content = OmegaConf.create({"defaults": defaults} if defaults else {})
    content.merge_with(options)
    with new_file(path) as new:
        new.write_text(header + OmegaConf.to_yaml(content), encoding="utf-8")
    return True


def _is_own(path: Path) -> bool:
    """Whether a search has written the file, or there is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return True
    return len(lines) > 1 and lines[1].startswith(f"# python train.py experiment={path.stem}    ")


def _overrides(trial: Trial, fixed: list[str]) -> list[Override]:
    """Return what the trial's command line changed: the overrides of all jobs, and its own in their place."""
    file = trial.folder / ".hydra" / "overrides.yaml"
    lines = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else []
    # Text may stand for a list or a number: how the job took it is in its own overrides, unless its folder is gone.
    done = {option_name(line): line for line in lines}
    own = {
        option_name(name): done.get(option_name(name)) or _line(name, value) for name, value in trial.settings.items()
    }
    return OverridesParser.create().parse_overrides(
        [*(line for line in fixed if option_name(line) not in own), *own.values()]
    )


def _line(name: str, value: Any) -> str:
    """Return the override that sets an option to a value; quoted if Hydra's grammar would not take it as one value."""
    text = value if isinstance(value, str) else json.dumps(value)  # in full
    try:
        if not OverridesParser.create().parse_override(f"{name}={text}").is_sweep_override():
            return f"{name}={text}"
    except HydraException:
        pass
    return f"{name}={quote(text)}"


def _contents(overrides: list[Override]) -> tuple[list[Any], DictConfig]:
    """Return the defaults list and the options of a file that changes what the overrides change.

    Raises:
        UsageError: One of them can't be said in a file.
    """
    configs = Path(os.environ[ROOT], "configs")
    top: dict[str, list[str]] = {group: [] for group in GLOBAL}
    added: list[Any] = []
    chosen: list[Any] = []
    options = OmegaConf.create({})
    for override in overrides:
        name, group, value = option_name(str(override.input_line)), override.key_or_group, override.value()
        if group in PLACES or group.partition(".")[0].partition("/")[0] in PLACES:
            continue
        if group in GLOBAL:
            # As a part of this file, so that the options below come on top of it, as those on a command line do.
            top[group] = [f"/{group}/{choice}" for choice in (value if isinstance(value, list) else [value]) if choice]
        elif Path(configs, group).is_dir() and not isinstance(value, dict):
            if override.is_add():
                added.append({f"/{name}": value})
            else:
                chosen.append({f"override /{name}": value})  # that of ~name is null
        elif override.is_delete() or group == "rerun" or re.search(r"\[|\.\d+(\.|$)", group):
            raise UsageError(f"{override.input_line} can't be said in a file")
        else:
            OmegaConf.update(options, group, value, merge=True, force_add=True)
    before = [*top["experiment"], *top["debug"], *added]
    return [*before, *["_self_"] * bool(before), *chosen], options
