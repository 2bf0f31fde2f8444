"""Start without what is not used."""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any


def import_torchmetrics() -> None:
    """Import torchmetrics, as Lightning does, but not all of Transformers with it.

    Some of its text metrics import a few names from there, used or not; that is a third of the time until training
    starts. They get stand-ins, which import the real ones when they are used.
    """
    if {"torchmetrics", "transformers"} & sys.modules.keys() or not (spec := importlib.util.find_spec("transformers")):
        return
    stand_in = _Transformers("transformers")
    stand_in.__spec__ = spec
    sys.modules["transformers"] = stand_in
    try:
        importlib.import_module("torchmetrics")
    finally:
        del sys.modules["transformers"]


class _Transformers(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Later(name)


class _Later:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def _real(self) -> Any:
        return getattr(importlib.import_module("transformers"), self._name)
