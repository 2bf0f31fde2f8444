"""What a checkpoint is: in a few columns of text for its picture, and as a page of Markdown."""

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..checkpoints.io import matches
from ..errors import short
from ..runs.metrics import split_and_metric
from ..runs.settings import flat

FILES = ("curves.png", "confusion_matrix.png", "predictions.png", "predictions.csv", "samples.csv")

Section = dict[str, Any]


@dataclass
class Summary:
    """What is told about a checkpoint.

    Args:
        checkpoint: Its file.
        folder: The run's.
        sections: Facts by the name of their section.
        metrics: By their names, such as `val/loss`.
        overrides: The options of the run.
    """

    checkpoint: Path
    folder: Path
    sections: dict[str, Section]
    metrics: dict[str, float]
    overrides: list[str]

    def text(self) -> str:
        """Return all facts, in full, as lines that a program can read."""
        blocks = [run_name(self.folder)]
        for heading, section in self.sections.items():
            blocks.append("\n".join([f"[{heading}]", *(f"{name} = {value}" for name, value in section.items())]))
        return "\n\n".join(blocks) + "\n"

    def markdown(self) -> str:
        """Return the page."""
        record, training = read_record(self.folder), self.sections["training"]
        facts = [f"epoch {show(training['epoch'])}", f"step {training['step']}"]
        facts += [f"{training['monitor']} {show(training['best'])}"] if "best" in training else []
        # Into a folder of its own, wherever the run has its.
        options = [override for override in self.overrides if not override.startswith("paths.run=")]
        evaluate = shlex.join(["python", "evaluate.py", f"checkpoint={short(self.checkpoint)}"])
        lines = [
            f"# {run_name(self.folder)}",
            "",
            f"`{self.checkpoint.name}` of `{short(self.folder)}`: {', '.join(facts)}.",
            "",
            *_metrics(self.metrics),
            *self._links(),
            "## Repeat it",
            "",
            "```bash",
            shlex.join(["python", "train.py", *options]),
            evaluate,
            "```",
            "",
        ]
        git = record.get("git") or {}
        origin = {
            "commit": git.get("commit") and f"{git['commit']}{' with uncommitted changes' if git.get('dirty') else ''}",
            "started": record.get("started"),
        }
        machine = dict(record.get("machine") or {})
        sections = self.sections | {"origin": origin, "machine": machine}
        for heading, section in sections.items():
            if told := {name: value for name, value in section.items() if value not in (None, "", [])}:
                lines += [f"## {heading.capitalize()}", "", "| | |", "| --- | --- |"]
                lines += [f"| {_cell(name)} | {_cell(show(value))} |" for name, value in told.items()]
                lines.append("")
        return "\n".join(lines)

    def _links(self) -> list[str]:
        """Return lines that show the pictures and lead to the tables that are there."""
        files = [path for path in (self.folder / name for name in FILES) if path.is_file()]
        links = {path.stem.replace("_", " "): _link(path, self.checkpoint.parent) for path in files}
        pictures = [f"![{name}]({link})" for name, link in links.items() if link.endswith(".png")]
        tables = [f"[{link.rpartition('/')[2]}]({link})" for link in links.values() if link.endswith(".csv")]
        return [*pictures, "", *([f"Test samples: {', '.join(tables)}", ""] if tables else [])]


def read_record(folder: Path) -> dict[str, Any]:
    """Return what `run.json` of a run's folder says, if it is there."""
    try:
        return json.loads(Path(folder, "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def run_name(folder: Path) -> str:
    """Return the run's name, or where it lies if it has none."""
    return str(read_record(folder).get("name") or short(folder))


def hyperparameters(
    config: dict[str, Any],
    include: list[str] | None,
    exclude: list[str],
    exceptions: list[str],
) -> Section:
    """Return the values in the config whose keys match `include` and not `exclude`, and those in `exceptions`.

    A pattern means what it does in `CheckpointIO`. Values that are null are left out; a class is told by its name.
    """
    chosen = {}
    for key, value in flat(config):
        wanted = (include is None or matches(key, include)) and not matches(key, exclude)
        if value is not None and (wanted or matches(key, exceptions)):
            parent, _, last = key.rpartition(".")
            chosen[parent if last == "_target_" else key] = value.rpartition(".")[2] if last == "_target_" else value
    return chosen


def describe_data(data: Any) -> Section:
    """Return what the data of a run are."""
    if not hasattr(data, "splits"):  # a data module that tells no more
        return {"dataset": type(data).__name__}
    facts: Section = {"dataset": type(data).__name__, "folder": short(data.dir), "hash": data.hash}
    facts |= {"md5": data.md5} if getattr(data, "md5", "") else {}
    facts |= {name: len(rows) for name, rows in data.splits.items()}
    facts |= {"classes": len(data.classes)} if data.classes else {"labels": getattr(data, "labels", "none")}
    return facts | ({"fold": f"{data.fold} of {data.folds}"} if data.folds else {})


def show(value: Any) -> str:
    """Return the value as a person reads it."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _metrics(metrics: dict[str, float]) -> list[str]:
    cells = {split_and_metric(name): value for name, value in metrics.items()}
    splits = list(dict.fromkeys(split for split, _ in cells))
    lines = [f"| metric | {' | '.join(splits)} |", f"| --- |{' ---: |' * len(splits)}"]
    for metric in sorted({metric for _, metric in cells}):
        values = [cells.get((split, metric)) for split in splits]
        lines.append(f"| {metric} | {' | '.join('' if value is None else f'{value:.4f}' for value in values)} |")
    return [*lines, ""] if metrics else []


def _link(path: Path, start: Path) -> str:
    return quote(Path(os.path.relpath(path, start)).as_posix())


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
