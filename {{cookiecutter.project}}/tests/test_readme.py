"""The README: commands that exist, links that lead somewhere."""

import re
import shlex

import pytest
from choices import CONFIGS, ROOT

from kindling.cli.check import check_arguments

README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    """Return the project's commands in a page, but those of what it says how to add, and those with a placeholder."""
    there = re.sub(r"(?ms)^## Add .*?(?=^## |\Z)", "", text)
    found = re.findall(r"(?m)(?:^|\| |`)(python \w+\.py[^`|\n]*)", there)
    return sorted({line for line in found if not re.search(r"<|\$|\.\.\.", line)})


@pytest.mark.parametrize("line", commands(README))
def test_every_command_is_one_that_exists(line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[1:]
    assert (ROOT / name).is_file()
    if (CONFIGS / name).with_suffix(".yaml").is_file():  # others take what they like
        check_arguments(ROOT / name, arguments)


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#\s]+)", README)
    there = [link.startswith(("http", "mailto:")) or (ROOT / link).exists() for link in links]
    assert [link for link, leads in zip(links, there, strict=True) if not leads] == []
