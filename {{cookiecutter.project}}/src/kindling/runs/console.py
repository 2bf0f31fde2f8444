"""What a run prints at its start and its end."""

import json
import logging
import math
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only

from ..checkpoints.config import read_config
from ..checkpoints.find import find_checkpoint
from ..checkpoints.io import read
from ..digits import count, metric, setting
from ..errors import UsageError, short
from ..files import new_file
from ..tables import print_table
from .metrics import is_metric, metric_cells
from .resume import describe_position
from .settings import changes

log = logging.getLogger(__name__)

MOST_ACTIONS, LONGEST_ACTION = 12, 34  # of a profile, on the screen
DETAILS = re.compile(r"^\[[^]]*\]|\{.*\}|\[.*\]")  # in the name of an action


@rank_zero_only
def describe(task: LightningModule, data: LightningDataModule, trainer: Trainer, folder: str) -> None:
    """Say in two lines what is about to run, and where, and in another what several processes share."""
    model: Any = getattr(task, "model", task)
    parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    sizes = ", ".join(f"{len(rows)} {name}" for name, rows in getattr(data, "splits", {}).items())
    where = short(data.dir) if hasattr(data, "dir") else type(data).__name__
    device = trainer.accelerator.name() if hasattr(trainer.accelerator, "name") else "cpu"
    described = f"{where}: {sizes}" if sizes else where
    log.info(f"{type(model).__name__}, {count(parameters)} parameters, on {trainer.world_size} x {device}; {described}")
    size: Any = getattr(data, "batch_size", None)
    if trainer.world_size > 1 and size and hasattr(data, "check_share"):
        log.info(f"data.batch_size={size} is that of all {trainer.world_size} processes together")
    log.info(f"Run: {short(folder)}")


@rank_zero_only
def describe_resumed(path: str, config: Any) -> None:
    """Say in a line from where a run goes on, and in another what has changed in its configuration."""
    checkpoint = read(path, mmap=True, option="resume")
    if not {"loops", "resume"} <= checkpoint.keys():
        raise UsageError(f"resume={path}: it holds no more than weights; init={path} begins with them")
    log.info("Resuming from %s, %s", short(path), describe_position(checkpoint))
    changed = changes(read_config(checkpoint), config)
    if changed:
        log.info("Changed since: %s", ", ".join(changed))
    if any(name.startswith("optimizer.lr ") for name in changed) and not config["checkpoint_io"]["load"]["exclude"]:
        log.warning("The learning rate stays that of the checkpoint; checkpoint_io=new_learning_rate takes the new one")
    if checkpoint["resume"]["epochs"] == config["trainer"]["max_epochs"] and checkpoint["resume"]["epoch_is_ending"]:
        log.info("It has finished; trainer.max_epochs=<more> would let it go on")


def inspect(name: str | int, runs: str | Path) -> dict[str, Any]:
    """Print where training stood when a checkpoint was saved, and what it had reached; return it as plain data.

    Args:
        name: A file, a run's folder, or "best", "last" or the number of an epoch of the newest run.
        runs: Folder of the runs.

    Raises:
        UsageError: There is no such checkpoint, or it holds weights alone.
    """
    path = find_checkpoint(name, runs, "inspect")
    checkpoint = read(path, mmap=True)
    if "resume" not in checkpoint:
        raise UsageError(f"inspect={path}: it holds no more than weights")
    config, resume = read_config(checkpoint), checkpoint["resume"]
    if not {"trainer", "data"} <= config.keys():
        raise UsageError(f"inspect={path}: it does not say how its run was configured, as train.py's do")
    trainer, data = config["trainer"], config["data"]
    md5 = checkpoint.get(data["_target_"].rpartition(".")[2], {}).get("md5")
    source = data.get("dir", data["_target_"])
    per_epoch = -(-resume["batches"][1] // (trainer.get("accumulate_grad_batches") or 1))
    steps, epochs = trainer.get("max_steps") or -1, trainer.get("max_epochs") or math.inf
    steps = steps if steps > 0 else epochs * per_epoch
    left = f"{max(0, steps - checkpoint['global_step'])} of {steps} steps"
    interrupted = checkpoint.get("interrupted")
    facts = {"checkpoint": short(path), "data": str(source), "md5": md5, "steps": steps, **_facts(path, checkpoint)}
    rows = {
        "checkpoint": short(path),
        "data": f"{source}, MD5 {md5}" if md5 else source,
        "saved": f"{datetime.fromtimestamp(path.stat().st_mtime):%Y-%m-%d %H:%M:%S}",
        "at": describe_position(checkpoint),
        "left": left if math.isfinite(steps) else "not known: the loader has no length",
        "interrupted": f"by {interrupted['by']} in {interrupted['in']}" if interrupted else "no",
        "learning rate": ", ".join(map(setting, facts["learning_rates"])),
        "parameters": count(facts["parameters"]),
    } | {name: metric(value) for name, value in facts["metrics"].items()}
    print_table([["", ""], *([name, value] for name, value in rows.items())], header=False)
    return facts


def _facts(path: Path, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint of a training tells, as plain data; docs/commands.md describes each field."""
    groups = [group for state in checkpoint.get("optimizer_states", []) for group in state.get("param_groups", [])]
    interrupted, resume = checkpoint.get("interrupted"), checkpoint["resume"]
    return {
        "saved": datetime.fromtimestamp(path.stat().st_mtime).astimezone().isoformat(timespec="seconds"),
        "epoch": resume["epochs"],
        "step": checkpoint["global_step"],
        "interrupted": dict(interrupted) if interrupted else None,
        "learning_rates": [float(group["lr"]) for group in groups if "lr" in group],
        "parameters": sum(value.numel() for value in checkpoint["state_dict"].values()),
        "metrics": {name: float(value) for name, value in sorted(resume["metrics"].items()) if is_metric(name)},
    }


@rank_zero_only
def write_metrics(metrics: dict[str, float], path: str | Path, checkpoint: str | Path | None) -> None:
    """Print the metrics, and write them to `path` in full precision; name the checkpoint, if there is one.

    They are on the screen before anything can go wrong with the file.
    """
    if metrics:
        print_table(metric_cells(metrics))
        sys.stdout.flush()
    with new_file(Path(path)) as new:
        new.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    print(f"Metrics:    {short(path)}")
    if checkpoint:
        print(f"Checkpoint: {short(checkpoint)}")
        page = Path(checkpoint).with_suffix(".md")
        if page.is_file() and page.stat().st_mtime >= Path(checkpoint).stat().st_mtime:
            print(f"Report:     {short(page)}")


@rank_zero_only
def show_profile(folder: str | Path) -> None:
    """Print what took most of the time, if a simple profiler has reported into the run's folder."""
    for report in sorted(Path(folder).glob("fit-profile*.txt")):
        lines = report.read_text(encoding="utf-8").splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
        rows = [[row[0], row[2], row[3], row[4]] for row in cells if len(row) == 5 and row[0] != "Total"]
        if rows:
            # "[Callback]BestCheckpoint{'monitor': ...}[best].on_train_end"
            names = [[DETAILS.sub("", name)[-LONGEST_ACTION:], *numbers] for name, *numbers in rows]
            print_table(names[: 1 + MOST_ACTIONS])
        print(f"Profile:    {short(report)}")
