"""The README's steps, followed to the letter in a copy of the project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kindling.cli.check import check_arguments

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("copy") / "a project"
    skipped = shutil.ignore_patterns(".*", "data", "runs", "__pycache__")
    own = shutil.ignore_patterns("somebody_*")  # of test_user.py, in another process
    shutil.copytree(ROOT, folder, ignore=lambda path, names: (skipped if Path(path) == ROOT else own)(path, names))
    return folder


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def follow(title: str, folder: Path) -> None:
    """Write the code blocks of a section to the files named above them; "At the end of" appends."""
    block = r"^([^`\n]*)`([\w/.]+)`[^\n]*\n\n```\w+\n(.*?)```"
    steps = re.findall(block, section(title), re.DOTALL | re.MULTILINE)
    assert steps, title
    for before, name, block in steps:
        path = folder / name
        assert path.exists() == ("At the end of" in before), path
        with path.open("a", encoding="utf-8") as file:
            file.write(block)


def run(folder: Path, line: str) -> str:
    command = [sys.executable, *line.split()[1:]]
    environment = os.environ | {"PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_model_a_dataset_and_a_metric_are_added_as_the_readme_says(copy) -> None:
    for title in ("Add a model", "Add a dataset", "Add a metric"):
        follow(title, copy)
    run(copy, "python make_dataset.py data=keywords")
    out = run(copy, "python train.py data=keywords model=cnn monitor=val/kappa debug=fast logger=[csv]")
    assert "kappa" in out
    assert "CNN" in out


PAGES = [README.partition("\n## Add a model")[0], *(path.read_text("utf-8") for path in ROOT.glob("docs/*.md"))]
COMMANDS = re.findall(r"(?m)(?:^|\| |`)(python \w+\.py[^`|\n]*)", "\n".join(PAGES))


@pytest.mark.parametrize("line", sorted(set(COMMANDS)))
def test_every_command_of_the_readme_and_the_pages_is_one_that_exists(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    check_arguments(ROOT / name, arguments)


def test_every_page_is_linked_from_the_readme_and_every_link_leads_somewhere() -> None:
    for page in ROOT.glob("docs/*.md"):
        assert f"](docs/{page.name})" in README, page.name
    for file in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", file.read_text("utf-8")):
            assert link.startswith("http") or (file.parent / link).exists(), f"{file.name}: {link}"


def test_the_tree_names_every_file_and_folder_that_is_there() -> None:
    tree = section("Where things are")
    for path in [*ROOT.glob("*.py"), *ROOT.glob("configs/*/"), *ROOT.glob("src/my_project/*/")]:
        if path.name != "__pycache__":
            assert path.name in tree, path
