"""One bake installed as its README says, and put through its own tests."""

import os
from pathlib import Path

import pytest
from conftest import git, user_run

pytestmark = pytest.mark.slow


def test_setup_installs_nothing_the_second_time(installed: Path, uv: Path) -> None:
    written = sorted((installed / ".venv").rglob("*.dist-info"))
    user_run("make", "setup", project=installed, uv=uv)
    assert sorted((installed / ".venv").rglob("*.dist-info")) == written


def test_its_own_tests_pass_without_network(installed: Path) -> None:
    # The other half of the cores is for the other tests of the template.
    half = {"PYTEST_XDIST_AUTO_NUM_WORKERS": str(max(1, (os.cpu_count() or 1) // 2))}
    user_run("make", "test", project=installed, network=False, variables=half)
    assert git("status", "--porcelain", cwd=installed) == ""
