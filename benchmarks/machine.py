"""What the figures were measured with: packages, processor, commit. No name of a machine and no path."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = [
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "transformers",
    "accelerate",
    "poutyne",
    "datasets",
    "tokenizers",
    "tensorboard",
    "hydra-core",
    "numpy",
    "pyarrow",
    "tqdm",
]


def describe(template: Path) -> dict[str, Any]:
    """Return the versions, the hardware and the commit of the template."""
    return {
        "commit": commit(template),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "load_at_start": [round(load, 2) for load in os.getloadavg()],
        "packages": {name: installed(name) for name in PACKAGES},
    }


def cpu() -> str:
    """Return the model of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for row in info.read_text(encoding="utf-8").splitlines():
            if row.startswith("model name"):
                return row.partition(":")[2].strip()
    return platform.processor() or "unknown"


def installed(name: str) -> str | None:
    """Return the version of a package, or nothing where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit(template: Path) -> str:
    """Return the commit that is measured, marked where the working tree has other changes."""
    words = ["git", "-C", str(template), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
