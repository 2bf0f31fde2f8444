"""What `rerun=` means: a run is repeated from what it left behind, and compared with it."""

import logging
import math
import os
import re
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import OmegaConf

from ..checkpoints.moved import renamed
from ..errors import UsageError, did_you_mean, short
from ..overrides import RERUN, is_override, option_name, quote
from .foreign import check_config
from .read import read_choices, read_metrics, read_record, read_rows, read_yaml
from .settings import changes

log = logging.getLogger(__name__)

SHOWN = 6  # of the packages or metrics that differ
FIRST = ("torch", "pytorch-lightning", "torchmetrics", "numpy", "transformers", "tokenizers")
MACHINE = ("cpu", "threads", "gpus", "system", "python", "torch")


def repeated(file: Path, arguments: list[str]) -> list[str]:
    """Return the arguments that let Hydra take the config of the run in rerun=<folder> for the command's own.

    Args:
        file: The command.
        arguments: The command line. Choices of groups and options in it come on top.

    Raises:
        UsageError: There is no run in the folder.
    """
    arguments = [argument for argument in arguments if argument != RERUN]  # of the process that started this one
    given = {option_name(argument): argument for argument in arguments if is_override(argument)}
    if "rerun" not in given or "rerun" not in OmegaConf.load(file.parent / "configs" / f"{file.stem}.yaml"):
        return arguments
    override = OverridesParser.create().parse_override(given["rerun"])
    if override.is_sweep_override():
        raise UsageError(f"{given['rerun']}: one run can be repeated at a time")
    if override.value() is None:
        return arguments
    folder = _find(str(override.value()))
    ConfigStore.instance().store(RERUN.partition("=")[2], _config(file, folder, list(given)))
    others = [argument for argument in arguments if option_name(argument) != "rerun"]
    return [RERUN, *others, f"rerun={quote(folder)}"]


@rank_zero_only
def describe_rerun(folder: str, config: Any, trainer: Any, data: Any) -> None:
    """Say in a line each what differs from the run in `folder` before it is repeated, with this config."""
    from .origin import CODE, describe_code, describe_data, describe_machine, installed_packages

    log.info("Repeating %s", short(folder))
    before = read_record(folder)
    if not before:
        log.warning("It left no run.json: whether code, packages, data and machine are the same is not known")
        return
    runs = Path(os.environ["PROJECT_ROOT"], config["paths"]["runs"])
    code = config["callbacks"].get("record", {}).get("code") or CODE
    git, patch = describe_code(runs, config["paths"]["output"], code=code)
    machine = describe_machine(trainer)
    kept = renamed(read_yaml(Path(folder, "config.yaml")))
    options = changes(kept, config) if isinstance(kept, dict) and kept else []
    old = {"code": before.get("git"), "data": before.get("data"), "machine": before.get("machine")}
    for name in (name for name, said in old.items() if said is None):
        log.warning("Its run.json does not say which %s it had: whether it is the same is not known", name)
    old_git, old_data, old_machine = old["code"] or git, old["data"] or {}, old["machine"] or machine
    differs = {
        "options": ", ".join(options),
        "code": _code(old_git, Path(folder, "diff.patch"), git, patch),
        "packages": _packages(Path(folder, "packages.txt"), installed_packages()),
        "data": _arrow("hash", old_data.get("hash"), describe_data(data)["hash"]) if "hash" in old_data else "",
        "machine": ", ".join(
            _arrow(name, old_machine.get(name), machine[name])
            for name in MACHINE
            if old_machine.get(name) != machine[name]
        ),
    }
    for name, line in differs.items():
        if line:
            log.info("Other %s: %s", name, line)
    if not any(differs.values()) and None not in old.values():
        log.info("Options, code, packages, data and machine are the same")


@rank_zero_only
def compare_rerun(folder: str, metrics: dict[str, float], output: str) -> None:
    """Say whether every metric is that of the run in `folder`, to the last bit, or which differ and by how much.

    Args:
        folder: The run's. If it did not end, the rows of its `csv/metrics.csv` are compared.
        metrics: What its repetition has reached.
        output: The folder of the repetition.
    """
    old = read_metrics(Path(folder))
    if old:
        new: dict[str, Any] = dict(metrics)
        what = f"{len(old)} metrics"
    else:
        old = _values(folder)
        rows = _values(output)
        new = {name: value for name, value in rows.items() if name in old}
        what = f"{len(old)} values in csv/metrics.csv, which end before it did,"
    if not old:
        log.info("%s has no metrics to compare with", short(folder))
        return
    differing = [name for name in old | new if not _equal(old.get(name), new.get(name))]
    if not differing:
        log.info("Equal to %s to the last bit: %s", short(folder), what)
        return
    shown = ", ".join(_difference(name, old.get(name), new.get(name)) for name in differing[:SHOWN])
    more = f", and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    log.warning("Not equal to %s: %s%s", short(folder), shown, more)


def _find(name: str) -> Path:
    path = Path(name).absolute()
    if Path(path, ".hydra", "config.yaml").is_file():
        return path
    if jobs := sorted(int(job.name) for job in path.glob("*") if job.name.isdigit() and Path(job, ".hydra").is_dir()):
        raise UsageError(f"rerun={name}: a sweep, of which one job can be repeated: rerun={Path(name, str(jobs[0]))}")
    nearby = [str(Path(name).parent / other.parent.name) for other in path.parent.glob("*/.hydra")]
    nearby += [str(Path(name, other.parent.name)) for other in path.glob("*/.hydra")]
    raise UsageError(f"rerun={name}: no such run{did_you_mean(name, nearby)}; a run's folder is expected")


def _config(file: Path, folder: Path, given: list[str]) -> dict[str, Any]:
    """Return the run's config in the form of a file in configs/, with the groups whose choice is given made anew."""
    from ..checkpoints.form import plain  # here, as --help does without torch

    where = f"rerun={short(folder)}"
    config: Any = renamed(plain(OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "config.yaml")), where))
    if not isinstance(config, dict) or not isinstance(config.get("paths"), dict) or "run" not in config["paths"]:
        raise UsageError(f"{where}: its .hydra/config.yaml is damaged: it has no paths.run")
    config |= {"resume": None, "rerun": None}
    paths: Any = OmegaConf.to_container(OmegaConf.load(file.parent / "configs/paths/default.yaml"))
    if "${now:" not in str(config["paths"]["run"]):  # the folder is taken
        config["paths"]["run"] = paths["run"]
    choices = {name: str(value) for name, value in read_choices(folder).items() if "/" not in name}
    groups = [group for group in given if Path(file.parent, "configs", group).is_dir()]
    config |= {group: {} for group in groups if group in config}
    check_config(config | {"choices": choices}, where, file.parent / "configs")
    defaults = ["_self_", {"hydra": "train"}, *({group: None} for group in groups)]
    config |= {"defaults": defaults, "hydra": {"runtime": {"choices": choices}}}
    return dict(config)


def _code(old: dict[str, Any], old_patch: Path, new: dict[str, Any], new_patch: bytes) -> str:
    commits = old.get("commit"), new["commit"]
    found = [_arrow("commit", *(str(commit)[:10] for commit in commits))]
    before = _files(old_patch.read_bytes() if old_patch.exists() else b"")
    after = _files(new_patch)
    changed = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    if changed:
        found.append(f"uncommitted changes in {_some(changed)}")
    if None in commits:
        found.append("not in a git repository, so that it may differ")
    return ", ".join(filter(None, found))


def _files(patch: bytes) -> dict[str, str]:
    """Return what a patch does to each file."""
    parts = re.split(r"^diff --git ", patch.decode("utf-8", "replace"), flags=re.MULTILINE)[1:]
    return {part.split("\n", 1)[0].rpartition(" b/")[2]: part for part in parts}


def _packages(old: Path, new: list[str]) -> str:
    if not old.exists():
        return "not known"
    before, after = (
        dict(line.partition("==")[::2] for line in lines) for lines in (old.read_text(encoding="utf-8").split(), new)
    )
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    changed.sort(key=lambda name: (name not in FIRST, name))
    return _some([_arrow(name, before.get(name), after.get(name)) for name in changed])


def _some(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _arrow(name: str, old: Any, new: Any) -> str:
    old, new = ("none" if value is None else value for value in (old, new))
    return "" if old == new else f"{name} {old} -> {new}"


def _difference(name: str, old: Any, new: Any) -> str:
    if isinstance(old, float) and isinstance(new, float):
        return f"{name} {old} -> {new} ({new - old:+.2g})"
    return f"{name} {old} -> {new}"


def _equal(old: Any, new: Any) -> bool:
    both_nan = isinstance(old, float) and isinstance(new, float) and math.isnan(old) and math.isnan(new)
    return old == new or both_nan


def _values(folder: str | Path) -> dict[str, float]:
    """Return the values in `csv/metrics.csv` by step and column."""
    return {
        f"{name} of step {row['step']}": float(value)
        for row in read_rows(Path(folder))
        for name, value in row.items()
        if value and name not in ("step", "epoch")
    }
