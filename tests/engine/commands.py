"""Commands as a user runs them, and small data for them."""

import csv
import logging
import random
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent  # modules that tests share
ROOT = Path(__file__).parents[2] / "{{cookiecutter.project}}"  # the project as it lies in the template
WORDS = {
    "good": ["great", "lovely", "superb"],
    "fair": ["fine", "decent", "passable"],
    "bad": ["awful", "dull", "broken"],
}
NOISE = [
    "film",
    "book",
    "the",
    "a",
    "was",
    "it",
    "and",
    "plot",
    "very",
    "story",
    "with",
    "some",
    "actors",
    "of",
    "page",
]


@dataclass
class Result:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


Command = Callable[..., Result]


def run(folder: Path, name: str, *overrides: str) -> int:
    """Run a command in this process, with its data and runs in `folder`, and return the exit code."""
    argv, root = sys.argv, logging.getLogger()
    handlers, level = root.handlers[:], root.level
    sys.argv = [f"{name}.py", f"paths.data={folder / 'data'}", f"paths.runs={folder / 'runs'}", *overrides]
    try:
        runpy.run_path(str(ROOT / f"{name}.py"), run_name="__main__")
        return 0
    except SystemExit as error:
        return int(error.code or 0)
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        sys.argv, root.handlers[:] = argv, handlers
        root.setLevel(level)


def write_reviews(path: Path, label: Callable[[str, int], str]) -> Path:
    """Write 150 short reviews, whose words tell the class and whose length varies."""
    generator = random.Random(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "stars"])
        for number in range(150):
            name = list(WORDS)[number % 3]
            told = generator.choices(WORDS[name], k=generator.randint(1, 3))
            words = told + generator.choices(NOISE, k=generator.randint(1, 20))
            generator.shuffle(words)
            writer.writerow([f"{' '.join(words)} {number}", label(name, len(told))])
    return path
