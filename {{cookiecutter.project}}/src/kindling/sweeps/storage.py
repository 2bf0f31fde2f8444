"""Where the study of a search is kept: in the sweep's folder, or in a database that machines share."""

from pathlib import Path

import optuna
from filelock import FileLock
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from ..addresses import without_password
from ..errors import UsageError
from ..exits import STORAGE
from ..runs.read import read_yaml

FILE = "study.log"  # the journal, in the sweep's folder


def open_study(folder: Path, storage: str | None, name: str, objectives: dict[str, str]) -> optuna.Study:
    """Return the study of a sweep, which is made if it is not there.

    Args:
        folder: The sweep's.
        storage: Address of a database, for machines that share no folder; None for a journal in the folder.
        name: Name of the study.
        objectives: The metrics, and whether "min" or "max" is wanted.

    Raises:
        UsageError: The database can't be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = [StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE for mode in objectives.values()]
    try:
        journal = str(folder / FILE)
        place = storage or JournalStorage(JournalFileBackend(journal, lock_obj=JournalLock(f"{journal}.lock")))
        return optuna.create_study(storage=place, study_name=name, directions=directions, load_if_exists=True)
    except Exception as error:
        if storage is None:
            raise
        reason = without_password(" ".join(str(error).split()))[:200]
        raise UsageError(f"sweep.storage: can't be used ({type(error).__name__}: {reason})") from None


class JournalLock(BaseJournalFileLock):
    """A lock that a killed process does not leave behind, as Optuna's own do, for 30 seconds.

    Args:
        path: Its file.
    """

    def __init__(self, path: str) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


def running_trial(folder: Path) -> Trial | None:
    """Return the trial of a search that the run in `folder` is, if it is one and has not ended."""
    about = folder.parent / "sweep.yaml"
    settings = read_yaml(about) if folder.name.isdigit() else {}
    if not settings.get("study"):
        return None
    study = open_study(folder.parent, _resolved(settings["storage"]), settings["study"], settings["objectives"])
    found = [t for t in study.get_trials(deepcopy=False) if t.number == int(folder.name)]
    if not found or found[0].state is not TrialState.RUNNING:
        return None
    if settings["pruner"]:
        study.pruner = instantiate(settings["pruner"])
    return Trial(study, found[0]._trial_id)


def _resolved(address: str | None) -> str | None:
    """Return the address that `sweep.yaml` has, with what it takes from the environment."""
    try:
        return OmegaConf.create({"address": address}).address  # type: ignore[no-any-return]
    except OmegaConfBaseException:
        raise UsageError(
            f"sweep.storage={address}: a password is kept in no file; set {STORAGE} to the address of the database"
        ) from None
