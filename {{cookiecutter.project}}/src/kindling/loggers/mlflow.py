"""MLflow, in a database beside the runs or on a server that answers."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_fabric.utilities.logger import _flatten_dict
from pytorch_lightning.loggers import MLFlowLogger as LightningMLFlowLogger
from pytorch_lightning.utilities import rank_zero_only

from ..errors import UsageError, short
from ..runs.end import at_job_end
from ..startup import quiet
from .about import LoggedRun
from .network import answers
from .sent import SentRows

quiet("alembic")
try:
    import alembic  # noqa: F401
    import mlflow
    import sqlalchemy  # noqa: F401
except ModuleNotFoundError:
    raise UsageError("logger=mlflow: MLflow is not installed; run: pip install -e '.[mlflow]'") from None
quiet("mlflow")  # whose import has set another level

log = logging.getLogger(__name__)


class MLFlowLogger(LightningMLFlowLogger):
    """One MLflow run for one run's folder.

    Args:
        run: What MLflow knows about it.
        project: The experiment, as MLflow calls it, that the run belongs to.
        **kwargs: Arguments of Lightning's logger.
    """

    def __init__(self, run: LoggedRun, project: str, **kwargs: Any) -> None:
        self.run = run
        self._known = run.known_id("mlflow")
        self._rows = SentRows(run.path("mlflow", "rows.jsonl"))
        self._environment = os.environ.get("MLFLOW_TRACKING_URI", "")
        uri, self._hindrance = self._environment or "local", None
        if uri.startswith("http") and not answers(uri):
            uri, self._hindrance = "local", f"{uri} does not answer"
        if uri == "local":
            runs = Path(run.runs_dir).absolute()
            uri = f"sqlite:///{runs / 'mlflow.db'}"
            kwargs["artifact_location"] = (runs / "mlflow").as_uri()
        about = {name: value for name, value in {"group": run.group, "job_type": run.job_type}.items() if value}
        tags = about | dict.fromkeys(run.tags, "true")
        super().__init__(project, run_name=run.name, tracking_uri=uri, run_id=self._known, tags=tags, **kwargs)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if not self._initialized:
            self._start()
        return super().experiment

    def _start(self) -> None:
        quiet("pytorch_lightning.loggers.mlflow")
        experiment = super().experiment
        if self._known:
            self._rows.read()
            experiment.update_run(self._known, "RUNNING")
        else:
            self._rows.file.unlink(missing_ok=True)
        self.run.keep_id("mlflow", str(self._run_id))
        at_job_end(self._finish)
        if self._hindrance:
            log.info("MLflow writes into %s: %s", short(Path(self.run.runs_dir, "mlflow.db")), self._hindrance)

    @rank_zero_only
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Log the task's config: Lightning calls this when the task and its data are ready."""
        config = self.run.config(model)
        known = self.experiment.get_run(self.run_id).data.params
        self.log_hyperparams({name: value for name, value in _flatten_dict(config).items() if name not in known})

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        _ = self.experiment
        if (row := self._rows.unsent(metrics, step)) is not None:
            super().log_metrics(row, step)
            self._rows.add(row, step)

    def _finish(self, failed: bool) -> None:
        experiment, self._initialized = self.experiment, False
        if patch := self.run.patch():
            experiment.log_artifact(self._run_id, str(patch))
        experiment.update_run(self._run_id, "FAILED" if failed else "FINISHED", self.run.final_name())
        mlflow.set_tracking_uri(self._environment)  # Lightning has set it, for the next job, too
