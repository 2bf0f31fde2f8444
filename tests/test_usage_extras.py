"""What a bake can do when more is installed: loggers of others, Slurm, Ray."""

import os
import shutil
from pathlib import Path

import pytest
from conftest import bake_as_user, user_run

pytestmark = pytest.mark.slow


def install(project: Path, uv: Path, *packages: str) -> None:
    pip = (
        ["uv", "pip", "install", "--quiet", "--python", ".venv/bin/python"] if any(uv.iterdir()) else ["pip", "install"]
    )
    user_run(*pip, "-c", "requirements.txt", *packages, project=project, uv=uv)


def test_the_loggers_that_are_extras_work_when_they_are_installed(installed: Path, uv: Path) -> None:
    install(installed, uv, "-e", ".[comet,mlflow]")
    tests = ["tests/test_loggers.py", "tests/test_configs.py", "-k", "comet or mlflow", "-rs"]
    shown = user_run("python", "-m", "pytest", *tests, project=installed, network=False)
    assert "passed" in shown
    assert "skipped" not in shown


@pytest.mark.parametrize(("cluster", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_sweeps_run_on_a_cluster_where_one_was_chosen(
    cluster: str, package: str, template: Path, installed: Path, uv: Path, tmp_path: Path
) -> None:
    project = bake_as_user(template, tmp_path, cluster=cluster)
    (project / ".venv").symlink_to(installed / ".venv")
    install(project, uv, package)
    here = {"PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1"}
    tests = ["-p", "no:cacheprovider", "-rs", f"tests/test_{cluster}.py"]
    if cluster == "slurm":
        tests.append("--numprocesses=2")  # each brings up a Slurm of its own, and waits for it most of the time
    shown = user_run("python", "-m", "pytest", *tests, project=project, variables=here)
    if cluster == "ray" or (shutil.which("slurmctld") and os.geteuid() == 0):
        assert "passed" in shown and "skipped" not in shown
