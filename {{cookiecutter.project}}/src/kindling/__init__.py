"""The engine: trains, stops, resumes, records, compares and sweeps any LightningModule on any LightningDataModule.

What a project builds on can be imported from here: `from kindling import Batch, Module`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .project import trust

if TYPE_CHECKING:
    from .checkpoints.predictor import Predictor
    from .data.batch import Batch
    from .data.dataset import DatasetModule
    from .data.stored import StoredData
    from .training.module import Module
    from .training.trainer import build_trainer

__all__ = ["Batch", "DatasetModule", "Module", "Predictor", "StoredData", "build_trainer", "trust"]

# Imported when they are asked for: a command's --help waits for none of them.
PLACES = {
    "Batch": "data.batch",
    "DatasetModule": "data.dataset",
    "Module": "training.module",
    "Predictor": "checkpoints.predictor",
    "StoredData": "data.stored",
    "build_trainer": "training.trainer",
}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{PLACES[name]}", __name__), name)
