"""What a checkpoint is: in a few columns of text for its picture, and as a page of Markdown."""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..checkpoints.parts import matches
from ..digits import duration, metric, setting
from ..errors import short, visible
from ..formats import as_picture
from ..overrides import option_name
from ..runs.history import Best
from ..runs.metrics import is_of, metric_cells
from ..runs.name import run_name
from ..runs.read import read_record
from ..runs.settings import flatten
from ..tables import in_markdown, markdown_table

PICTURES = ("curves", "confusion_matrix", "predictions")
TABLES = ("predictions.csv", "samples.csv")

Facts = dict[str, Any]


@dataclass
class Summary:
    """What a page and a picture say about a checkpoint.

    Args:
        checkpoint: Its file.
        folder: The run's.
        sections: Facts by the name of their section.
        metrics: By their names, such as `val/loss`.
        overrides: The options of the run.
        format: Of the pictures.
    """

    checkpoint: Path
    folder: Path
    sections: dict[str, Facts]
    metrics: dict[str, float]
    overrides: list[str]
    format: str = "png"

    def text(self) -> str:
        """Return all facts, in full, as lines that a program can read."""
        blocks = [run_name(self.folder)]
        for heading, section in self.sections.items():
            blocks.append("\n".join([f"[{heading}]", *(f"{name} = {value}" for name, value in section.items())]))
        return "\n\n".join(blocks) + "\n"

    def markdown(self) -> str:
        """Return the page."""
        record, training = read_record(self.folder), self.sections["training"]
        facts = [f"epoch {setting(training['epoch'])}", f"step {training['step']}"]
        facts += [f"{training['monitor']} {metric(training['best'])}"] if "best" in training else []
        git = record.get("git") or {}
        commit = git.get("commit") and f"{git['commit']}{' with uncommitted changes' if git.get('dirty') else ''}"
        origin = {"commit": commit, "started": record.get("started")}
        sections = self.sections | {"origin": origin, "machine": dict(record.get("machine") or {})}
        parts = [
            f"# {in_markdown(run_name(self.folder))}",
            f"{_code(self.checkpoint.name)} of {_code(short(self.folder))}: {in_markdown(', '.join(facts))}.",
            *([markdown_table(metric_cells(self.metrics))] if self.metrics else []),
            *self._links(),
            "## Repeat it",
            self._commands(),
        ]
        for heading, section in sections.items():
            if rows := [[name, text_of(name, value)] for name, value in section.items() if value not in (None, "", [])]:
                parts += [f"## {heading.capitalize()}", markdown_table([["", ""], *rows])]
        return "\n\n".join(parts) + "\n"

    def _commands(self) -> str:
        """Return the commands that train and evaluate again, into a folder of its own, wherever the run has its."""
        options = [line for line in self.overrides if option_name(line) not in ("paths.run", "resume")]
        train = shlex.join(["python", "train.py", *options])
        evaluate = shlex.join(["python", "evaluate.py", f"checkpoint={short(self.checkpoint)}"])
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", train + evaluate)), default=0))
        return f"{fence}bash\n{visible(train)}\n{visible(evaluate)}\n{fence}"

    def _links(self) -> list[str]:
        """Return paragraphs that show the pictures and lead to the tables that are there."""
        start = self.checkpoint.parent
        drawn = {name.replace("_", " "): Path(self.folder, f"{name}.{self.format}") for name in PICTURES}
        pictures = [as_picture(name, _link(path, start)) for name, path in drawn.items() if path.is_file()]
        written = [path for path in (self.folder / name for name in TABLES) if path.is_file()]
        tables = [f"[{path.name}]({_link(path, start)})" for path in written]
        return [
            *(["\n".join(pictures)] if pictures else []),
            *([f"Test samples: {', '.join(tables)}"] if tables else []),
        ]


def is_page(path: Path) -> bool:
    """Whether the file is the page of the checkpoint of its name, and not somebody's notes."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return any(line.startswith(f"`{path.stem}.ckpt` of `") for _, line in zip(range(3), file, strict=False))


def hyperparameters(
    config: dict[str, Any],
    include: list[str] | None,
    exclude: list[str],
    exceptions: list[str],
) -> Facts:
    """Return the values in the config whose keys match `include` and not `exclude`, and those in `exceptions`.

    A pattern means what it does in `CheckpointIO`. Values that are null are left out; of a class its name is given.
    """
    chosen = {}
    for name, value in flatten(config).items():
        wanted = (include is None or matches(name, include)) and not matches(name, exclude)
        if value is not None and (wanted or matches(name, exceptions)):
            parent, _, last = name.rpartition(".")
            chosen[parent if last == "_target_" else name] = value.rpartition(".")[2] if last == "_target_" else value
    return chosen


def training_facts(path: Path, checkpoint: dict[str, Any], best: Best | None, metrics: dict[str, float]) -> Facts:
    """Return where training stood when a checkpoint was saved, and what it had reached."""
    saved = checkpoint.get("resume", {})
    training: Facts = {"checkpoint": path.name, "epoch": saved.get("epochs"), "step": checkpoint["global_step"]}
    if best:
        training["epoch"] = best.epoch if best.epoch % 1 else int(best.epoch)
        training |= {"monitor": best.name, "best": best.value}
    training |= metrics
    if seconds := checkpoint.get("report", {}).get("seconds"):
        training["seconds"] = round(seconds, 1)
    return training


def validated(checkpoint: dict[str, Any]) -> dict[str, float]:
    """Return the validation metrics that a checkpoint holds."""
    metrics: dict[str, float] = checkpoint.get("resume", {}).get("metrics", {})
    return {name: value for name, value in metrics.items() if is_of(name, "val")}


def data_facts(data: Any) -> Facts:
    """Return what the data of a run are."""
    if not hasattr(data, "splits"):  # a data module that tells no more
        return {"dataset": type(data).__name__}
    facts: Facts = {"dataset": type(data).__name__, "folder": short(data.dir), "hash": data.hash}
    facts |= {"md5": data.md5} if getattr(data, "md5", "") else {}
    facts |= {name: len(rows) for name, rows in data.splits.items()}
    facts |= {"classes": len(data.classes)} if data.classes else {"labels": getattr(data, "labels", "none")}
    return facts | ({"fold": f"{data.fold} of {data.folds}"} if data.folds else {})


def text_of(name: str, value: Any) -> str:
    """Return a fact as a person reads it: a time in its unit, a metric with its four decimals, else four digits."""
    if name == "seconds":
        return duration(value)
    return metric(value) if isinstance(value, float) and (name == "best" or "/" in name) else setting(value)


def _code(text: str) -> str:
    return f"`{visible(text).replace('`', chr(39))}`"


def _link(path: Path, start: Path) -> str:
    return quote(Path(os.path.relpath(path, start)).as_posix())
