"""What a baked project says of its engine, and how a newer template comes into it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TEMPLATE, Bake, git, run

ENGINE = "src/kindling/"


def record(project: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((project / ".kindling.json").read_text(encoding="utf-8"))
    return content


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def commit(folder: Path, message: str) -> str:
    git("add", "--all", cwd=folder)
    git("commit", "-qm", message, cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder).strip()


def module(name: str, project: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the project's engine as its Makefile does."""
    environment = {"PYTHONPATH": str(project / "src"), "PYTHONDONTWRITEBYTECODE": "1"} | variables
    command = [sys.executable, "-m", f"kindling.cli.{name}", *options]
    return run(*command, cwd=project, environment=environment, check=False)


def update(project: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return module("update", project, *options, **variables)


def refused(project: Path, done: subprocess.CompletedProcess[str]) -> str:
    """Check that a command was refused with one line and changed nothing, and return the line."""
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert git("stash", "list", cwd=project) == ""
    return line


@pytest.fixture
def upstream(template: Path, tmp_path: Path) -> Path:
    """A clone of the template, to be changed."""
    git("clone", "-q", str(template), str(tmp_path / "kindling"), cwd=tmp_path)
    return tmp_path / "kindling"


@pytest.fixture
def project(upstream: Path, bake: Bake, tmp_path: Path) -> Path:
    """A project of that clone whose owner has edited a README, a config and a module, and added files."""
    answers = {"project_name": "Été = 2", "project": "my-etude", "package": "etude", "license": "none"}
    folder = tmp_path / "my work" / "my-etude"
    shutil.copytree(bake(cluster="slurm", logger="csv", **answers), folder)
    known = record(folder) | {"template": str(upstream)}
    text = json.dumps(known, indent=2, ensure_ascii=False)
    (folder / ".kindling.json").write_text(f"{text}\n", encoding="utf-8")
    append(folder / "README.md", "\nA note of the owner's.\n")
    change(folder / "configs/trainer/default.yaml", "max_epochs: 8", "max_epochs: 80")
    append(folder / "src/etude/tasks.py", "# The owner's loss.\n")
    (folder / "src/etude/models/mine.py").write_text('"""A model of the owner\'s."""\n', encoding="utf-8")
    (folder / "notes.txt").write_text("Ideas.\n", encoding="utf-8")
    commit(folder, "The owner's work")
    return folder


def improve(upstream: Path) -> str:
    """Change the template elsewhere in the same files, add and remove a file, change the engine."""
    folder = upstream / TEMPLATE.name
    change(folder / "README.md", "\n", "\n\nNews from my-project.\n")
    append(folder / "configs/trainer/default.yaml", "# News for my_project\n")
    change(folder / "src/my_project/tasks.py", '"""', '"""News: ')
    (folder / "src/my_project/models/news.py").write_text('"""News from my_project."""\n', encoding="utf-8")
    (folder / "docs/comparing.md").unlink()
    append(folder / "src/kindling/seeding.py", "# A newer engine.\n")
    (folder / "src/kindling/news.py").write_text('"""New in the engine."""\n', encoding="utf-8")
    (folder / "src/kindling/loggers/mlflow.py").unlink()
    return commit(upstream, "A newer template")


def test_both_sides_edits_survive(project: Path, upstream: Path) -> None:
    newest = improve(upstream)
    done = update(project)
    assert (done.returncode, done.stderr) == (0, "")
    first, *_ = done.stdout.splitlines()
    assert first.endswith(f" -> {newest[:7]}: 9 files changed, conflicts: 0.")

    readme = (project / "README.md").read_text(encoding="utf-8")
    assert "News from my-etude.\n" in readme and readme.endswith("A note of the owner's.\n")
    config = (project / "configs/trainer/default.yaml").read_text(encoding="utf-8")
    assert "max_epochs: 80" in config and config.endswith("# News for etude\n")
    tasks = (project / "src/etude/tasks.py").read_text(encoding="utf-8")
    assert tasks.startswith('"""News: ') and tasks.endswith("# The owner's loss.\n")
    assert (project / "src/etude/models/news.py").read_text(encoding="utf-8") == '"""News from etude."""\n'
    assert (project / "src/etude/models/mine.py").exists() and (project / "notes.txt").exists()
    assert not (project / "docs/comparing.md").exists()
    assert not (project / "LICENSE").exists() and (project / "docs/slurm.md").exists()

    theirs, ours = upstream / TEMPLATE.name / ENGINE, project / ENGINE
    names = git("ls-files", ".", cwd=theirs).split()
    assert git("ls-files", ".", cwd=ours).split() == names and "news.py" in names
    assert [name for name in names if (theirs / name).read_bytes() != (ours / name).read_bytes()] == []

    assert record(project)["commit"] == newest
    commit(project, "Update")
    assert "as Kindling delivered it" in module("engine", project).stdout
    assert update(project).stdout == (
        f"Nothing to do: this project is from Kindling {newest[:7]}, and so is the template.\n"
    )


def test_the_second_update_begins_where_the_first_ended(project: Path, upstream: Path) -> None:
    improve(upstream)
    update(project)
    commit(project, "Update")
    append(upstream / TEMPLATE.name / "configs/trainer/default.yaml", "# More news\n")
    commit(upstream, "Another")
    assert update(project).returncode == 0
    changed = git("diff", "--cached", "--name-only", cwd=project).split()
    assert changed == [".kindling.json", "configs/trainer/default.yaml"]


def test_a_version_and_another_address_can_be_asked_for(project: Path, upstream: Path, tmp_path: Path) -> None:
    tagged = improve(upstream)
    git("tag", "v2", cwd=upstream)
    append(upstream / TEMPLATE.name / "params.yaml", "# Too new\n")
    commit(upstream, "Newer still")
    git("clone", "-q", "--bare", str(upstream), str(tmp_path / "moved.git"), cwd=tmp_path)
    shutil.rmtree(upstream)
    assert "git clone failed" in refused(project, update(project))
    done = update(project, "--template=../../moved.git", "--version=v2")
    assert done.returncode == 0, done.stderr
    assert (record(project)["commit"], record(project)["template"]) == (tagged, str(tmp_path / "moved.git"))
    assert "Too new" not in (project / "params.yaml").read_text(encoding="utf-8")
    git("reset", "-q", "--hard", cwd=project)
    line = refused(project, update(project, "--template=../../moved.git", "--version=v3"))
    assert line == "error: the template has no version v3: give a tag, a branch or a commit of it"


def test_a_conflict_is_marked_and_named(project: Path, upstream: Path) -> None:
    folder = upstream / TEMPLATE.name
    change(folder / "configs/trainer/default.yaml", "max_epochs: 8", "max_epochs: 9")
    (folder / "src/my_project/tasks.py").unlink()
    append(folder / "params.yaml", "# News\n")
    commit(upstream, "Against the owner")
    done = update(project)
    assert (done.returncode, done.stderr) == (1, "")
    assert [line for line in done.stdout.splitlines() if line.startswith("Conflict: ")] == [
        "Conflict: configs/trainer/default.yaml: both changed the same lines: choose between <<<<<<< and >>>>>>>",
        "Conflict: src/etude/tasks.py: Kindling removed it, and you had changed it: yours is kept",
    ]
    text = (project / "configs/trainer/default.yaml").read_text(encoding="utf-8")
    assert "<<<<<<<" in text and "max_epochs: 80" in text and "max_epochs: 9\n" in text
    assert (project / "src/etude/tasks.py").read_text(encoding="utf-8").endswith("# The owner's loss.\n")
    assert (project / "params.yaml").read_text(encoding="utf-8").endswith("# News\n")
    git("reset", "-q", "--hard", cwd=project)  # as the last line says
    assert git("status", "--porcelain", cwd=project) == ""


@pytest.mark.parametrize("file", ["README.md", "new file.txt"])
def test_what_is_not_committed_is_refused(file: str, project: Path, upstream: Path) -> None:
    improve(upstream)
    append(project / file, "In the middle of something.\n")
    assert f"not committed: {file}; " in refused(project, update(project))
    assert (project / file).read_text(encoding="utf-8").endswith("In the middle of something.\n")


def test_an_edit_in_the_engine_is_told_before_it_is_replaced(project: Path, upstream: Path) -> None:
    improve(upstream)
    append(project / ENGINE / "errors.py", "# Mine\n")
    (project / ENGINE / "mine.py").write_text('"""Mine."""\n', encoding="utf-8")
    (project / ENGINE / "exits.py").unlink(missing_ok=True)
    (project / ENGINE / "files.py").unlink()
    commit(project, "The engine, edited")
    said = module("engine", project)
    assert said.returncode == 0 and len(said.stdout.splitlines()) == 1
    for words in ("errors.py (changed)", "files.py (removed)", "mine.py (added)", "make update FORCE=1"):
        assert words in said.stdout

    line = refused(project, update(project))
    assert "errors.py (changed)" in line and "FORCE=1" in line
    assert git("status", "--porcelain", cwd=project) == ""
    done = update(project, "--force")
    assert done.returncode == 0 and "your edits are in git show HEAD:src/kindling/" in done.stdout
    assert not (project / ENGINE / "mine.py").exists()
    assert (project / ENGINE / "files.py").exists()
    assert git("show", "HEAD:src/kindling/mine.py", cwd=project) == '"""Mine."""\n'


def test_force_brings_the_engine_back_where_nothing_is_newer(project: Path) -> None:
    append(project / ENGINE / "errors.py", "# Mine\n")
    commit(project, "The engine, edited")
    assert update(project, "--force").returncode == 0
    assert git("diff", "--cached", "--name-only", cwd=project).split() == ["src/kindling/errors.py"]
    assert "as Kindling delivered it" in module("engine", project).stdout


def test_a_file_outside_git_is_not_written_over(project: Path, upstream: Path) -> None:
    (project / ".git/info").mkdir()
    append(project / ".git/info/exclude", "/docs/plans.md\n")
    own = project / "docs/plans.md"
    own.write_text("The owner's.\n", encoding="utf-8")
    (upstream / TEMPLATE.name / "docs/plans.md").write_text("Kindling's.\n", encoding="utf-8")
    commit(upstream, "A file that the owner has, too")
    line = refused(project, update(project))
    assert "docs/plans.md" in line and own.read_text(encoding="utf-8") == "The owner's.\n"
    assert git("status", "--porcelain", cwd=project) == ""


def test_a_template_that_cannot_be_baked_changes_nothing(project: Path, upstream: Path) -> None:
    append(upstream / TEMPLATE.name / "README.md", "{{ cookiecutter.what }}\n")
    commit(upstream, "A broken template")
    line = refused(project, update(project))
    assert "can't be baked with the answers in .kindling.json: " in line
    assert git("status", "--porcelain", "--ignored", cwd=project) == ""


def test_a_failure_in_the_middle_gives_the_project_back(project: Path, upstream: Path) -> None:
    improve(upstream)
    git_path = shutil.which("git")
    fake = project.parent / "bin" / "git"  # a git that fails at the last step
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\ncase "$*" in *" add --all -- "*.kindling.json) exit 1 ;; esac\nexec {git_path} "$@"\n')
    fake.chmod(0o755)
    path = os.pathsep.join([str(fake.parent), os.environ["PATH"]])
    assert "git add failed" in refused(project, update(project, PATH=path))
    assert git("status", "--porcelain", cwd=project) == ""
    assert not (project / ENGINE / "news.py").exists()
    assert update(project).returncode == 0


def test_a_project_in_a_folder_of_a_larger_repository_is_updated(project: Path, upstream: Path, tmp_path: Path) -> None:
    top = tmp_path / "all of it"
    shutil.copytree(project, top / "one" / "project", ignore=shutil.ignore_patterns(".git"))
    append(top / "README.md", "Of the whole.\n")
    git("init", "-q", "-b", "main", cwd=top)
    commit(top, "Everything")
    improve(upstream)
    inner = top / "one" / "project"
    assert update(inner).returncode == 0
    assert (inner / "src/etude/models/news.py").exists() and (inner / ENGINE / "news.py").exists()
    assert (top / "README.md").read_text(encoding="utf-8") == "Of the whole.\n"
    assert not (top / "src").exists()


def test_without_cookiecutter_one_line_says_what_to_install(project: Path, upstream: Path, tmp_path: Path) -> None:
    improve(upstream)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").symlink_to(str(shutil.which("git")))
    code = "import importlib.util as i; i.find_spec = lambda name: None; import kindling.cli.update as u; u.main()"
    environment = {"PYTHONPATH": str(project / "src"), "PYTHONDONTWRITEBYTECODE": "1", "PATH": str(tools)}
    done = run(sys.executable, "-c", code, cwd=project, environment=environment, check=False)
    assert "pip install cookiecutter" in refused(project, done)


@pytest.mark.parametrize(("record", "words"), [(None, "can't be read"), ('{"template": "x"}', "has no commit and no")])
def test_a_project_that_does_not_know_its_template_says_so(record: str | None, words: str, project: Path) -> None:
    path = project / ".kindling.json"
    path.unlink() if record is None else path.write_text(record, encoding="utf-8")
    commit(project, "Another record")
    assert words in refused(project, update(project))
    if record is None:
        said = module("engine", project)
        assert (said.returncode, said.stdout) == (0, "The engine: there is no .kindling.json to compare it with.\n")


def test_a_bake_remembers_where_it_came_from(template: Path, bake: Bake) -> None:
    project = bake(package="zebras_with_quite_a_long_name")
    known = record(project)
    assert known["template"] == str(template)
    assert known["commit"] == git("rev-parse", "HEAD", cwd=template).strip()
    answers = known["answers"]
    assert isinstance(answers, dict) and answers["package"] == "zebras_with_quite_a_long_name"
    assert not [name for name in answers if name.startswith("_")]
    assert module("engine", project).stdout == (
        f"The engine is as Kindling delivered it ({str(known['commit'])[:7]}).\n"
    )
