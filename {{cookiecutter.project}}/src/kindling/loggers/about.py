"""What every service knows about a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule

from ..checkpoints.config import config_of
from ..data.store import facts
from ..files import new_file
from ..runs.read import read_record
from .accounts import sign_in

REPEATED = {"task": ("model", "optimizer", "scheduler"), "trainer": ("callbacks", "logger", "checkpoint_io")}
APART = ("account", "tags", "group", "job_type", "logger")


@dataclass
class LoggedRun:
    """What a run is called and belongs to, and under which id a service knows it.

    Args:
        dir: The run's folder.
        runs_dir: The folder of all runs.
        data_dir: The dataset's folder.
        name: What the run is called; its folder if there is no name.
        resume: What the run goes on from; its ids stay the same.
        account: The user whose file in `accounts_dir` holds the keys; none for the environment and earlier logins.
        accounts_dir: Folder of those files.
        group: What the run belongs to; the jobs of a sweep belong to the sweep.
        job_type: What kind of run it is.
        tags: Words to find it by.
    """

    dir: str
    runs_dir: str
    data_dir: str
    name: str | None = None
    resume: str | None = None
    account: str | None = None
    accounts_dir: str = ""
    group: str | None = None
    job_type: str | None = None
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        sign_in(self.account, self.accounts_dir)
        folder = Path(self.dir)
        self.name = self.name or self._from_runs(folder)
        if folder.name.isdigit() and folder.parent != Path(self.runs_dir):  # as the jobs of a sweep are called
            self.group = self.group or self._from_runs(folder.parent)

    def path(self, *names: str) -> Path:
        """Return the path of a file in the run's folder."""
        return Path(self.dir, *names)

    def known_id(self, service: str) -> str | None:
        """Return the id under which the service knows this run, if it goes on."""
        file = self.path(service, "id.txt")
        return file.read_text(encoding="utf-8").strip() if self.resume and file.is_file() else None

    def keep_id(self, service: str, name: str) -> None:
        """Write down under which id the service knows this run."""
        with new_file(self.path(service, "id.txt")) as new:
            new.write_text(f"{name}\n", encoding="utf-8")

    def config(self, task: LightningModule) -> dict[str, Any]:
        """Return the config that the task carries, each part once, and the hash of the data."""
        config = {name: value for name, value in config_of(task).items() if name not in APART}
        for part, repeated in REPEATED.items():
            config[part] = {name: value for name, value in config.get(part, {}).items() if name not in repeated}
        return config | {"data_hash": facts(self.data_dir)["hash"]}

    def final_name(self) -> str | None:
        """Return the name that the run has got at its end, with its number and its best value."""
        self.name = read_record(self.dir).get("name") or self.name
        return self.name

    def patch(self) -> Path | None:
        """Return the file of what git has not seen, if there is something."""
        file = self.path("diff.patch")
        return file if file.is_file() else None

    def _from_runs(self, folder: Path) -> str:
        inside = folder.is_relative_to(self.runs_dir)
        return folder.relative_to(self.runs_dir).as_posix() if inside else folder.name
