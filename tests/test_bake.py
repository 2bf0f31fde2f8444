"""One bake installed as its README says, and put through its own tests."""

from pathlib import Path

import pytest
from conftest import git, user_run

pytestmark = pytest.mark.slow


def test_setup_installs_nothing_the_second_time(installed: Path, uv: Path) -> None:
    written = sorted((installed / ".venv").rglob("*.dist-info"))
    user_run("make", "setup", project=installed, uv=uv)
    assert sorted((installed / ".venv").rglob("*.dist-info")) == written


def test_its_own_tests_pass_without_network(installed: Path) -> None:
    user_run("make", "test", project=installed, network=False)
    assert git("status", "--porcelain", cwd=installed) == ""
