"""The engine: trains, stops, resumes, records, compares and sweeps any LightningModule on any LightningDataModule."""

from .project import trust

__all__ = ["trust"]
