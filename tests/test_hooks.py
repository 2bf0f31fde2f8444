"""What the two hooks do, function by function. They are imported as they stand, unrendered."""

import json
import re
import subprocess
from pathlib import Path

import jinja2
import post_gen_project as post
import pre_gen_project as pre
import pytest
from conftest import ROOT, TEMPLATE, git

ANSWERS = {
    "project_name": "First Spark",
    "project": "first-spark",
    "package": "first_spark",
    "description": "What it is about.",
    "author": "Ada Lovelace",
    "email": "ada@example.com",
    "members": "",
}


@pytest.mark.parametrize("path", sorted({path for paths in post.OPTIONAL.values() for path in paths}))
def test_every_path_in_the_table_exists(path: str) -> None:
    assert (TEMPLATE / path).exists()


def test_every_answer_in_the_table_is_an_answer() -> None:
    questions = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    choices = {choice for choice in questions.values() if isinstance(choice, list) for choice in choice}
    assert choices | {"members"} >= post.OPTIONAL.keys()


def test_every_question_has_a_sentence_and_every_choice_a_word() -> None:
    questions = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    prompts = questions["__prompts__"]
    assert list(prompts) == [key for key in questions if not key.startswith("_")]
    for key, prompt in prompts.items():
        if isinstance(questions[key], list):
            assert list(prompt) == ["__prompt__", *questions[key]]


def test_default_answers_are_accepted() -> None:
    assert pre.refusals(ANSWERS) == []


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        ("", "lower-case ASCII"),
        ("3d", "lower-case ASCII"),
        ("my project", "lower-case ASCII"),
        ("MyProject", "lower-case ASCII"),
        ("first-spark", "lower-case ASCII"),
        ("été", "lower-case ASCII"),
        ("_hidden", "lower-case ASCII"),
        ("spark\n", "lower-case ASCII"),
        ("class", "keyword"),
        ("match", "keyword"),
        ("json", "standard library"),
        ("email", "standard library"),
        ("torch", "library"),
        ("pytorch_lightning", "library"),
        ("lightning", "library"),
        ("sklearn", "library"),
        ("src", "own folders"),
        ("tests", "own folders"),
        ("train", "own folders"),
        ("make_dataset", "own folders"),
        ("my_project", "template"),
        ("kindling", "engine"),
    ],
)
def test_a_package_that_cannot_be_imported_is_refused(package: str, reason: str) -> None:
    assert reason in (pre.refuse_package(package) or "")


@pytest.mark.parametrize("package", ["first_spark", "x", "bert2", "torches", "spark_2_go"])
def test_other_packages_are_accepted(package: str) -> None:
    assert pre.refuse_package(package) is None


@pytest.mark.parametrize(
    ("project", "reason"),
    [
        ("", "ASCII letters"),
        ("..", "ASCII letters"),
        ("a/b", "ASCII letters"),
        ("a b", "ASCII letters"),
        ("-a", "ASCII letters"),
        ("a-", "ASCII letters"),
        ("été", "ASCII letters"),
        ("torch", "library"),
        ("PyTorch.Lightning", "library"),
        ("scikit-learn", "library"),
        ("my-project", "template"),
        ("My_Project", "template"),
        ("Kindling", "engine"),
    ],
)
def test_a_project_that_cannot_be_installed_is_refused(project: str, reason: str) -> None:
    assert reason in (pre.refuse_project(project) or "")


@pytest.mark.parametrize("project", ["first-spark", "a", "2fast", "Spark_1.5", "torch-spark"])
def test_other_projects_are_accepted(project: str) -> None:
    assert pre.refuse_project(project) is None


@pytest.mark.parametrize(
    "text", ['a "word"', "back\\slash", "{{ x }}", "two\nlines", "bell\a", "a\x85b", "a\u2028b", ""]
)
def test_text_that_would_break_a_file_is_refused(text: str) -> None:
    assert pre.refuse_text(text)


@pytest.mark.parametrize("text", ["O'Brien", "José", "日本", "👩‍🔬 at $HOME; `ls`", "100 % # sure", "'''"])
def test_other_text_is_accepted(text: str) -> None:
    assert pre.refuse_text(text) is None


@pytest.mark.parametrize("members", ["", "ada", "@ada grace-h", "lab/team-a  ada"])
def test_names_on_github_are_accepted(members: str) -> None:
    assert pre.refuse_members(members) is None


@pytest.mark.parametrize("members", ["ada,grace", "-ada", "ada-", "a@b.c", "Ada L.", "a/b/c", "a" * 41])
def test_other_members_are_refused(members: str) -> None:
    assert pre.refuse_members(members)


@pytest.mark.parametrize("email", ["", "ada", "ada@", "@example.com", "a b@c.d", "Ada <a@b.c>", "a@b@c", "é@x.y"])
def test_what_is_not_an_address_is_refused(email: str) -> None:
    assert pre.refuse_email(email)


@pytest.mark.parametrize("email", ["ada@example.com", "o'brien+x@uni.example", "root@localhost"])
def test_other_addresses_are_accepted(email: str) -> None:
    assert pre.refuse_email(email) is None


def test_a_refusal_names_the_question_the_answer_and_the_remedy_on_one_line() -> None:
    refused = pre.refusals(ANSWERS | {"package": "torch", "author": "two\nlines é"})
    assert len(refused) == 2
    assert refused[0].startswith("package='torch' is the name of a library") and "torch_lab" in refused[0]
    assert refused[1].startswith(r"author='two\nlines \xe9' holds '\n': leave out")


def test_every_requirement_of_the_project_is_refused_as_its_name() -> None:
    pins = (TEMPLATE / "requirements.txt").read_text(encoding="utf-8")
    names = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)", pins, re.MULTILINE)
    assert names and [name for name in names if pre.refuse_project(name) is None] == []


def test_a_folder_with_anything_but_a_repository_is_occupied(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert not pre.occupied(tmp_path)
    (tmp_path / "README.md").touch()
    assert pre.occupied(tmp_path)


@pytest.mark.parametrize("hook", ["pre_gen_project", "post_gen_project"])
@pytest.mark.parametrize(
    "text", ["'''", '"""', '"', "\\", '\\"', "\\n\n", "{% raw %}", "🎉 é", "\u2028", "</script>", "#% if x"]
)
def test_a_hook_reads_any_answer_as_it_was_given(hook: str, text: str) -> None:
    source = (ROOT / "hooks" / f"{hook}.py").read_text(encoding="utf-8")
    environment = jinja2.Environment(line_statement_prefix="#%", trim_blocks=True, lstrip_blocks=True)
    rendered = environment.from_string(source).render(cookiecutter={"author": text, "email": ""})
    (literal,) = re.findall(r'json\.loads\((r""".*?""")\)', rendered)
    namespace: dict[str, str] = {}
    exec(compile(f"answers = {literal}", hook, "exec"), namespace)
    assert json.loads(namespace["answers"]) == {"author": text, "email": ""}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "first-spark"
    (folder / "src" / "my_project").mkdir(parents=True)
    (folder / "src" / "my_project" / "model.py").write_text(
        "import my_project  # in my-project, José\n", encoding="utf-8"
    )
    (folder / "LICENSE").write_text("Do what you like.\n", encoding="utf-8")
    (folder / ".gitignore").write_text("/runs/\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def test_prune_keeps_what_a_chosen_answer_needs(project: Path) -> None:
    post.prune({"text", "MIT", "members", "slurm", "ray"})
    assert Path("LICENSE").exists()


def test_prune_deletes_what_no_chosen_answer_needs(project: Path) -> None:
    post.prune({"text", "none", "members", "slurm", "ray"})
    assert not Path("LICENSE").exists()


def test_prune_deletes_folders_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "OPTIONAL", {"text": ["src"]})
    post.prune({"image"})
    assert not Path("src").exists()


def test_prune_fails_on_a_stale_entry(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "OPTIONAL", {"text": ["gone.py"]})
    with pytest.raises(FileNotFoundError):
        post.prune({"image"})


def test_rename_gives_both_names_and_leaves_other_bytes(project: Path) -> None:
    binary = b"my_project\0\xff"
    engine = Path("src/kindling/data/module.py")
    engine.parent.mkdir(parents=True)
    engine.write_bytes(b"my_project, my-project\n")
    Path("weights.bin").write_bytes(binary)
    Path("windows.txt").write_bytes(b"my_project\r\n")
    post.rename("first-spark", "first_spark")
    assert (
        Path("src/first_spark/model.py").read_text(encoding="utf-8") == "import first_spark  # in first-spark, José\n"
    )
    assert Path("weights.bin").read_bytes() == binary
    assert engine.read_bytes() == b"my_project, my-project\n"
    assert Path("windows.txt").read_bytes() == b"first_spark\r\n"
    assert not Path("src/my_project").exists()


def test_commit_leaves_one_clean_commit_on_main(project: Path) -> None:
    post.commit("José O'Brien", "jose@example.com")
    assert git("status", "--porcelain", cwd=project) == ""
    assert (
        git("log", "--all", "--format=%an <%ae> %cn", cwd=project) == "José O'Brien <jose@example.com> José O'Brien\n"
    )
    assert git("branch", "--show-current", cwd=project) == "main\n"


def test_commit_leaves_the_name_to_a_user_whom_git_knows(
    project: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "gitconfig"
    configuration.write_text("[user]\nname = Grace\n", encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    post.commit("Ada", "ada@example.com")
    assert subprocess.check_output(["git", "log", "--format=%an <%ae>"], text=True) == "Grace <ada@example.com>\n"


def test_commit_ignores_hooks_signatures_templates_and_excludes_of_the_user(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (hooks / "pre-commit").chmod(0o755)
    (tmp_path / "excludes").write_text("LICENSE\n", encoding="utf-8")
    (tmp_path / "git-template" / "info").mkdir(parents=True)
    (tmp_path / "git-template" / "info" / "exclude").write_text("*.py\n", encoding="utf-8")
    configuration = tmp_path / "gitconfig"
    configuration.write_text(
        f"[core]\nhooksPath = {hooks}\nexcludesFile = {tmp_path}/excludes\n[commit]\ngpgSign = true\n"
        f"[gpg]\nprogram = false\n[init]\ntemplateDir = {tmp_path}/git-template\ndefaultBranch = trunk\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    post.commit("Ada", "ada@example.com")
    tracked = git("ls-files", cwd=project).split()
    assert tracked == [".gitignore", "LICENSE", "src/my_project/model.py"]
    assert git("status", "--porcelain", cwd=project) == ""


def test_commit_makes_its_own_repository_inside_another(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "-q", cwd=project.parent)
    monkeypatch.setenv("GIT_DIR", str(project.parent / ".git"))
    post.commit("Ada", "ada@example.com")
    assert (project / ".git").is_dir()
    assert git("log", "--all", "--format=%s", cwd=project.parent) == ""


def test_commit_clears_what_a_contributor_left_in_the_template(project: Path) -> None:
    Path("runs").mkdir()
    Path("runs/last.ckpt").touch()
    post.commit("Ada", "ada@example.com")
    assert not Path("runs").exists()


def repository(folder: Path) -> str:
    """Make a repository of one commit, which an address with a password leads to, and return the commit."""
    folder.mkdir()
    git("init", "-q", cwd=folder)
    git("commit", "-q", "--allow-empty", "-m", "The template", cwd=folder)
    git("remote", "add", "origin", "https://ada:secret@example.com/lab/kindling.git", cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder).strip()


def test_the_origin_is_an_address_without_its_password(project: Path, tmp_path: Path) -> None:
    commit = repository(tmp_path / "cloned")
    for given in ("gh:lab/kindling", "https://ada:secret@example.com/lab/kindling.git"):
        answers = {"_template": given, "_repo_dir": str(tmp_path / "cloned")}
        assert post.origin(answers) == ("https://example.com/lab/kindling.git", commit)


def test_the_origin_is_the_folder_that_was_given(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository(tmp_path / "here")
    monkeypatch.setenv("PWD", str(tmp_path / "here"))
    assert post.origin({"_template": ".", "_repo_dir": "."}) == (str(tmp_path / "here"), commit)


def test_a_template_inside_another_repository_or_in_none_has_no_commit(project: Path, tmp_path: Path) -> None:
    repository(tmp_path / "outer")
    for folder in (tmp_path / "outer" / "inner", tmp_path / "alone"):
        folder.mkdir()
        assert post.origin({"_template": str(folder), "_repo_dir": str(folder)}) == (str(folder), None)


def test_next_steps_start_where_the_user_stands(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", str(project.parent))
    assert "\n  cd first-spark\n  make setup\n" in post.next_steps()


def test_next_steps_quote_a_path_with_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", "/somewhere/else")
    assert f"\n  cd '{folder}'\n" in post.next_steps()


def test_only_cruft_in_a_temporary_folder_compares(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not post.is_comparison({"_commit": "abc"})
    monkeypatch.setattr("tempfile.tempdir", str(project.parent.parent))
    assert post.is_comparison({"_commit": "abc"})
    assert not post.is_comparison({})
