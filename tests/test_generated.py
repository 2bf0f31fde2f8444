"""What else a bake has to be: in style without a license, installed by pip; and the template's folder unbaked."""

import shlex
import shutil
import sys
from pathlib import Path

import pytest
from conftest import NO_NETWORK, TEMPLATE, bake_as_user, git, path_without_uv, run, user_run

pytestmark = pytest.mark.slow


def test_a_bake_without_a_license_installs_and_is_in_style(template: Path, uv: Path, tmp_path: Path) -> None:
    project = bake_as_user(template, tmp_path / "été", license="none")
    user_run("make", "setup", project=project, uv=uv)
    user_run("ruff", "check", project=project)
    user_run("ruff", "format", "--check", project=project)


def test_plain_pip_installs_it_too(template: Path, uv: Path, tmp_path: Path) -> None:
    assert shutil.which("uv", path=path_without_uv()) is None
    project = bake_as_user(template, tmp_path / "pip only")
    # All but a few packages are there already: with pip it would be minutes.
    lines = (project / "requirements.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    later = ("antlr4-python3-runtime", "hydra-core", "numpy", "pytorch-lightning", "tqdm", "wandb")
    large = tmp_path / "large.txt"
    large.write_text("".join(line for line in lines if not line.startswith(later)), encoding="utf-8")
    run(sys.executable, "-m", "venv", project / ".venv", cwd=tmp_path)
    run(uv / "uv", "pip", "install", "-q", "--no-deps", "-r", large, "--python", project / ".venv", cwd=tmp_path)
    user_run("make", "setup", project=project, variables={"PIP_NO_COMPILE": "1"})
    help_text = user_run("python", "train.py", "--help", project=project)
    assert "model" in help_text


@pytest.fixture(scope="module")
def unbaked(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clone = tmp_path_factory.mktemp("unbaked") / "kindling"
    git("clone", "-q", str(template), str(clone), cwd=clone.parent)
    return clone / TEMPLATE.name


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check"])
def test_the_template_folder_is_in_style_unbaked(command: str, unbaked: Path) -> None:
    run(sys.executable, "-m", *shlex.split(command), cwd=unbaked)


def test_the_template_folder_passes_its_tests_unbaked(unbaked: Path) -> None:
    # All of them pass in a bake, see test_bake.py; here those that look at the project's own files.
    run(sys.executable, "-m", "pytest", "tests/test_readme.py", cwd=unbaked, environment=NO_NETWORK)
