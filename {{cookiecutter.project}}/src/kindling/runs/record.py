"""Write down what a run is and how it goes: `run.json`, which `read` reads."""

import json
import logging
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from ..addresses import without_password
from ..checkpoints.config import config_of
from ..errors import Interrupted, Pruned
from ..files import new_file
from .name import full_name, next_number
from .origin import CODE, describe_code, describe_data, describe_machine, installed_packages
from .read import read_record

log = logging.getLogger(__name__)

LONGEST = 500  # characters of an error
SHOWN = 5  # files that are named


class Record(Callback):
    """Write down what a run is and how it goes: `run.json`, `config.yaml`, `packages.txt` and `diff.patch`.

    Args:
        dirpath: The run's folder.
        runs_dir: Where all runs are; each gets a number of its own there.
        name: Name of the run, to which its number and best value are added.
        monitor: The metric whose best value is kept.
        mode: Whether "min" or "max" is best.
        code: Patterns of the files that `diff.patch` may hold.
    """

    def __init__(
        self, dirpath: str, runs_dir: str, name: str, monitor: str, mode: str, code: Sequence[str] = CODE
    ) -> None:
        self.file = Path(dirpath, "run.json")
        self.runs = Path(runs_dir)
        self.name = name
        self.monitor = monitor
        self.mode = mode
        self.code = code
        self._record: dict[str, Any] = {}
        self._best: dict[str, Any] | None = None
        self._seconds = 0.0  # of the run, before this process took it up at
        self._since = time.monotonic()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self._record, self._since = {}, time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        best = trainer.checkpoint_callback
        if isinstance(best, ModelCheckpoint) and best.monitor == self.monitor and best.best_model_score is None:
            self._best = None  # its file is gone, or belongs to a time that was given up
        before = read_record(self.file.parent) if trainer.ckpt_path else {}
        self._seconds = before.get("seconds", 0.0)
        config = config_of(pl_module)
        weights: Any = getattr(pl_module, "model", pl_module).parameters()
        git, patch = describe_code(self.runs, self.file.parent, code=self.code)
        overrides = _without_resume(config.get("overrides", []), before.get("overrides"))
        self._record = {
            "name": "",
            "number": before.get("number") or next_number(self.runs),
            "command": shlex.join([Path(sys.argv[0]).name, *overrides]),
            "overrides": overrides,
            "status": "running",
            "error": None,
            "started": before.get("started") or datetime.now().astimezone().isoformat(timespec="seconds"),
            "seconds": 0.0,
            "git": git,
            "data": describe_data(trainer.datamodule),  # type: ignore[attr-defined]
            "seed": config.get("seed"),
            "machine": describe_machine(trainer),
            "parameters": sum(weight.numel() for weight in weights if weight.requires_grad),
            "monitor": self.monitor,
            "mode": self.mode,
            "best": None,
            "resumed": before.get("resumed", 0) + 1 if trainer.ckpt_path else 0,
        }
        self._write_beside("config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode())
        self._write_beside("packages.txt", "".join(f"{package}\n" for package in installed_packages()).encode())
        if others := git.get("left_out"):
            shown = ", ".join(others[:SHOWN]) + f" and {len(others) - SHOWN} more" * (len(others) > SHOWN)
            log.info("Not committed, and not in diff.patch as they are no code: %s", shown)
        if patch:
            self._write_beside("diff.patch", patch)
        else:
            self.file.with_name("diff.patch").unlink(missing_ok=True)
        self._update()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        value = trainer.callback_metrics.get(self.monitor)
        best = self._best["value"] if self._best else None
        if value is not None and (best is None or (value > best if self.mode == "max" else value < best)):
            self._best = {"epoch": trainer.current_epoch, "value": float(value)}
        self._update()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._update()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "test" or not trainer.is_global_zero:
            return
        if not self._record and (
            before := read_record(self.file.parent)
        ):  # a run that had ended, and was tested once more
            self._record, self._seconds, self._best = before, before.get("seconds", 0.0), before.get("best")
        self._update(status="finished", error=None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        with suppress(OSError):  # a full disk, say, has ended the run already
            if isinstance(exception, Interrupted | KeyboardInterrupt):
                self._update(status="interrupted")
            elif isinstance(exception, Pruned):
                self._update(status="pruned")
            else:
                line = " ".join(f"{type(exception).__name__}: {exception}".split())
                self._update(status="failed", error=without_password(line)[:LONGEST])

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = state_dict["best"]
        if best is not None and not (type(best["epoch"]) is int and type(best["value"]) in (int, float)):
            raise ValueError("callbacks.Record.best is not what train.py writes")
        self._best = best

    def _update(self, **changes: Any) -> None:
        """Write the record as it is now, if there is one: it begins when training does."""
        if not self._record:
            return
        best = self._best["value"] if self._best else None
        self._record |= changes | {
            "name": full_name(self._record["number"], self.name, self.mode, best),
            "seconds": round(self._seconds + time.monotonic() - self._since, 1),
            "best": self._best,
        }
        self._write_beside("run.json", (json.dumps(self._record, indent=2, ensure_ascii=False) + "\n").encode())

    def _write_beside(self, name: str, content: bytes) -> None:
        with new_file(self.file.with_name(name)) as new:
            new.write_bytes(content)


def _without_resume(overrides: list[str], before: list[str] | None) -> list[str]:
    """Return the overrides that begin a run, of those that let it go on."""
    had_folder = before is None or any(override.startswith("paths.run=") for override in before)
    dropped = "resume=" if had_folder else ("resume=", "paths.run=")
    return [override for override in overrides if not override.startswith(dropped)]
