"""What a run was made of: code, packages, data and machine."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, Trainer

from ..data.store import facts

# What is code, or says how code is run; other files may be data, which stay where they are.
CODE = (
    *("*.py", "*.pyi", "*.pyx", "*.c", "*.cc", "*.cpp", "*.cu", "*.cuh", "*.h", "*.hpp", "*.rs", "*.sh"),
    *(
        "*.yaml",
        "*.yml",
        "*.toml",
        "*.cfg",
        "*.ini",
        "*.dvc",
        "dvc.lock",
        "requirements*.txt",
        "Makefile",
        "Dockerfile",
    ),
)
LARGE_FILE = 1_000_000  # bytes; a new file that is larger, or is not text, is named and not kept
AT_ONCE = 500  # names on a command line
SECONDS = 10  # that git may take, on a slow disk
# Whatever the user's own settings are, `git apply` takes it.
DIFF = ["diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative"]
DIFF += ["--src-prefix=a/", "--dst-prefix=b/", "HEAD"]


def describe_code(*exclude: str | Path, code: Sequence[str] = CODE) -> tuple[dict[str, Any], bytes]:
    """Return commit, branch and whether there are changes, and a patch that gives the code back when it is applied.

    The patch has what git does not ignore in the project's folder, new files included, as far as it is code. Without
    git, repository or commit the commit is None and the patch is empty.

    Args:
        *exclude: Folders in it that do not count; that of the users' keys never does.
        code: Patterns of the names of files that are code; the others are named under `left_out`.
    """
    folder = Path(os.environ.get("PROJECT_ROOT", ".")).resolve()
    kept_out = [Path(path).resolve() for path in (*exclude, folder / "configs/user")]
    unknown = {"commit": None, "branch": None, "dirty": False}
    found = _git(folder, "rev-parse", "--absolute-git-dir", "HEAD", "--abbrev-ref", "HEAD").decode().splitlines()
    if len(found) != 3:
        return unknown, b""
    directory, commit, branch = found
    inside = [path.relative_to(folder) for path in kept_out if path.is_relative_to(folder)]
    places = [f":(exclude,literal){path.as_posix()}" for path in inside if path.parts]
    changed = _names(_git(folder, "diff", "--name-only", "--relative", "-z", "HEAD", "--", ".", *places))
    others = _names(_git(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", ".", *places))
    known = {name for name in changed if _is_code(name, code)}
    new = {name for name in others if _is_code(name, code) and _is_text(folder / name)}
    patch = _patch(folder, Path(directory), known, new)
    described: dict[str, Any] = {"commit": commit, "branch": None if branch == "HEAD" else branch}
    described["dirty"] = bool(changed or others)
    if left_out := sorted({*changed, *others} - known - new):
        described["left_out"] = left_out
    return described, patch


def _patch(folder: Path, directory: Path, known: set[str], new: set[str]) -> bytes:
    """Return what has changed in files that git knows, and what is in new ones."""
    names = [f":(literal){name}" for name in sorted(known | new)]
    parts = [names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE)]
    if not new:
        return b"".join(_git(folder, *DIFF, "--", *part) for part in parts)
    # In a copy of the index, so that the user's own stays as it is.
    with TemporaryDirectory() as temporary:
        index = Path(temporary, "index")
        if (directory / "index").exists():
            shutil.copy(directory / "index", index)
        add = ["add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul"]
        _git(folder, "--literal-pathspecs", *add, index=index, given=b"\0".join(map(os.fsencode, sorted(new))))
        return b"".join(_git(folder, *DIFF, "--", *part, index=index) for part in parts)


def _names(listed: bytes) -> list[str]:
    return [os.fsdecode(name) for name in listed.split(b"\0")[:-1]]


def _is_code(name: str, code: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) or fnmatchcase(Path(name).name, pattern) for pattern in code)


def installed_packages() -> list[str]:
    """Return `name==version` for each installed package.

    The names of their folders say it; `importlib.metadata` opens every one: 160 ms for 213 packages instead of 1 ms.
    """
    found: dict[str, str] = {}
    for entry in sys.path:
        for folder in Path(entry or ".").glob("*-*.*-info"):
            name, version = folder.name.rpartition(".")[0].split("-")[:2]
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def describe_machine(trainer: Trainer) -> dict[str, Any]:
    """Return what the result may depend on beside code and data, and where the run is."""
    on_gpus = trainer.strategy.root_device.type == "cuda"
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(number) for number in trainer.device_ids] if on_gpus else [],
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }


def describe_data(data: LightningDataModule | None) -> dict[str, Any]:
    """Return where the dataset is, and its hashes: of its samples, and of the file as DVC knows it."""
    folder = getattr(data, "dir", None)
    if folder is None:
        return {"dir": None, "hash": None, "md5": None}
    return {"dir": str(folder), "hash": getattr(data, "hash", None), "md5": facts(folder).get("md5")}


def _git(folder: Path, *arguments: str, index: Path | None = None, given: bytes = b"") -> bytes:
    """Return what git prints, and nothing if there is no git or it fails."""
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"} | ({"GIT_INDEX_FILE": str(index)} if index else {})
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, input=given, capture_output=True, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.stat().st_size <= LARGE_FILE and b"\0" not in file.read(8000)  # as git tells it
    except OSError:
        return False


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
