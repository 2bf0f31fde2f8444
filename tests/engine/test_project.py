"""What the project says of itself: the packages that it imports, and where its commands are."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from commands import ROOT
from kindling import project
from kindling.cli.installed import find

# Which distributions bring what is imported, where they are not installed here.
BRINGS = {"comet_ml": "comet-ml", "mlflow": "mlflow-skinny"}
OPTIONAL = {"ray", "submitit", "deepspeed"}  # of a chosen cluster or strategy; a line says how to install them


def imported(file: Path) -> Iterator[str]:
    """Yield the packages that a file imports from elsewhere."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*about["dependencies"], *(line for extra in about["optional-dependencies"].values() for line in extra)]
    return {normal(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in lines}


def test_every_package_that_is_imported_is_declared() -> None:
    files = [*ROOT.glob("*.py"), *ROOT.glob("src/**/*.py"), *ROOT.glob("tests/*.py")]
    own = {"kindling", "my_project", *(path.stem for path in ROOT.glob("tests/*.py"))}
    names = {name for file in files for name in imported(file)} - own - sys.stdlib_module_names
    brings = packages_distributions()
    needed = {normal(brings[name][0] if name in brings else BRINGS.get(name, name)) for name in names - OPTIONAL}
    assert len(needed) > 15
    assert needed - declared() == set()


def test_a_command_of_a_wheel_keeps_data_and_runs_where_one_is_and_trusts_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "site-packages/theirs/commands/train.py"
    command.parent.mkdir(parents=True)
    (command.parents[1] / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project, "_trusted", set())
    project.run_own_code(command)
    assert project.trusted() == {"theirs"}
    assert project.home(command) == tmp_path
    assert project.home(ROOT / "train.py") == ROOT


def test_an_editable_install_runs_the_commands_of_the_project() -> None:
    assert find("first-spark-make-dataset") == ROOT / "make_dataset.py"
    assert find("first-spark") is None
