"""Every switch that holds for a whole process, and every warning that is filtered: what for, and until when.

No other module of the engine sets one. `switch_on` is for the commands, before anything is imported; `prepare_training`
for whoever trains, a notebook too; `quiet` and `before_import` for the libraries of single rooms.
"""

import gc
import importlib
import importlib.util
import logging
import os
import socket
import sys
import warnings
from contextlib import suppress
from importlib.metadata import version
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

from .later import stand_ins

# Python looks for garbage after every 700 new objects, and imports make a million that are none. With these the first
# step of training comes after 2.2 s of CPU time instead of 2.8 s. Python 3.14 collects in small steps: measure again.
GARBAGE = (100_000, 50, 100)

# What libraries read when they are imported. What the user has set stays.
ENVIRONMENT = {
    # Threads of GNU OpenMP spin while they wait, and starve each other on a busy machine: with one of two cores taken,
    # 60 steps of BERT took 111 s; with short spins 4.3 s, and on a quiet machine 2.1 s either way.
    "torch": {"GOMP_SPINCOUNT": "1000"},
    "comet_ml": {"COMET_DISABLE_AUTO_LOGGING": "1"},  # Lightning logs
    "ray": {"RAY_USAGE_STATS_ENABLED": "0"},  # nothing is sent to its makers
}

HUB_ANSWERS = 3  # seconds

# The least that a logger may say.
LOGGERS = {
    "pytorch_lightning": logging.WARNING,  # which devices there are, where weights come from: the commands say it
    "lightning_fabric": logging.WARNING,
    "pytorch_lightning.loggers.mlflow": logging.ERROR,  # "Experiment not found", before it makes one
    "torch._subclasses.fake_tensor": logging.WARNING,  # what it has cached, at the end of a process that ends early
    "matplotlib": logging.ERROR,  # that it makes a list of the fonts, at its first use
    "mlflow": logging.WARNING,  # that it makes a database
    "alembic": logging.WARNING,  # each of its plugins
    "comet_ml": logging.CRITICAL,  # the loggers here say in one line what does not work
}

# Warnings of Lightning 2.6, by how they begin. The first two go with the Lightning that is made for torch 2.13; the
# others warn of what is meant here, and stay.
WARNINGS = (
    ".*LeafSpec.* is deprecated",
    ".*all_gather is deprecated",
    "Be aware that when using `ckpt_path`",  # `evaluate_best` names the checkpoint
    ".*your dataloader is not resumable",  # it asks where to begin: see `Loader`
    "Checkpoint directory .* exists and is not empty",  # of a run that is resumed
    ".*`srun` command is available",  # one process needs none
    ".*does not have many workers",  # nor gains from them: see configs/data/base
    ".*smaller than the logging interval",  # metrics of an epoch are logged all the same
)


def switch_on() -> None:
    """Set what makes a command start fast, before it imports torch and reads its configuration."""
    before_import("torch")
    quiet("torch._subclasses.fake_tensor")
    gc.set_threshold(*GARBAGE)
    import yaml

    # Hydra 1.3 reads each file three times, with the loader of this name; that of libyaml takes a ninth of the time.
    # It can go with a Hydra that looks for CSafeLoader itself.
    loaders: Any = yaml
    loaders.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    compose_once()


def compose_once() -> None:
    """Let Hydra compose the configuration of a run once.

    Hydra 1.3 composes it to see whether it sets `hydra.mode`, throws it away, and composes it again: 0.2 s of CPU time
    in each command. Hydra 1.4 looks for the mode alone.
    """
    from hydra._internal import hydra
    from hydra.core.utils import configure_log
    from hydra.types import RunMode

    if hydra.Hydra.__module__ == __name__ or not version("hydra-core").startswith("1.3."):
        return

    class ComposesOnce(hydra.Hydra):
        composed: Any = None

        def get_mode(self, config_name: str | None, overrides: list[str]) -> Any:
            try:
                self.composed = self.config_loader.load_configuration(config_name, overrides, RunMode.RUN)
            except Exception:  # of a sweep, or a mistake, which is raised again where it is explained
                return super().get_mode(config_name, overrides)
            return self.composed.hydra.mode

        def compose_config(self, *args: Any, **options: Any) -> Any:
            cfg, self.composed = self.composed, None
            if cfg is None or options["run_mode"] != RunMode.RUN:
                return super().compose_config(*args, **options)
            if cfg.hydra.mode is None:
                cfg.hydra.mode = RunMode.RUN
                cfg.hydra.overrides.hydra.append("hydra.mode=RUN")  # which Hydra has added meanwhile
            if options.get("with_log_configuration"):
                configure_log(cfg.hydra.hydra_logging, cfg.hydra.verbose)
            return cfg

    modules: Any = hydra
    modules.Hydra = ComposesOnce


def begin_job() -> None:
    """Free the memory that an earlier job of this process has left, before the next one needs it.

    Networks and trainers lie in cycles, which Python finds late, with `GARBAGE`: five jobs of a BERT of 512 x 4 took
    1,246 MB, and 760 MB with this, in the same CPU time. What was imported before the first job is never garbage, and
    is set aside.
    """
    if gc.get_freeze_count() == 0:
        gc.freeze()
        return
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def before_import(library: str) -> None:
    """Set the environment variables that a library reads when it is imported."""
    for name, value in ENVIRONMENT[library].items():
        os.environ.setdefault(name, value)


def quiet(*names: str) -> None:
    """Let loggers say no more than what `LOGGERS` has for them."""
    for name in names:
        logging.getLogger(name).setLevel(LOGGERS[name])


def prepare_training() -> None:
    """Filter what Lightning says of what is meant, and choose torch's faster way."""
    import torch

    quiet("pytorch_lightning", "lightning_fabric")
    for message in WARNINGS:
        warnings.filterwarnings("ignore", message)
    # In half precision cuDNN 9 makes a plan for every shape of attention, and batches of texts have hundreds of them:
    # the first epoch of BERT took 31 s on an H200, and 2.9 s without. Measure again with cuDNN 10.
    torch.backends.cuda.enable_cudnn_sdp(False)


def reach_hub(name: str) -> None:
    """Take what was downloaded before, at once, where the Hugging Face hub can't be reached.

    Its libraries try again for 25 s, and write a line each time.

    Args:
        name: What is asked for; a folder needs no hub.
    """
    from huggingface_hub import constants

    where = urlparse(constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE or os.path.isdir(name) or where.scheme in getproxies():
        return
    try:
        socket.create_connection((where.hostname or "", where.port or 443), timeout=HUB_ANSWERS).close()
    except OSError:
        logging.getLogger(__name__).warning(
            "%s can't be reached; only what was downloaded before is found", where.hostname
        )
        constants.HF_HUB_OFFLINE = True
        if "datasets" in sys.modules:  # which has a copy of it
            sys.modules["datasets"].config.HF_HUB_OFFLINE = True


def import_torchmetrics() -> None:
    """Import torchmetrics, as Lightning does, but not the libraries of which it imports names that hardly anyone uses.

    They are half of the time until training starts. It can go with a torchmetrics that imports them late; 1.9 does not.
    """
    matplotlib = ("matplotlib", "matplotlib.axes", "matplotlib.colors", "matplotlib.pyplot")
    with stand_ins(*matplotlib, "scipy", "scipy.signal", "transformers"):
        importlib.import_module("torchmetrics")


def import_transformers() -> None:
    """Import Transformers' losses, as all its models do, but not SciPy, which those of object detection use.

    It can go with a Transformers that imports these losses late; 5.23 does not.
    """
    with stand_ins("scipy", "scipy.optimize"), suppress(ImportError):
        importlib.import_module("transformers.loss.loss_utils")
