"""Say which rows of CHECKLIST.md are ticked.

python -m kindling.cli.checklist      or: make checklist
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..project import own_packages

HEADINGS = ["Goal", "Framework", "How the framework is used", "Data", "Models"]
WORDS = (300, 600)
REPORT = Path("reports/README.md")

Check = Callable[[], str]  # what is missing, or nothing


def exist(*paths: str) -> Check:
    """Check that each path exists and no file is empty."""

    def check() -> str:
        missing = [path for path in paths if not Path(path).exists() or (Path(path).is_file() and not size(path))]
        return f"no {', '.join(missing)}" if missing else ""

    return check


def made(pattern: str, remedy: str) -> Check:
    """Check that a command has made a file."""
    return lambda: "" if next(Path().glob(pattern), None) else remedy


def runs(*command: str, remedy: str) -> Check:
    """Check that a command succeeds."""
    return lambda: "" if output(*command) is not None else remedy


def size(path: str) -> int:
    """Return the size of the file in bytes."""
    return Path(path).stat().st_size


def output(*command: str) -> str | None:
    """Return what the command prints, or None if it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def description() -> str:
    """Check the project's description: five headings, each with a text of your own, and its length."""
    text = Path("docs/project_description.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    if missing := [name for name in HEADINGS if not sections.get(name, "").strip()]:
        return f"nothing under {', '.join(missing)}"
    if left := [name for name in HEADINGS if re.search(r"\*[^*]+\?[^*]*\*", sections[name])]:
        return f"questions in italics are left under {', '.join(left)}"
    count = len(" ".join(sections.values()).split())
    return "" if WORDS[0] <= count <= WORDS[1] else f"{count} words, {WORDS[0]} to {WORDS[1]} are asked for"


def report(file: Path = REPORT) -> str:
    """Check the course's report: each question answered, in as many words as it asks for."""
    if not file.is_file():
        return f"no {file}: put the course's file there"
    parts = re.split(r"^### Question (\d+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    empty, wrong = [], []
    for number, text in zip(parts[1::2], parts[2::2], strict=True):
        section = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0]
        answer = " ".join(line for line in section.splitlines()[1:] if not line.startswith((">", "!["))).strip()
        limits = re.search(r"(\d+)\s*-\s*(\d+) words", section)
        if not answer or re.search(r"---.*fill here.*---", answer):
            empty.append(number)
        elif limits and not int(limits[1]) <= len(answer.split()) <= int(limits[2]):
            wrong.append(f"question {number}: {len(answer.split())} words, {limits[0]} are asked for")
    return f"no answer to {', '.join(empty)}" if empty else "; ".join(wrong[:2])


def requirements() -> str:
    """Check that every dependency in pyproject.toml is pinned in requirements.txt."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {name(line) for line in Path("requirements.txt").read_text(encoding="utf-8").splitlines()}
    missing = sorted({name(line) for line in project["dependencies"]} - pinned)
    return f"{', '.join(missing)} not in requirements.txt: make requirements" if missing else ""


def name(requirement: str) -> str:
    """Return the name of the package in a line such as `torch>=2.9`."""
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-")


def coverage() -> str:
    """Check that the tests were run and reached the share of the lines that pyproject.toml asks for."""
    if not Path(".coverage").exists():
        return "make coverage"
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]["report"]
    covered = output(sys.executable, "-m", "coverage", "report", "--format=total", "--fail-under=0")
    if covered is None or float(covered) < settings["fail_under"]:
        return f"{covered or 0} % of the lines are covered, pyproject.toml asks for {settings['fail_under']}"
    return ""


def practices() -> str:
    """Check the code's style, and that git checks it before each commit."""
    if output(sys.executable, "-m", "ruff", "check") is None:
        return "ruff check finds something: make check"
    hooks = output("git", "rev-parse", "--git-path", "hooks/pre-commit")
    return "" if hooks and Path(hooks).exists() else "pre-commit install"


def pushed() -> str:
    """Check that a remote has every commit of this branch."""
    if not output("git", "remote"):
        return "no remote: gh repo create --source . --push"
    ahead = output("git", "rev-list", "--count", "@{upstream}..HEAD")
    if ahead is None:
        return "this branch is not on the remote: git push -u origin HEAD"
    return f"{ahead} commits are not on the remote: git push" if ahead != "0" else ""


def continuous() -> str:
    """Check that there is a workflow, and a remote that runs it."""
    return exist(".github/workflows/ci.yml")() or ("" if output("git", "remote") else "no remote runs it yet: git push")


committed = runs("git", "rev-parse", "HEAD", remedy="no commit: git init && git add --all && git commit")
environment = made(".venv/pyvenv.cfg", "make setup")
model = made("runs/**/metrics.json", "no run has finished: python train.py")
profiled = made("runs/**/fit-profile*.txt", "python train.py debug=profile")
package = next(iter(own_packages(Path())), "")
lightning = exist(f"src/{package}/tasks.py", f"src/{package}/data")
tracked = made("runs/**/wandb", "python train.py 'logger=[csv,wandb]'")

CHECKS: dict[str, Check] = {
    "P.1": description,
    "P.3": report,
    "M2": lambda: environment() or requirements(),
    "M6": lambda: made("data/*/dataset.json", "python make_dataset.py")() or model(),
    "M7": practices,
    "M8": made("dvc.lock", "dvc repro, then commit dvc.lock"),
    "M9": exist("train.py", "evaluate.py", "predict.py", "make_dataset.py", "compare.py", "Makefile"),
    "M10.1": exist("Dockerfile"),
    "M11": exist("configs/train.yaml", "configs/experiment"),
    "M13": profiled,
    "M14.1": made("runs/**/train.log", "python train.py"),
    "M14.2": tracked,
    "M14.3": made("runs/**/results.csv", "python train.py -m optimizer.lr=1e-3,3e-3"),
    "M15": lightning,
    "M16.1": exist("tests/test_data.py"),
    "M16.2": exist("tests/test_train.py", "tests/test_configs.py"),
    "M16.3": coverage,
    "M17.1": continuous,
    "M17.2": continuous,
    "M18": practices,
    "M19.1": exist(".github/workflows/data.yml"),
    "M21.2": exist(".github/workflows/container.yml"),
    "M32.1": exist("README.md", "docs"),
    "X.4": pushed,
    "1.1": committed,
    "1.3": environment,
    "1.4": exist("configs/train.yaml", f"src/{package}", "tests", "README.md"),
    "1.5": made("data/*/dataset.json", "python make_dataset.py"),
    "1.6": model,
    "1.7": profiled,
    "1.8": requirements,
    "1.9": coverage,
    "1.10": continuous,
    "1.11": lambda: tracked() and made("runs/**/tensorboard", "python train.py 'logger=[csv,tensorboard]'")(),
    "1.12": practices,
    "2.3": lightning,
}


def rows(text: str) -> list[tuple[str, str, str]]:
    """Return the number, the item and who ticks it of each row in CHECKLIST.md; of a heading, empty strings and it."""
    found = re.findall(r"^## (.+)$|^\| ([\w.-]+) \| (.+?) \|.*\| (machine|you|to come) \|$", text, re.MULTILINE)
    return [(number, (item or heading).replace("`", ""), who) for heading, number, item, who in found]


def main() -> None:
    """Print a table of all rows, and how many are left."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "item", "state"):
        table.add_column(column)
    missing = 0
    for number, item, who in rows(Path("CHECKLIST.md").read_text(encoding="utf-8")):
        wrong = CHECKS[number]() if who == "machine" else ""
        missing += bool(wrong)
        style = {"machine": "yellow" if wrong else "green", "": "bold"}.get(who)
        table.add_row(number, escape(item), escape(wrong or {"machine": "done"}.get(who, who)), style=style)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    print(f"{missing} to do. Rows marked you are yours to judge; CHECKLIST.md says where everything is.")


if __name__ == "__main__":
    main()
