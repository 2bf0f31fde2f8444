"""What `make demo` does with a project of its own that is already there, shown on a project of four lines."""

import os
import re
import shutil
import sys
from pathlib import Path

import post_gen_project as post
import pytest
from conftest import REAL_HOME, ROOT, TEMPLATE, git, run, train_briefly

COMMANDS = [
    "$ cd build/first-spark",
    "$ make setup",
    "$ .venv/bin/python make_dataset.py",
    "$ .venv/bin/python train.py model=bert",
    "$ .venv/bin/python evaluate.py checkpoint=best",
]


@pytest.fixture
def kindling(tmp_path: Path) -> Path:
    """Kindling with a template folder whose commands only say that they ran."""
    folder = tmp_path / "my clone"
    shutil.copytree(ROOT / "hooks", folder / "hooks")
    for name in ("cookiecutter.json", "demo.sh", "Makefile"):
        shutil.copy(ROOT / name, folder / name)
    project = folder / TEMPLATE.name
    (project / "src" / "my_project").mkdir(parents=True)
    for name in ("make_dataset", "train", "evaluate"):
        (project / f"{name}.py").write_text(f"print('{name} ran')\n", encoding="utf-8")
    for name in {name for names in post.OPTIONAL.values() for name in names}:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("Optional.\n", encoding="utf-8")
    engine = TEMPLATE / "src/kindling/cli/engine.py"
    (project / "src/kindling/cli").mkdir(parents=True)
    shutil.copy(engine, project / "src/kindling/cli")
    (project / "LICENSE").write_text("{{ cookiecutter.license }}\n", encoding="utf-8")
    (project / "README.md").write_text("Read me.\n", encoding="utf-8")
    (project / ".gitignore").write_text("/.venv\n", encoding="utf-8")
    (project / "Makefile").write_text(f"setup:\n\t@ln -sfn '{sys.prefix}' .venv\n", encoding="utf-8")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def demo(kindling: Path) -> list[str]:
    return run("sh", "demo.sh", cwd=kindling, environment={"PYTHON": sys.executable}).stdout.splitlines()


def shown(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("$ ")]


def test_the_first_demo_bakes_and_shows_each_command(kindling: Path) -> None:
    lines = demo(kindling)
    assert shown(lines)[0].startswith("$ .venv/bin/python -m cookiecutter . --no-input --output-dir build")
    assert shown(lines)[1:] == COMMANDS
    assert [line for line in lines if line.endswith(" ran")] == ["make_dataset ran", "train ran", "evaluate ran"]


def test_the_second_demo_keeps_the_project(kindling: Path) -> None:
    demo(kindling)
    made = (kindling / "build/first-spark/README.md").stat().st_mtime_ns
    assert shown(demo(kindling)) == COMMANDS
    assert (kindling / "build/first-spark/README.md").stat().st_mtime_ns == made


def test_a_demo_bakes_again_when_the_template_has_changed(kindling: Path) -> None:
    demo(kindling)
    (kindling / TEMPLATE.name / "README.md").write_text("Read me again.\n", encoding="utf-8")
    demo(kindling)
    assert (kindling / "build/first-spark/README.md").read_text(encoding="utf-8") == "Read me again.\n"


@pytest.mark.parametrize("committed", [True, False])
def test_a_demo_never_writes_over_the_users_changes(kindling: Path, committed: bool) -> None:
    demo(kindling)
    project = kindling / "build" / "first-spark"
    (project / "train.py").write_text("print('my train ran')\n", encoding="utf-8")
    if committed:
        git("commit", "-qam", "Mine", cwd=project)
    (kindling / TEMPLATE.name / "README.md").write_text("Read me again.\n", encoding="utf-8")
    lines = demo(kindling)
    assert "my train ran" in lines
    assert len([line for line in lines if "stays as it is" in line]) == 1


@pytest.mark.slow
def test_make_demo_ends_with_metrics_and_where_they_lie(template: Path, tmp_path: Path) -> None:
    clone = tmp_path / "a new clone"
    git("clone", "-q", str(template), str(clone), cwd=tmp_path)
    train_briefly(clone / TEMPLATE.name)
    done = run("make", "demo", cwd=clone, environment={"HOME": str(REAL_HOME), "GIT_CONFIG_GLOBAL": os.devnull})
    assert shown(done.stdout.splitlines())[1:] == COMMANDS
    last = done.stdout[done.stdout.rindex(COMMANDS[-1]) :]
    assert re.search(r"accuracy +0\.[5-9]", last)
    assert "checkpoints/best.ckpt" in last
