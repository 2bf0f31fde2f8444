"""Start without what is not used."""

import importlib
import importlib.util
import sys
from contextlib import ContextDecorator
from types import ModuleType
from typing import Any

# What torchmetrics imports where it is installed, used or not: half of the time until training starts.
HEAVY = {
    "matplotlib": ("axes", "colors", "pyplot"),
    "scipy": ("signal",),
    "transformers": (),
}


def import_torchmetrics() -> None:
    """Import torchmetrics, as Lightning does, with stand-ins for libraries that are imported when they are used."""
    if "torchmetrics" in sys.modules:
        return
    packages = [name for name in HEAVY if name not in sys.modules and importlib.util.find_spec(name)]
    stand_ins = {}
    for package in packages:
        stand_ins[package] = _Module(package)
        for module in HEAVY[package]:
            stand_ins[f"{package}.{module}"] = _Module(f"{package}.{module}")
            setattr(stand_ins[package], module, stand_ins[f"{package}.{module}"])
    sys.modules.update(stand_ins)
    try:
        importlib.import_module("torchmetrics")
    finally:
        for name in stand_ins:
            del sys.modules[name]


class _Module(ModuleType):
    """A module whose attributes are imported later."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = importlib.util.find_spec(name.partition(".")[0])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "style":  # of matplotlib.pyplot, which decorates functions with it
            return _Style
        return _Later(self.__name__, name)


class _Later:
    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # as `typing` asks for
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._real())

    def _real(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)


class _Style:
    class context(ContextDecorator):  # matplotlib's name
        def __init__(self, *styles: Any) -> None:
            self._styles = styles

        def __enter__(self) -> None:
            self._context = importlib.import_module("matplotlib.style").context(*self._styles)
            self._context.__enter__()

        def __exit__(self, *error: Any) -> None:
            self._context.__exit__(*error)
