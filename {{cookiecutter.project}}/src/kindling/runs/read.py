"""The one reader of what lies in a run's folder, whoever wrote it and however far it came."""

import csv
import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import yaml

from ..checkpoints.moved import renamed, renamed_overrides
from ..errors import short
from .form import NUMBER, RECORD, is_row, usable

log = logging.getLogger(__name__)

# The parser in C, which takes a quarter of the time, comes with every wheel of PyYAML.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_record(folder: str | Path) -> dict[str, Any]:
    """Return what `run.json` in a run's folder says; nothing if it is missing, and no key that is damaged."""
    path = Path(folder, "run.json")
    found: dict[str, Any] = usable(read_json(path), path, RECORD)
    return found


def read_metrics(path: str | Path) -> dict[str, float]:
    """Return the metrics in a file of them, or in the folder of a run that has finished; nothing if there are none."""
    path = Path(path, "metrics.json") if Path(path).is_dir() else Path(path)
    found: dict[str, float] = usable(read_json(path), path, {}, NUMBER)
    return found


def read_config(folder: Path) -> dict[str, Any]:
    """Return the resolved configuration of a run; that of its command line if training never began."""
    found: dict[str, Any] = read_yaml(folder / "config.yaml") or read_yaml(folder / ".hydra" / "config.yaml")
    config: dict[str, Any] = renamed(found)
    return config if isinstance(config, dict) else {}


def read_overrides(folder: Path) -> list[str]:
    """Return what the run's command line set, as Hydra wrote it down."""
    found = read_yaml(folder / ".hydra" / "overrides.yaml")
    return renamed_overrides([str(override) for override in found] if isinstance(found, list) else [])


def read_choices(folder: Path) -> dict[str, Any]:
    """Return the run's choice in each group: one block of Hydra's long file, as to read all takes ten times as long."""
    try:
        text = (folder / ".hydra" / "hydra.yaml").read_text(encoding="utf-8")
        choices = yaml.load(text.partition("\n    choices:\n")[2].partition("\n  verbose:")[0], LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    known = choices.items() if isinstance(choices, dict) else ()
    return {str(name): value for name, value in known if "hydra" not in str(name).split("/")}


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the run's `csv/metrics.csv`, without a line that a crash cut off."""
    try:
        text = Path(folder, "csv", "metrics.csv").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))
    if odd := [str(number) for number, row in enumerate(rows, 2) if not is_row(row)]:
        log.warning(
            "%s: line %s can't be read and is left aside", short(folder / "csv/metrics.csv"), ", ".join(odd[:5])
        )
    return [row for row in rows if is_row(row)]


def curve(folder: Path) -> dict[int, dict[str, float]]:
    """Return the metrics of each epoch in the run's `csv/metrics.csv`, without those of the test at the end."""
    epochs: dict[int, dict[str, float]] = {}
    for row in read_rows(folder):
        if row.get("epoch"):
            values = epochs.setdefault(int(row["epoch"]), {})
            for name, value in row.items():
                if "/" in (name or "") and value:
                    values.setdefault(name, float(value))
    # The best checkpoint is validated again at the end, as the epoch after the last.
    return {
        epoch: {name: value for name, value in values.items() if not name.startswith("test/")}
        for epoch, values in sorted(epochs.items())
        if "train/loss" in values or not any(name.startswith("test/") for name in values)
    }


def first_error(folder: Path) -> str | None:
    """Return the first error in the tracebacks of `error.txt`, which caused those that follow; None without the file.

    The cause is what a comparison shows. What was raised last is what a sweep says when a job has ended: `last_error`.
    """
    text = _tracebacks(folder)
    found = text and re.search(r"^(?:\w+\.)*(\w+: .+)", text, re.MULTILINE)
    return found[1] if found else text and (text.splitlines() or ["unknown"])[-1]


def last_error(folder: Path) -> str:
    """Return the last error in the tracebacks of `error.txt`, or how the process ended."""
    text = _tracebacks(folder)
    if not text:
        return "unknown"
    found, last = re.findall(r"^(?:[\w.]+\.)?(\w+: .+)", text, re.MULTILINE), text.splitlines()[-1]
    return (found[-1] if found and not last.startswith("The process") else last).removeprefix("UsageError: ")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in the file, or none if there is no such file; a damaged one is left aside with a warning."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("%s can't be read and is left aside: %s", short(path), error)
        return {}
    return content if isinstance(content, dict) else {}


def read_yaml(path: Path) -> Any:
    """Return the content of the file, or none if there is no such file; a damaged one is left aside with a warning."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        log.warning("%s can't be read and is left aside: %s", short(path), " ".join(str(error).split()))
        return {}


def _tracebacks(folder: Path) -> str | None:
    try:
        return (folder / "error.txt").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
