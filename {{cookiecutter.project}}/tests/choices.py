"""What there is to test: every file in configs/, found by its name."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"

# The options that a choice needs beside it, where the defaults of configs/train.yaml don't fit.
NEEDS = {
    "task=regression": ["data=docstring_lines"],
    "data=docstring_lines": ["task=regression"],
}
# Datasets that take too long to make or to download for a test. Those that ask for an option (???) are left out, too.
LARGE: set[str] = set()


def choices(group: str) -> list[str]:
    """Return the names of the files of a group."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def options(group: str, choice: str) -> list[str]:
    """Return a choice and what it needs, as options of train.py."""
    return [f"{group}={choice}", *NEEDS.get(f"{group}={choice}", [])]


def complete(group: str) -> list[str]:
    """Return the choices that ask for no option (`???`)."""
    return [name for name in choices(group) if "???" not in read(group, name)]


def datasets() -> list[str]:
    """Return the datasets that can be made here."""
    return [name for name in complete("data") if name not in LARGE]


def default(group: str) -> str:
    """Return what train.py takes of a group if nothing else is said."""
    found = yaml.safe_load((CONFIGS / "train.yaml").read_text(encoding="utf-8"))["defaults"]
    return next(str(entry[group]) for entry in found if isinstance(entry, dict) and group in entry)


def read(group: str, choice: str) -> str:
    """Return the text of a config."""
    return (CONFIGS / group / f"{choice}.yaml").read_text(encoding="utf-8")
