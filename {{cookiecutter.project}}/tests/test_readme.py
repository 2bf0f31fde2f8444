"""The README and the pages: commands that exist, links that lead somewhere."""

import re
import shlex

import pytest
from choices import ROOT

from kindling.cli.check import check_arguments

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]


def commands(text: str) -> list[str]:
    """Return the project's commands that a page shows, but those of a dataset or a model that it tells how to add."""
    return re.findall(r"(?m)(?:^|\| |`)(python \w+\.py[^`|\n]*)", text.partition("\n## Add a ")[0])


LINES = sorted({line for page in PAGES for line in commands(page.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("line", LINES)
def test_every_command_is_one_that_exists(line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[1:]
    assert (ROOT / name).is_file()
    check_arguments(ROOT / name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page) -> None:
    for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert link.startswith(("http", "mailto:")) or (page.parent / link).exists(), link
