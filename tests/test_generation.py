"""What a bake writes, for every answer and the pairs that interact."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import post_gen_project as post
import pytest
import yaml
from conftest import NO_NETWORK, REAL_HOME, ROOT, TEMPLATE, Bake, clone_files, cookiecutter, git, run

LICENSES = ["MIT", "BSD-3-Clause", "Apache-2.0", "none"]
PYTHONS = ["3.11", "3.12", "3.13"]
ANSWERS: list[dict[str, str]] = [
    {},
    *({"license": license, "python_version": python} for license in LICENSES for python in PYTHONS),
    {"project_name": "Été 2", "license": "none"},
    {"project": "Spark_1.5", "package": "a"},  # short, long and last in the alphabet: formatting and import order hold
    {"logger": "wandb"},
    {"cluster": "slurm", "logger": "comet"},
    {"cluster": "ray", "license": "none"},
    {"logger": "csv", "members": "ada @lab/team-a  grace"},
    {"package": "zebras_with_quite_a_long_name"},
]
RENDERED = [
    ".devcontainer/devcontainer.json",
    ".python-version",
    "CITATION.cff",
    "CODEOWNERS",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "pyproject.toml",
]
TABLE = {path for paths in post.OPTIONAL.values() for path in paths}


def describe(answers: dict[str, str]) -> str:
    return " ".join(answers.values()) or "defaults"


@pytest.fixture(params=ANSWERS, ids=describe)
def answers(request: pytest.FixtureRequest) -> dict[str, str]:
    return dict(request.param)


@pytest.fixture
def project(answers: dict[str, str], bake: Bake) -> Path:
    return bake(**answers)


def files(project: Path) -> list[str]:
    return sorted(git("ls-files", "-z", cwd=project).rstrip("\0").split("\0"))


def texts(project: Path) -> dict[str, str]:
    contents = {name: (project / name).read_bytes() for name in files(project)}
    return {name: content.decode() for name, content in contents.items() if b"\0" not in content}


def deleted(answers: dict[str, str]) -> set[str]:
    """Return the paths of the table that these answers do not need, from the table alone."""
    defaults = {"license": "MIT", "modality": "text", "cluster": "none"}
    chosen = {*(defaults | answers).values(), *({"members"} & answers.keys())}
    return TABLE - {path for answer in chosen & post.OPTIONAL.keys() for path in post.OPTIONAL[answer]}


def test_only_the_files_that_need_it_are_rendered() -> None:
    patterns = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["_copy_without_render"]
    rendered = [
        name for name in clone_files(TEMPLATE) if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    ]
    assert [name for name in rendered if name not in RENDERED] == []


def test_a_bake_holds_exactly_the_chosen_files(answers: dict[str, str], project: Path) -> None:
    gone = deleted(answers)
    chosen = [
        name for name in clone_files(TEMPLATE) if name not in gone and not any(name.startswith(f"{p}/") for p in gone)
    ]
    package = answers.get("package") or {"Été 2": "ete_2"}.get(answers.get("project_name", ""), "first_spark")
    expected = [name if name.startswith("src/kindling/") else name.replace("my_project", package) for name in chosen]
    assert files(project) == sorted([*expected, ".kindling.json"])
    assert sorted(
        str(path.relative_to(project)) for path in project.rglob("*") if not path.is_dir() and ".git" not in path.parts
    ) == files(project)


def test_nothing_is_left_unrendered(project: Path) -> None:
    left = re.compile(r"(?<!\$)\{\{|\{%|\{#|#%|cookiecutter\.")
    own = {name: text for name, text in texts(project).items() if not name.startswith("src/kindling/")}
    assert {name: found for name, text in own.items() if (found := left.findall(text))} == {}


def test_no_placeholder_is_left(project: Path) -> None:
    placeholder = re.compile("my[_-]project", re.IGNORECASE)
    assert {name: found for name, text in texts(project).items() if (found := placeholder.findall(name + text))} == {}


def engine(project: Path) -> dict[str, bytes]:
    """Return the contents of each file of the engine, as git has them."""
    folder = project / "src/kindling"
    return {name: (folder / name).read_bytes() for name in clone_files(folder)}


@pytest.mark.parametrize(
    "answers",
    [
        {"logger": "wandb", "cluster": "slurm", "license": "none", "package": "a", "project": "Spark_1.5"},
        {"logger": "csv", "cluster": "ray", "license": "Apache-2.0", "package": "zebras_with_quite_a_long_name"},
        {"logger": "comet", "cluster": "none", "license": "MIT", "project_name": "Été 2", "members": "ada @lab/a"},
    ],
    ids=describe,
)
def test_the_engine_is_the_same_in_every_bake(answers: dict[str, str], bake: Bake) -> None:
    baked, delivered = engine(bake(**answers)), engine(TEMPLATE)
    assert baked.keys() == delivered.keys()
    assert [name for name in baked if baked[name] != delivered[name]] == []
    assert len(baked) > 80


def test_the_engine_does_not_know_the_users_package() -> None:
    assert [name for name, content in engine(TEMPLATE).items() if re.search(rb"my[_-]project", content)] == []


def test_every_data_file_parses(project: Path) -> None:
    parsers: dict[str, Callable[[str], object]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".ipynb": json.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
    }
    parsed = 0
    for name, text in texts(project).items():
        if parse := parsers.get(Path(name).suffix):
            parse(text)
            parsed += 1
    assert parsed > 20


def test_ruff_finds_nothing_to_say(project: Path) -> None:
    run(sys.executable, "-m", "ruff", "check", "--no-cache", ".", cwd=project)
    run(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", ".", cwd=project)


def has_gap(text: str) -> bool:
    """Whether two blank lines follow each other outside blocks of code."""
    return "\n\n\n" in re.sub(r"```.*?```", "code", text, flags=re.DOTALL)


def test_text_files_end_with_one_newline_and_hold_no_gaps(project: Path) -> None:
    wrong = [
        name
        for name, text in texts(project).items()
        if text and (not text.endswith("\n") or text.endswith("\n\n") or (name in RENDERED and has_gap(text)))
    ]
    assert wrong == []


def test_no_file_is_empty(project: Path) -> None:
    empty = [name for name in files(project) if not (project / name).stat().st_size]
    assert [name for name in empty if Path(name).name not in ("__init__.py", "py.typed")] == []


def test_no_reference_dangles(answers: dict[str, str], project: Path) -> None:
    documents = {name: text for name, text in texts(project).items() if name in RENDERED or name.endswith(".md")}
    for name, text in documents.items():
        for path in deleted(answers):
            assert not re.search(rf"(?<![\w/]){re.escape(path)}(?!\w)", text), f"{name} speaks of {path}"
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text):
            assert (project / name).parent.joinpath(target).exists(), f"{name} links to {target}"


def missing_from_tree(folder: Path) -> list[str]:
    """Return the lines of the trees in the README of `folder` that name nothing in it."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    trees = [block for block in re.findall(r"```\w*\n(.*?)```", readme, re.DOTALL) if "├── " in block]
    assert trees
    missing, parents = [], [""]
    for line in "\n".join(trees).splitlines():
        if entry := re.match(r"((?:[│ ]   )*)(?:├|└)── (\S+)", line):
            depth = len(entry.group(1)) // 4
            parents = [*parents[:depth], entry.group(2).rstrip("/")]
            made_by_commands = parents[0] in ("data", "runs", "results", ".venv")
            if not made_by_commands and not (folder / "/".join(parents)).exists():
                missing.append(line)
    return missing


def test_the_tree_of_the_readme_is_there(project: Path) -> None:
    assert missing_from_tree(project) == []


def test_the_tree_of_the_templates_own_readme_is_there() -> None:
    assert missing_from_tree(ROOT) == []


@pytest.mark.parametrize("license", LICENSES)
def test_the_license_is_the_chosen_one(license: str, bake: Bake) -> None:
    project = bake(license=license, python_version="3.11")
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if license == "none":
        assert not (project / "LICENSE").exists() and "license" not in metadata
    else:
        text = (project / "LICENSE").read_text(encoding="utf-8")
        first = {
            "MIT": "MIT License",
            "BSD-3-Clause": "BSD 3-Clause License",
            "Apache-2.0": " " * 33 + "Apache License",
        }
        assert text.splitlines()[0] == first[license].rstrip() or text.startswith(first[license])
        assert re.search(r"^ *Copyright (\(c\) )?20\d\d,? Your Name$", text, re.MULTILINE)
        assert license in json.dumps(metadata["license"])


@pytest.mark.parametrize(
    ("logger", "line"),
    [
        ("tensorboard", "[csv, tensorboard]"),
        ("wandb", "[csv, wandb]"),
        ("comet", "[csv, comet]"),
        ("mlflow", "[csv, mlflow]"),
        ("csv", "[csv]"),
    ],
)
def test_the_logger_is_the_chosen_one(logger: str, line: str, bake: Bake) -> None:
    project = bake(logger=logger)
    assert f"  - logger: {line}\n" in (project / "configs/train.yaml").read_text()
    dependencies = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    packages = {"comet": "comet-ml", "mlflow": "mlflow-skinny"}
    chosen = [name for name in packages.values() if any(item.startswith(name) for item in dependencies)]
    assert chosen == ([packages[logger]] if logger in packages else [])


@pytest.mark.parametrize("cluster", ["none", "slurm", "ray"])
def test_the_cluster_that_was_not_chosen_leaves_no_trace(cluster: str, bake: Bake) -> None:
    project = bake(cluster=cluster)
    launchers = {path.stem for path in (project / "configs/launcher").iterdir()}
    assert launchers == {"local", cluster} - {"none"}
    dependencies = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    packages = {"slurm": "submitit", "ray": "ray"}
    installed = {re.split(r"[<>=]", item)[0] for item in dependencies}
    chosen = [name for name, package in packages.items() if package in installed]
    assert chosen == [name for name in packages if name == cluster]
    words = {"slurm": r"submitit|launcher=slurm|launchers.slurm", "ray": r"\bray\b(?!-)|launchers.ray"}
    engine = ("src/kindling/", ".kindling.json")  # which holds the names of the engine's files
    own = {name: text for name, text in texts(project).items() if not name.startswith(engine)}
    for name in packages.keys() - {cluster}:
        found = {file for file, text in own.items() if re.search(words[name], text, re.IGNORECASE)}
        assert found == set(), name


@pytest.mark.parametrize("python", PYTHONS)
def test_the_python_version_is_the_chosen_one(python: str, bake: Bake) -> None:
    project = bake(license="MIT", python_version=python)
    assert (project / ".python-version").read_text(encoding="utf-8").strip() == python


@pytest.mark.parametrize("text", ["O'Brien, José", "日本 👩‍🔬", "$HOME `ls` $(ls) % # [x] <y> & 'z'", "100 %: a, b; c"])
def test_free_text_reaches_the_metadata_as_it_was_given(text: str, bake: Bake) -> None:
    project = bake(project_name=text, project="nasty", author=text, description=text)
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["name"] == "nasty"
    assert metadata["description"] == text
    assert metadata["authors"] == [{"name": text, "email": "you@example.com"}]
    assert f"Copyright (c) {time.gmtime().tm_year} {text}\n" in (project / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("package", "torch"),
        ("package", "class"),
        ("package", "my_project"),
        ("project", "numpy"),
        ("project", "a b"),
        ("author", 'Ada "the first"'),
        ("author", "'''\"\"\"\\"),
        ("description", "two\nlines 🎉"),
        ("description", "a {word} in braces"),
        ("email", "nobody"),
    ],
)
def test_a_refused_answer_writes_nothing(answer: str, value: str, template: Path, tmp_path: Path) -> None:
    done = run(*cookiecutter(template, tmp_path / "out", **{answer: value}), cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith(f"error: {answer}=")], done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("out/*"))


def test_a_bake_does_not_write_over_a_project(template: Path, tmp_path: Path) -> None:
    run(*cookiecutter(template, tmp_path), cwd=tmp_path)
    readme = tmp_path / "first-spark" / "README.md"
    readme.write_text("mine\n", encoding="utf-8")
    done = run(*cookiecutter(template, tmp_path), "--overwrite-if-exists", cwd=tmp_path, check=False)
    assert done.returncode == 1 and "is not empty" in done.stderr
    assert readme.read_text(encoding="utf-8") == "mine\n"


def test_a_bake_fills_an_empty_repository(template: Path, tmp_path: Path) -> None:
    (tmp_path / "first-spark").mkdir()
    git("init", "-q", "-b", "main", cwd=tmp_path / "first-spark")
    run(*cookiecutter(template, tmp_path), "--overwrite-if-exists", cwd=tmp_path)
    assert git("log", "--format=%s", cwd=tmp_path / "first-spark") == "Bake the project with Kindling\n"


def test_a_bake_leaves_behind_what_tools_and_commands_left_in_the_template(template: Path, tmp_path: Path) -> None:
    git("clone", "-q", str(template), "used", cwd=tmp_path)
    binary = bytes(range(128, 256)) * 8 + b"{{ neither text nor binary to cookiecutter }}"
    for name in (".mypy_cache/3.11/x.data", "src/my_project/__pycache__/x.pyc", "data/set/x.bin", "runs/a/last.ckpt"):
        left = tmp_path / "used" / TEMPLATE.name / name
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(binary)
    run(*cookiecutter(tmp_path / "used", tmp_path), cwd=tmp_path)
    assert git("status", "--porcelain", "--ignored", cwd=tmp_path / "first-spark") == ""
    assert "data" not in {path.name for path in (tmp_path / "first-spark").iterdir()}


def test_a_bake_is_one_clean_commit_on_main(project: Path) -> None:
    assert git("status", "--porcelain", "--ignored", cwd=project) == ""
    assert git("branch", "--show-current", cwd=project) == "main\n"
    assert git("log", "--all", "--format=%an <%ae> %s", cwd=project) == (
        "Your Name <you@example.com> Bake the project with Kindling\n"
    )


def test_a_bake_inside_a_repository_has_its_own(template: Path, tmp_path: Path) -> None:
    git("init", "-q", cwd=tmp_path)
    run(*cookiecutter(template, tmp_path), cwd=tmp_path)
    assert Path(git("rev-parse", "--show-toplevel", cwd=tmp_path / "first-spark").strip()).name == "first-spark"


def test_a_bake_without_git_says_so_and_goes_on(template: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = run(*cookiecutter(template, tmp_path), cwd=tmp_path, environment={"PATH": str(tmp_path / "bin")})
    assert len([line for line in done.stdout.splitlines() if "git" in line]) == 1
    assert (tmp_path / "first-spark" / "src" / "first_spark").is_dir()
    assert not (tmp_path / "first-spark" / ".git").exists()


def test_a_bake_prints_the_next_steps(template: Path, tmp_path: Path) -> None:
    done = run(*cookiecutter(template, tmp_path / "a b"), cwd=tmp_path)
    assert done.stdout.strip().splitlines()[:3] == ["Next:", "  cd 'a b/first-spark'", "  make setup"]
    assert done.stderr == ""


def test_every_make_target_is_listed_with_a_line(bake: Bake) -> None:
    listing = run("make", "--no-print-directory", cwd=bake()).stdout
    makefile = (bake() / "Makefile").read_text(encoding="utf-8")
    targets = {name for line in re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE) for name in line.split()}
    assert {"setup", "train", "test", "check"} <= targets
    assert [name for name in targets - {"help"} if not re.search(rf"\b{name}\b", listing)] == []


def offline(*command: str) -> list[str]:
    """Return `command` in a network namespace of its own, where the kernel allows that; elsewhere as it is."""
    alone = ["unshare", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and subprocess.run([*alone, "true"], capture_output=True).returncode == 0
    return [*alone, *command] if allowed else [*command]


def check_quick_offline_bake(python: str | Path, template: Path, folder: Path) -> None:
    """Bake with no terminal, no network, no git user and an awkward path, and look at the clock."""
    output = folder / "mit Wörtern"
    output.mkdir()
    start = time.monotonic()
    run(*offline(*cookiecutter(template, output, python)), cwd=folder, environment=NO_NETWORK)
    seconds = time.monotonic() - start
    assert git("status", "--porcelain", cwd=output / "first-spark") == ""
    assert files(output / "first-spark")
    assert seconds < 10


def test_a_bake_takes_seconds_and_no_network(template: Path, tmp_path: Path) -> None:
    check_quick_offline_bake(sys.executable, template, tmp_path)


def find_python(version: str) -> str | None:
    """Return a Python of that version from PATH or from pyenv, one that starts."""
    pyenv = Path(os.environ.get("PYENV_ROOT", REAL_HOME / ".pyenv"))
    candidates = [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"versions/{version}.*/bin/python"))]
    for python in filter(None, candidates):
        if subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0:
            return python
    return None


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_a_bake_works_on_every_python(version: str, template: Path, tmp_path: Path) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    pin = re.search(r"^cookiecutter==\S+", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pin
    run(python, "-m", "venv", "--without-pip", "env", cwd=tmp_path)
    run(sys.executable, "-m", "pip", "--python", "env", "install", "-q", "--no-compile", pin.group(), cwd=tmp_path)
    check_quick_offline_bake(tmp_path / "env/bin/python", template, tmp_path)
