"""What a checkpoint may build. It is data: what its configuration names is built, but from trusted packages alone."""

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from hydra.utils import instantiate

from ..errors import UsageError
from ..project import trusted

# Beside the packages that `kindling.trust` names; never what a checkpoint says.
LINE = "kindling.trust(__name__)"
TRUSTED = ("kindling", "torch.nn", "torch.optim", "torchmetrics", "transformers")


def build(config: dict[str, Any], path: str | Path) -> Any:
    """Build what a part of the configuration in the checkpoint at `path` describes.

    Raises:
        UsageError: It names something that is not trusted, or is no longer there.
    """
    for target in _targets(config):
        if not _is_trusted(target):
            _refuse(target, path)
        try:
            found = resolve_name(target)
        except (ImportError, AttributeError, ValueError) as error:
            raise UsageError(
                f"checkpoint={path}: {target} is not there any more ({' '.join(str(error).split())}); "
                "give it its old name back, or use the code of that time"
            ) from None
        if not _is_trusted(getattr(found, "__module__", None) or ""):  # imported there from elsewhere
            _refuse(target, path)
    return instantiate(config)


def _refuse(target: str, path: str | Path) -> None:
    package = target.partition(".")[0]
    raise UsageError(
        f"checkpoint={path}: it wants to run {target}, which is not trusted; if you know who made it, "
        f'write kindling.trust("{package}") into the __init__.py of your package'
    )


def _is_trusted(name: str) -> bool:
    if any(name == package or name.startswith(f"{package}.") for package in (*TRUSTED, *trusted())):
        return True
    return _asks_to_be_trusted(name.partition(".")[0])


def _asks_to_be_trusted(package: str) -> bool:
    """Whether the package, which nobody has imported yet, has the line `kindling.trust(__name__)` itself."""
    spec = find_spec(package) if package and package not in sys.modules else None
    if spec is None or not spec.submodule_search_locations or not spec.origin:
        return False
    return LINE in Path(spec.origin).read_text(encoding="utf-8").splitlines()


def _targets(config: Any) -> Iterator[str]:
    if isinstance(config, dict):
        if "_target_" in config:
            yield str(config["_target_"])
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _targets(value)
