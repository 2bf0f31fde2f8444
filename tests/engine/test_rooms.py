"""The engine is a house with floors: what its modules may import, be called and hold."""

import ast
import graphlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import HERE, ROOT
from kindling.project import own_packages

ENGINE = ROOT / "src" / "kindling"
MOST_LINES = 250
# From the ground up. A file at the root has a floor of its own; the modules of a room may import each other.
FLOORS = (
    *("errors", "exits", "files", "seeding", "digits", "tables", "overrides", "project", "later", "startup", "style"),
    *("formats", "json_output", "addresses"),
    *("data", "checkpoints", "runs", "loggers", "compare", "reports", "training", "launch", "sweeps", "cli", "testing"),
)

Rule = Callable[[Path], set[str]]


def modules(engine: Path) -> dict[str, Path]:
    """Return the engine's files by the names of their modules, without that of the package itself."""
    found = {path.relative_to(engine).with_suffix(""): path for path in engine.rglob("*.py")}
    names = {".".join(part for part in name.parts if part != "__init__"): path for name, path in found.items()}
    return {name: path for name, path in names.items() if name}


def imported(path: Path, engine: Path) -> Iterator[str]:
    """Yield the absolute name of all that a file imports, also inside of functions and for types alone."""
    parents = [engine.name, *path.relative_to(engine).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def edges(engine: Path) -> dict[str, set[str]]:
    """Return which modules of the engine each of them imports; of `from .data import store` the module `data.store`."""
    known = modules(engine)
    found: dict[str, set[str]] = {}
    for module, path in known.items():
        found[module] = set()
        for name in imported(path, engine):
            own = name.removeprefix(f"{engine.name}.") if name.startswith(f"{engine.name}.") else ""
            if target := own if own in known else own.rpartition(".")[0]:
                found[module].add(target)
    return found


def imports_upward(engine: Path) -> set[str]:
    found = set()
    for module, targets in edges(engine).items():
        for target in targets:
            floor, other = (FLOORS.index(name.partition(".")[0]) for name in (module, target))
            if other > floor:
                found.add(f"{module} imports {target}")
    return found


def circles(engine: Path) -> set[str]:
    graph = {module: targets - {module} for module, targets in edges(engine).items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1][:0:-1]  # each imports the next
        start = circle.index(min(circle))
        return {" -> ".join([*circle[start:], *circle[:start], circle[start]])}
    return set()


def foreign_imports(engine: Path) -> set[str]:
    """The engine imports neither the project's packages nor its tests: a bake has others."""
    foreign = {*own_packages(engine.parents[1]), "tests", *(path.stem for path in HERE.rglob("*.py"))}
    return {
        f"{module} imports {name}"
        for module, path in modules(engine).items()
        for name in imported(path, engine)
        if name.partition(".")[0] in foreign
    }


def classes_twice(engine: Path) -> set[str]:
    found = defaultdict(list)
    for module, path in modules(engine).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(module)
    return {f"{name}: {', '.join(sorted(places))}" for name, places in found.items() if len(places) > 1}


def long_modules(engine: Path) -> set[str]:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in modules(engine).items()}
    return {module for module, length in lengths.items() if length > MOST_LINES}


def without_docstring(engine: Path) -> set[str]:
    files = engine.rglob("*.py")
    return {
        str(path.relative_to(engine))
        for path in files
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    }


def naming_the_project(engine: Path) -> set[str]:
    """The hook replaces this word at a bake, and the engine is the same in all of them."""
    files = (path for path in engine.rglob("*") if path.suffix in (".py", ".md", ".toml", ".yaml"))
    return {str(path.relative_to(engine)) for path in files if "my_project" in path.read_text(encoding="utf-8")}


# What is known and yet to be mended; nothing may be added.
KNOWN: dict[Rule, set[str]] = {}


@pytest.mark.parametrize(
    "rule",
    [
        imports_upward,
        circles,
        foreign_imports,
        classes_twice,
        long_modules,
        without_docstring,
        naming_the_project,
    ],
)
def test_the_engine_keeps_the_rule(rule: Rule) -> None:
    assert rule(ENGINE) - KNOWN.get(rule, set()) == set()


def test_every_module_has_a_floor() -> None:
    assert {module.partition(".")[0] for module in modules(ENGINE)} <= set(FLOORS)


@pytest.mark.parametrize(
    ("rule", "module", "text", "found"),
    [
        (imports_upward, "data/store.py", "from ..runs.read import curve", "data.store imports runs.read"),
        (imports_upward, "data/store.py", "def late():\n    from ..cli import check", "data.store imports cli.check"),
        (imports_upward, "files.py", "import kindling.project", "files imports project"),
        (circles, "runs/read.py", "from .name import brief", "runs.name -> runs.read -> runs.name"),
        (foreign_imports, "data/store.py", "import my_project.tasks", "data.store imports my_project.tasks"),
        (foreign_imports, "data/store.py", "import commands", "data.store imports commands"),
        (classes_twice, "data/store.py", "class Twice: ...", "Twice: data.store, runs.name"),
        (long_modules, "data/store.py", "# a line\n" * (MOST_LINES + 1), "data.store"),
        (without_docstring, "runs/read.py", "", "runs/read.py"),
        (naming_the_project, "data/store.py", "# as in my_project", "data/store.py"),
    ],
)
def test_a_broken_rule_is_found(rule: Rule, module: str, text: str, found: str, tmp_path: Path) -> None:
    """Each rule finds what breaks it, and nothing in a house where nothing is broken."""
    engine = tmp_path / "src" / "kindling"
    whole = {
        "__init__.py": '"""The engine."""\n',
        "files.py": '"""Files."""\n',
        "project.py": '"""The project."""\n\nfrom . import files\n',
        "data/store.py": '"""Data."""\n\nfrom ..files import new_file\n',
        "runs/name.py": '"""Names."""\n\nfrom .read import curve\n\n\nclass Twice:\n    """A class."""\n',
        "runs/read.py": '"""Runs."""\n\nimport kindling.data.store\n',
        "cli/check.py": '"""Checks."""\n\nfrom ..runs import read\n',
        "../my_project/__init__.py": "",
    }
    for name, content in whole.items():
        (engine / name).parent.mkdir(parents=True, exist_ok=True)
        (engine / name).write_text(content, encoding="utf-8")
    assert rule(engine) == set()
    before = (engine / module).read_text(encoding="utf-8") if text else ""
    (engine / module).write_text(f"{before}{text}\n", encoding="utf-8")
    assert rule(engine) == {found}
