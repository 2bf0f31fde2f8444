"""Which contenders there are: one file each in contenders/, read without running it."""

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "contenders"


@dataclass(frozen=True)
class Contender:
    """What a contender's file says about itself.

    Args:
        name: Of the file.
        title: Its row in the table.
        about: The first line of its docstring.
        jobs: The keys of `JOBS`.
        steps: `STEPS`: fewer steps than the job's, for a contender that is slow and whose batches are all alike.
    """

    name: str
    title: str
    about: str
    jobs: tuple[str, ...]
    steps: dict[str, int] = field(default_factory=dict)


def find(folder: Path = FOLDER) -> list[Contender]:
    """Return the contenders, the raw loop first and the baked project second."""
    first = ["raw", "project"]
    files = sorted(folder.glob("*.py"), key=lambda file: (first.index(file.stem) if file.stem in first else 2, file))
    return [_read(file) for file in files]


def _read(file: Path) -> Contender:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assigned: dict[str, Any] = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return Contender(
        name=file.stem,
        title=ast.literal_eval(assigned["TITLE"]),
        about=(ast.get_docstring(tree) or "").partition("\n")[0],
        jobs=tuple(ast.literal_eval(key) for key in assigned["JOBS"].keys),
        steps=ast.literal_eval(assigned["STEPS"]) if "STEPS" in assigned else {},
    )
