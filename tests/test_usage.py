"""An installed bake in use: the commands of its README, the steps of its workflows."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import git, run, train_briefly, user_run
from workflows import combinations, load, shell_steps

pytestmark = pytest.mark.slow


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
    train_briefly(installed)  # test_demo.py sees that it learns
    try:
        for block in blocks:
            user_run("bash", "-euxo", "pipefail", "-c", block, project=installed, uv=uv)
        assert git("status", "--porcelain", cwd=installed) == " M configs/trainer/default.yaml\n"
    finally:
        git("reset", "-q", "--hard", cwd=installed)


@pytest.fixture
def checked_out(installed: Path) -> Iterator[Path]:
    """The installed project, with its own first commit in `base/`, as the workflow on metrics has it."""
    git("clone", "-q", str(installed), "base", cwd=installed)
    try:
        train_briefly(installed)
        train_briefly(installed / "base")
        yield installed
    finally:
        shutil.rmtree(installed / "base")
        git("reset", "-q", "--hard", cwd=installed)  # also what DVC has staged
        git("clean", "-fdq", cwd=installed)


# Where their own tests run, one file of them is enough: test_bake.py runs them all.
FEW_TESTS = "--cov-fail-under=0 -p no:cacheprovider tests/test_tasks.py"


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
    variables = {"VIRTUAL_ENV": ".venv", "PYTEST_ADDOPTS": FEW_TESTS, "PYTEST_XDIST_AUTO_NUM_WORKERS": "1"}
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


def test_pre_commit_has_nothing_to_change(installed: Path) -> None:
    user_run("pre-commit", "run", "--all-files", project=installed)
    assert git("status", "--porcelain", cwd=installed) == ""
