"""The workflows of GitHub, read as data: of Kindling and of the project."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from conftest import ROOT, TEMPLATE

Values = dict[str, Any]


@dataclass
class Step:
    """A shell step of a job, with its variables and the values of the matrix filled in."""

    name: str
    command: str
    environment: dict[str, str]
    folder: str = "."

    @property
    def needs_github(self) -> bool:
        return "${{" in self.command + "".join(self.environment.values())


def files() -> list[Path]:
    """Return every workflow, and every action of this repository."""
    patterns = ("workflows/*.yml", "actions/*/action.yml")
    return sorted(
        path for folder in (ROOT, TEMPLATE) for pattern in patterns for path in folder.glob(f".github/{pattern}")
    )


def workflows() -> list[Path]:
    return [path for path in files() if path.parent.name == "workflows"]


def load(path: Path) -> Values:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in content.items()}  # YAML 1.1 takes `on` for true


def describe(path: Path) -> str:
    owner = "project" if TEMPLATE in path.parents else "kindling"
    return f"{owner}-{path.stem if path.name != 'action.yml' else path.parent.name}"


def jobs(path: Path) -> dict[str, Values]:
    found: dict[str, Values] = load(path).get("jobs", {})
    return found


def combinations(job: Values) -> list[dict[str, str]]:
    """Return what the matrix of a job expands to."""
    matrix = dict(job.get("strategy", {}).get("matrix", {}))
    extra = matrix.pop("include", [])
    product = [dict(zip(matrix, values, strict=True)) for values in itertools.product(*matrix.values())]
    return [*product, *extra]


def fill(text: str, values: dict[str, str]) -> str:
    """Replace `${{ matrix.x }}` and the like."""
    return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda match: values.get(match[1], match[0]), text)


def shell_steps(project: Path, workflow: Values, job: str, combination: dict[str, str]) -> Iterator[Step]:
    """Go through the shell steps of a job, and of the actions of this repository that it uses."""
    values = {f"matrix.{key}": value for key, value in combination.items()}
    outer = workflow.get("env", {}) | workflow["jobs"][job].get("env", {})
    for step in workflow["jobs"][job]["steps"]:
        if step.get("uses", "").startswith("./"):
            action = load(project / step["uses"] / "action.yml")
            inner = {f"inputs.{key}": fill(value, values) for key, value in step.get("with", {}).items()}
            nested = [(step, inner) for step in action["runs"]["steps"]]
        else:
            nested = [(step, values)]
        for one, known in nested:
            if "run" in one:
                variables = {key: fill(str(value), known) for key, value in (outer | one.get("env", {})).items()}
                folder = one.get("working-directory", ".")
                yield Step(one.get("name", ""), fill(one["run"], known), variables, folder)
