"""The pages in docs/: their commands name choices, options and files that exist."""

import re
import shlex
from pathlib import Path

import pytest
from commands import ROOT
from kindling.cli.check import check_arguments

PAGES = [ROOT / "AGENTS.md", *sorted(ROOT.glob("docs/*.md"))]
FEWEST = 60  # commands in all pages


def commands(page: Path) -> list[list[str]]:
    """Return the project's commands that a page shows, as words."""
    lines = re.findall(r"(?m)(?:^|\| |`)(python \w+\.py[^`|\n]*)", page.read_text(encoding="utf-8"))
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_one_that_exists(page: Path) -> None:
    for name, *arguments in commands(page):
        assert (ROOT / name).is_file()
        check_arguments(ROOT / name, arguments)


def test_agents_are_given_targets_and_paths_that_exist() -> None:
    text = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z]+)\b", text))
    assert {"setup", "test", "check"} <= targets <= set(re.findall(r"(?m)^([a-z]+):", makefile))
    paths = set(re.findall(r"`([\w./]+(?:/|\.md))`", text)) - {"runs/", "data/"}
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert (ROOT / "CLAUDE.md").read_text(encoding="utf-8") == "@AGENTS.md\n"


def test_commands_are_found() -> None:
    assert sum(len(commands(page)) for page in PAGES) > FEWEST
