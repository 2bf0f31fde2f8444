"""What a bake's environment can do when more is installed: loggers of others, Slurm, Ray."""

import os
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, TEMPLATE, user_run

pytestmark = pytest.mark.slow


def install(project: Path, uv: Path, *packages: str) -> None:
    pip = (
        ["uv", "pip", "install", "--quiet", "--python", ".venv/bin/python"] if any(uv.iterdir()) else ["pip", "install"]
    )
    user_run(*pip, "-c", "requirements.txt", *packages, project=project, uv=uv)


def run_tests(installed: Path, *tests: str) -> str:
    """Run tests in the environment of a bake, on the engine as it lies in the template."""
    here = {"PYTHONPATH": str(TEMPLATE / "src") if str(ROOT) in tests[0] else "", "OMP_NUM_THREADS": "1"}
    command = ["python", "-m", "pytest", "-p", "no:cacheprovider", "-rs", *tests]
    return user_run(*command, project=installed, network=False, variables=here)


def test_the_loggers_that_are_extras_work_when_they_are_installed(installed: Path, uv: Path) -> None:
    install(installed, uv, "-e", ".[comet,mlflow]")
    for tests in ("tests/test_configs.py", str(ROOT / "tests/engine/loggers/test_loggers.py")):
        shown = run_tests(installed, tests, "-k", "comet or mlflow")
        assert "passed" in shown
        assert "skipped" not in shown


@pytest.mark.parametrize(("cluster", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_sweeps_run_on_a_cluster(cluster: str, package: str, installed: Path, uv: Path) -> None:
    install(installed, uv, package)
    tests = [str(ROOT / f"tests/engine/sweeps/test_{cluster}.py")]
    if cluster == "slurm":
        tests.append("--numprocesses=2")  # each brings up a Slurm of its own, and waits for it most of the time
    shown = run_tests(installed, *tests)
    if cluster == "ray" or (shutil.which("slurmctld") and os.geteuid() == 0):
        assert "passed" in shown and "skipped" not in shown
