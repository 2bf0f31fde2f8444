"""One bake installed as its README says, and put through its own checks, its own tests and its README's commands."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import NO_NETWORK, REAL_HOME, TEMPLATE, cookiecutter, git, run
from workflows import combinations, load, shell_steps

pytestmark = pytest.mark.slow


def bake_as_user(template: Path, folder: Path, **answers: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    run(*cookiecutter(template, folder, **answers), cwd=folder)
    return folder / "first-spark"


@pytest.fixture(scope="module")
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
    environment = {} if network else dict(NO_NETWORK)
    environment |= {"HOME": str(REAL_HOME), "XDG_CONFIG_HOME": "", "GIT_CONFIG_GLOBAL": os.devnull, **(variables or {})}
    done = run(*command, cwd=project, environment=environment | {"PATH": os.pathsep.join(map(str, folders))})
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(template: Path, uv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = bake_as_user(template, tmp_path_factory.mktemp("user") / "my work")
    user_run("make", "setup", project=project, uv=uv)
    return project


def test_setup_installs_nothing_the_second_time(installed: Path, uv: Path) -> None:
    written = sorted((installed / ".venv").rglob("*.dist-info"))
    user_run("make", "setup", project=installed, uv=uv)
    assert sorted((installed / ".venv").rglob("*.dist-info")) == written


def test_its_checks_pass(installed: Path) -> None:
    user_run("make", "check", project=installed)


def test_its_own_tests_pass_without_network(installed: Path) -> None:
    user_run("make", "test", project=installed, network=False)
    assert git("status", "--porcelain", cwd=installed) == ""


def test_pre_commit_has_nothing_to_change(installed: Path) -> None:
    user_run("pre-commit", "run", "--all-files", project=installed)
    assert git("status", "--porcelain", cwd=installed) == ""


def readme_commands(readme: str) -> list[str]:
    """Return the blocks tagged bash, but for those under a comment `<!-- not run: reason -->`."""
    blocks = re.findall(r"(?:<!-- not run: (.+?) -->\n)?^```bash\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    return [block for reason, block in blocks if not reason]


def test_the_parser_of_the_readme_reads_what_it_should() -> None:
    readme = (
        "```bash\na\nb\n```\n<!-- not run: slow -->\n```bash\nc\n```\n```python\nd\n```\n```\ne\n```\n```bash\nf\n```\n"
    )
    assert readme_commands(readme) == ["a\nb\n", "f\n"]


def test_every_command_of_its_readme_works_as_printed(installed: Path, uv: Path) -> None:
    blocks = readme_commands((installed / "README.md").read_text(encoding="utf-8"))
    assert any("train.py" in block for block in blocks)
    for block in blocks:
        user_run("bash", "-euxo", "pipefail", "-c", block, project=installed, uv=uv)
    assert git("status", "--porcelain", cwd=installed) == ""


@pytest.fixture
def checked_out(installed: Path) -> Iterator[Path]:
    """The installed project, with its own first commit in `base/`, as the workflow on metrics has it."""
    git("clone", "-q", str(installed), "base", cwd=installed)
    yield installed
    shutil.rmtree(installed / "base")
    git("checkout", "-q", ".", cwd=installed)
    git("clean", "-fdq", cwd=installed)


# Where their own tests run, one file of them is enough: `make test` has run them all.
FEW_TESTS = "--cov-fail-under=0 -p no:cacheprovider tests/test_help.py"


@pytest.mark.parametrize(
    ("workflow", "job"), [("ci", "check"), ("ci", "test"), ("data", "dataset"), ("metrics", "measure")]
)
def test_every_shell_step_of_its_workflows_works(
    workflow: str, job: str, checked_out: Path, uv: Path, tmp_path: Path
) -> None:
    content = load(checked_out / f".github/workflows/{workflow}.yml")
    python = run(checked_out / ".venv/bin/python", "--version", cwd=tmp_path).stdout.split()[1].rpartition(".")[0]
    jobs = combinations(content["jobs"][job])
    (combination,) = [
        one for one in jobs if one.get("python", python) == python and "ubuntu" in one.get("system", "ubuntu")
    ]
    summary, output = tmp_path / "summary.md", tmp_path / "output"
    variables = {"VIRTUAL_ENV": ".venv", "PYTEST_ADDOPTS": FEW_TESTS}
    variables |= {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(output)}
    for step in shell_steps(checked_out, content, job, combination):
        assert not step.needs_github, step.name
        # An index of its own, which is out of reach for some machines.
        environment = {key: value for key, value in step.environment.items() if key != "UV_TORCH_BACKEND"}
        command = f"cd {shlex.quote(step.folder)}; {step.command}"
        user_run(
            "bash", "-exo", "pipefail", "-c", command, project=checked_out, uv=uv, variables=variables | environment
        )
    if (workflow, job) != ("ci", "check"):
        assert "| " in summary.read_text(encoding="utf-8")
    if workflow == "metrics":
        assert re.search(
            r"^table<<(\w+)\n.*\| test/accuracy \|.*\n\1\n$", output.read_text(encoding="utf-8"), re.DOTALL
        )


def test_a_bake_without_a_license_installs_and_is_in_style(template: Path, uv: Path, tmp_path: Path) -> None:
    project = bake_as_user(template, tmp_path / "été", license="none")
    user_run("make", "setup", project=project, uv=uv)
    user_run("ruff", "check", project=project)
    user_run("ruff", "format", "--check", project=project)


def test_plain_pip_installs_it_too(template: Path, tmp_path: Path) -> None:
    assert shutil.which("uv", path=path_without_uv()) is None
    project = bake_as_user(template, tmp_path / "pip only")
    user_run("make", "setup", project=project)
    help_text = user_run("python", "train.py", "--help", project=project)
    assert "model" in help_text


def test_the_loggers_that_are_extras_work_when_they_are_installed(installed: Path, uv: Path) -> None:
    pip = (
        ["uv", "pip", "install", "--quiet", "--python", ".venv/bin/python"] if any(uv.iterdir()) else ["pip", "install"]
    )
    user_run(*pip, "-c", "requirements.txt", "-e", ".[comet,mlflow]", project=installed, uv=uv)
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
    pip = (
        ["uv", "pip", "install", "--quiet", "--python", ".venv/bin/python"] if any(uv.iterdir()) else ["pip", "install"]
    )
    user_run(*pip, "-c", "requirements.txt", package, project=project, uv=uv)
    here = {"PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1"}
    tests = ["-p", "no:cacheprovider", "-rs", f"tests/test_{cluster}.py"]
    shown = user_run("python", "-m", "pytest", *tests, project=project, variables=here)
    if cluster == "ray" or (shutil.which("slurmctld") and os.geteuid() == 0):
        assert "passed" in shown and "skipped" not in shown


@pytest.fixture(scope="module")
def unbaked(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clone = tmp_path_factory.mktemp("unbaked") / "kindling"
    git("clone", "-q", str(template), str(clone), cwd=clone.parent)
    return clone / TEMPLATE.name


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check"])
def test_the_template_folder_is_in_style_unbaked(command: str, unbaked: Path) -> None:
    run(sys.executable, "-m", *shlex.split(command), cwd=unbaked)


def test_the_template_folder_passes_its_tests_unbaked(unbaked: Path) -> None:
    # All of them pass in a bake, above; here those that look at the project's own files, and train.
    names = ("checklist", "dvc", "help", "readme", "start")
    files = [f"tests/test_{name}.py" for name in names]
    run(sys.executable, "-m", "pytest", "--numprocesses=2", *files, cwd=unbaked, environment=NO_NETWORK)
