import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT
from kindling.cli.checklist import CHECKS, report, rows

CHECKLIST = (ROOT / "CHECKLIST.md").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of this project without what its commands make."""
    names = (".venv", ".git", "data", "runs", "results", ".coverage*", "*cache*", "dvc.lock", "somebody_*")
    made = shutil.ignore_patterns(*names)
    folder = Path(shutil.copytree(ROOT, tmp_path / "my work", ignore=lambda *args: made(*args) - {"data"}))
    shutil.rmtree(folder / "data", ignore_errors=True)
    return folder


def states(project: Path) -> dict[str, str]:
    """Return what `python -m kindling.cli.checklist` says of each row."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "GIT_CEILING_DIRECTORIES": str(project.parent)}
    command = [sys.executable, "-m", "kindling.cli.checklist"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = (re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines())
    return {row[0]: row[-1] for row in cells if len(row) == 3 and row[0][-1].isdigit()}


def test_every_row_that_a_machine_ticks_has_a_check_and_the_other_way_round() -> None:
    assert [number for number, _, who in rows(CHECKLIST) if who == "machine"] == list(CHECKS)


def test_no_row_is_passed_over() -> None:
    lines = [
        line for line in CHECKLIST.splitlines() if line.startswith("| ") and not line.startswith(("| | ", "| ---"))
    ]
    assert len(lines) == sum(bool(number) for number, _, _ in rows(CHECKLIST))


def test_every_file_that_it_names_is_there() -> None:
    names = re.findall(r"`([\w./-]+(?:/|\.\w+))`", CHECKLIST)
    assert len(names) > 20
    assert [
        name for name in names if name not in ("train.log", "reports/README.md") and not (ROOT / name).exists()
    ] == []


def test_a_new_project_is_told_what_to_do(project: Path) -> None:
    found = states(project)
    assert found["1.1"].startswith("no commit")
    assert found["1.5"] == "python make_dataset.py"
    assert found["1.6"] == "no run has finished: python train.py"
    assert found["1.11"] == "python train.py 'logger=[csv,tensorboard]'"
    assert found["X.4"].startswith("no remote")
    assert found["1.2"] == "you"
    assert found["2.1"] == "to come"


def test_what_is_done_is_ticked(project: Path, trained: Path) -> None:
    shutil.copytree(trained, project / "runs/first")
    (project / "data/own").mkdir(parents=True)
    (project / "data/own/dataset.json").write_text("{}")
    text = project.joinpath("docs/project_description.md").read_text()
    project.joinpath("docs/project_description.md").write_text(re.sub(r"\*[^*]+\*", "word " * 70, text))
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com"]
    for arguments in (["init", "--quiet"], ["add", "README.md"], ["commit", "--quiet", "-m", "First"]):
        subprocess.run([*git, *arguments], cwd=project, check=True)
    found = states(project)
    assert {found[number] for number in ("P.1", "1.1", "1.4", "1.5", "1.6", "M14.1")} == {"done"}


@pytest.mark.parametrize(
    ("number", "break_it", "expected"),
    [
        (
            "P.1",
            lambda project: project.joinpath("docs/project_description.md").write_text("## Goal\n"),
            "nothing under",
        ),
        ("1.4", lambda project: shutil.rmtree(project / "tests"), "no tests"),
        ("1.8", lambda project: project.joinpath("requirements.txt").write_text("torch==2\n"), "datasets"),
        ("1.12", lambda project: project.joinpath("train.py").write_text("import os\n"), "ruff check finds something"),
        ("M10.1", lambda project: project.joinpath("Dockerfile").write_text(""), "no Dockerfile"),
    ],
)
def test_what_is_missing_is_named(project: Path, number: str, break_it, expected: str) -> None:
    break_it(project)
    assert expected in states(project)[number]


QUESTION = """### Question {number}

> **How did you do it?**
>
> Recommended answer length: 5-10 words.
>
> Answer:

{answer}

"""


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["--- question 1 fill here ---", "word " * 7, ""], "no answer to 1, 3"),
        (["word " * 5, "word " * 10, "word " * 8 + "\n\n![](figures/a.png)"], ""),
        (
            ["word " * 7, "word " * 11, "word " * 4],
            "question 2: 11 words, 5-10 words are asked for; question 3: 4 words",
        ),
    ],
)
def test_the_report_has_an_answer_of_the_right_length_to_each_question(tmp_path, answers, expected: str) -> None:
    file = tmp_path / "README.md"
    parts = [QUESTION.format(number=number, answer=answer) for number, answer in enumerate(answers, 1)]
    file.write_text("# Report\n\n## Group\n\n" + parts[0] + "## Code\n\n" + "".join(parts[1:]), encoding="utf-8")
    assert report(file).startswith(expected) and bool(report(file)) == bool(expected)
    assert report(tmp_path / "none.md").endswith("put the course's file there")
