"""The classes that an editor proposes for `_target_` in a group of configs/."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from .signatures import find

# Where classes lie that a group can name, beside those that its files name already, and the class that they extend.
LIBRARIES = {
    "callbacks": ("pytorch_lightning.callbacks", "pytorch_lightning.Callback"),
    "optimizer": ("torch.optim", "torch.optim.Optimizer"),
    "scheduler": ("torch.optim.lr_scheduler", "torch.optim.lr_scheduler.LRScheduler"),
}
OWN = {
    "callbacks": "pytorch_lightning.Callback",
    "data": "pytorch_lightning.LightningDataModule",
    "model": "torch.nn.Module",
    "task": "pytorch_lightning.LightningModule",
}


def proposed(group: str, packages: list[str]) -> Iterator[str]:
    """Yield the names of the classes that a file of a group may want: of libraries, and of the project's packages."""
    module, base = LIBRARIES.get(group, ("", ""))
    if module:
        yield from (f"{module}.{name}" for name in _extending(module, base))
    for package in packages if group in OWN else ():
        for name in _modules(package):
            yield from (f"{name}.{found}" for found in _extending(name, OWN[group], defined=True))


def _modules(package: str) -> Iterator[str]:
    """Yield the names of the modules of a package."""
    for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        yield found.name


def _extending(module: str, base: str, defined: bool = False) -> list[str]:
    """Return the names of the classes in a module that extend `base`; none if a library that it imports is missing."""
    try:
        content = vars(import_module(module))
    except ImportError:
        return []
    kind = find(base)
    public = [(name, found) for name, found in content.items() if isinstance(found, type) and not name.startswith("_")]
    return sorted(
        name
        for name, found in public
        if issubclass(found, kind) and found is not kind and (not defined or found.__module__ == module)
    )
