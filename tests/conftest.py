"""The template as it would be cloned, and projects baked from it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "{{cookiecutter.project}}"

REAL_HOME = Path.home()

Bake = Callable[..., Path]

# Files that take longest: they begin first, so that no process has to wait for one of them at the end.
LONGEST = ("test_usage.py", "test_usage_extras.py", "test_dvc.py", "test_bake.py", "test_demo.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def run(
    *command: str | Path, cwd: Path, check: bool = True, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `command` as a new user on a machine without terminal would, and show what it wrote when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean_environment() | {"PWD": str(cwd)} | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if check and done.returncode:
        pytest.fail(
            f"{' '.join(map(str, command))} exited {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False
        )
    return done


def clean_environment() -> dict[str, str]:
    """Return this environment without what pytest, make, git, an activated environment or a container added to it."""
    # Without compiled files each process of a project would compile all that it imports.
    foreign = ("MAKE", "MFLAGS", "PYTEST", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "COV_", "COVERAGE")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)}


DEAD = "http://127.0.0.1:9"
NO_NETWORK = dict.fromkeys(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"], DEAD)


def git(*arguments: str, cwd: Path) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgSign=false"]
    return run("git", *identity, *arguments, cwd=cwd).stdout


def clone_files(folder: Path) -> list[str]:
    """Return the files under `folder` that a clone would hold once everything is committed."""
    listing = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=folder)
    return sorted(name for name in listing.split("\0") if name and (folder / name).exists())


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where nobody has configured git or cookiecutter."""
    folder = tmp_path_factory.mktemp("home")
    os.environ.setdefault("PYENV_ROOT", str(REAL_HOME / ".pyenv"))
    for key in [key for key in os.environ if key.startswith("GIT_")]:
        del os.environ[key]
    os.environ |= {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree as a clone would have it: one commit, nothing that git ignores."""
    folder = tmp_path_factory.mktemp("clone") / "kindling"
    for name in clone_files(ROOT):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    git("init", "-q", "-b", "main", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "-qm", "The template", cwd=folder)
    return folder


def cookiecutter(template: Path, output: Path, python: str | Path = sys.executable, **answers: str) -> list[str]:
    """Return the command that bakes `answers` into `output` without asking."""
    settings = [f"{key}={value}" for key, value in answers.items()]
    return [str(python), "-m", "cookiecutter", str(template), "--no-input", "--output-dir", str(output), *settings]


@pytest.fixture(scope="session")
def bake(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Bake:
    """Bake the given answers, once each, and return the project's folder."""
    baked: dict[tuple[tuple[str, str], ...], Path] = {}

    def bake_once(**answers: str) -> Path:
        key = tuple(sorted(answers.items()))
        if key not in baked:
            output = tmp_path_factory.mktemp("with space") / "été"
            run(*cookiecutter(template, output, **answers), cwd=output.parent)
            (baked[key],) = output.iterdir()
        return baked[key]

    return bake_once


def bake_as_user(template: Path, folder: Path, **answers: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    run(*cookiecutter(template, folder, **answers), cwd=folder)
    return folder / "first-spark"


@pytest.fixture(scope="session")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH that holds uv and nothing else, or nothing at all where there is no uv."""
    folder = tmp_path_factory.mktemp("uv")
    if found := shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"):
        (folder / "uv").symlink_to(found)
    return folder


def path_without_uv() -> str:
    """Return PATH without uv and without the environment of these tests."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    own = Path(sys.prefix) / "bin"
    return os.pathsep.join(str(folder) for folder in folders if folder != own and not (folder / "uv").exists())


def user_run(
    *command: str,
    project: Path,
    uv: Path | None = None,
    network: bool = True,
    variables: Mapping[str, str] | None = None,
) -> str:
    """Run `command` as the user of a baked project would, with the project's own environment active."""
    folders = [project / ".venv/bin", *([uv] if uv else []), path_without_uv()]
    environment = {"OMP_NUM_THREADS": "1"} | ({} if network else NO_NETWORK)
    environment |= {"HOME": str(REAL_HOME), "XDG_CONFIG_HOME": "", "GIT_CONFIG_GLOBAL": os.devnull, **(variables or {})}
    done = run(*command, cwd=project, environment=environment | {"PATH": os.pathsep.join(map(str, folders))})
    return done.stdout + done.stderr


def train_briefly(project: Path) -> None:
    """Let two epochs be the default, which are enough to see that a model learns."""
    file = project / "configs/trainer/default.yaml"
    text = file.read_text(encoding="utf-8")
    assert "max_epochs: 8" in text
    # Of another size: git and DVC together miss a change that keeps it in the second that git wrote the file.
    file.write_text(text.replace("max_epochs: 8", "max_epochs: 2 # briefly"), encoding="utf-8")


@pytest.fixture(scope="session")
def installed(template: Path, uv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = bake_as_user(template, tmp_path_factory.mktemp("user") / "my work")
    user_run("make", "setup", project=project, uv=uv)
    return project
