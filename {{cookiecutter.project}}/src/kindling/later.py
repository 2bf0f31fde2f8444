"""Modules that are imported when something of them is used, and not before."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import ContextDecorator, contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def stand_ins(*names: str) -> Iterator[None]:
    """Put stand-ins in the place of modules that are there and not imported; they import the real ones when used."""
    packages = {name for name in names if "." not in name and name not in sys.modules}
    names = tuple(name for name in names if name.partition(".")[0] in packages)
    stand_ins = {name: _Module(name) for name in names if importlib.util.find_spec(name.partition(".")[0])}
    for name, module in stand_ins.items():
        package, _, last = name.rpartition(".")
        if package:
            setattr(stand_ins[package], last, module)
    sys.modules.update(stand_ins)
    try:
        yield
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
