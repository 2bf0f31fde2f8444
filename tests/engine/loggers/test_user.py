"""Accounts and keys: who is used, and that a key is nowhere in what a run leaves."""

import importlib.util
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile, is_zipfile

import pytest
from commands import ROOT
from wandb_files import read_pieces

USERS = ROOT / "configs/user"
FAST = ["model=bow", "debug=fast", "logger=[csv,wandb]"]
KEY = secrets.token_hex(20)  # not a fixed one, which diff.patch might hold with this file


@pytest.fixture(autouse=True)
def nobody_is_logged_in(tmp_path, monkeypatch) -> None:
    for name in [name for name in os.environ if name.startswith(("WANDB_", "COMET_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home/.netrc"))


@pytest.fixture
def somebody() -> Iterator[Path]:
    """A user's file, in the project for as long as a test runs."""
    file = USERS / f"somebody_{os.getpid()}.yaml"  # several processes test
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def left_with(text: str, *folders: Path) -> list[str]:
    """Return the files that hold `text`, in archives and names, too."""
    found = []
    for path in [path for folder in folders for path in folder.rglob("*") if path.is_file()]:
        contents = [path.read_bytes(), str(path).encode()]
        if is_zipfile(path):
            with ZipFile(path) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
        if any(text.encode() in content for content in contents):
            found.append(str(path))
    return found


def test_a_key_is_used_and_lands_nowhere(command, dataset, tmp_path, somebody) -> None:
    extras = {"comet": "comet_ml", "mlflow": "mlflow"}
    loggers = ["csv", "wandb", *(name for name, module in extras.items() if importlib.util.find_spec(module))]
    server = "http://127.0.0.1:9"
    somebody.write_text(
        f"WANDB_API_KEY: {KEY}\nWANDB_BASE_URL: {server}\nCOMET_API_KEY: comet{KEY}\nCOMET_URL_OVERRIDE: {server}\n"
        f"MLFLOW_TRACKING_URI: {server}\nMLFLOW_TRACKING_PASSWORD: mlflow{KEY}\n"
    )
    options = [*FAST, f"logger=[{','.join(loggers)}]", f"user={somebody.stem}", "tags=[a]"]
    result = command("train", *dataset, *options, f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert f"W&B is offline: {server} does not answer" in result.err  # so there was a key
    assert not any(KEY in value for value in os.environ.values())
    assert len(list((tmp_path / "run").rglob("*"))) > 10
    assert KEY not in result.out + result.err
    assert left_with(KEY, tmp_path) == []
    assert left_with(somebody.stem, tmp_path / "run/.hydra")  # as the search would find it


def test_a_key_that_the_environment_has_lands_nowhere(command, dataset, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    result = command("train", *dataset, *FAST, "user=offline", f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert "W&B is offline: as you asked" in result.err
    assert KEY not in result.out + result.err
    assert left_with(KEY, tmp_path) == []


def test_the_environment_wins_over_the_file(command, dataset, tmp_path, monkeypatch, somebody) -> None:
    somebody.write_text(f"WANDB_API_KEY: {KEY}\nWANDB_BASE_URL: http://127.0.0.1:8\nWANDB_ENTITY: the_file\n")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    result = command("train", *dataset, *FAST, f"user={somebody.stem}", f"paths.run={tmp_path / 'run'}")
    assert "W&B is offline: http://127.0.0.1:9 does not answer" in result.err
    assert read_pieces(tmp_path / "run")[0].run.entity == "the_file"


def test_a_resumed_run_belongs_to_the_same_user(command, dataset, tmp_path) -> None:
    run = tmp_path / "run"
    options = ["model=bow", "logger=[csv,wandb]", "trainer.max_epochs=1", f"paths.run={run}"]
    assert command("train", *dataset, *options, "user=offline").code == 0
    result = command("train", f"resume={run}", "trainer.max_epochs=2")
    assert result.code == 0, result.err
    assert "W&B is offline: as you asked" in result.err


@pytest.mark.parametrize("loggers", ["[csv]", "[csv,wandb]"])
def test_a_user_who_is_not_there_is_told_who_is(command, dataset, tmp_path, loggers: str) -> None:
    result = command("train", *dataset, *FAST, f"logger={loggers}", "user=nobody")
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert line.startswith("train.py: user=nobody: there is no ")
    known = line.rpartition("nobody.yaml; there are ")[2].split(", ")
    assert {"offline", "sample"} <= set(known)
    assert set(known) <= {path.stem for path in USERS.glob("*.yaml")} | {name for name in known if "somebody" in name}
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("WANDB_APIKEY: <key>", "unknown line WANDB_APIKEY; did you mean WANDB_API_KEY?"),
        ("PATH: <key>", "unknown line PATH"),
        ("<key>", "expected lines such as WANDB_API_KEY: ..."),
        ("WANDB_API_KEY: [<key>", "expected lines such as WANDB_API_KEY: ..."),
    ],
)
def test_a_file_that_is_none_is_told_without_its_keys(
    command, dataset, tmp_path, somebody, content: str, message: str
) -> None:
    somebody.write_text(content.replace("<key>", KEY))
    result = command("train", *dataset, *FAST, f"user={somebody.stem}")
    assert result.code == 2
    assert message in result.err
    assert KEY not in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_git_ignores_users_and_a_file_that_it_would_commit_is_told(command, dataset, tmp_path) -> None:
    if not shutil.which("git"):
        pytest.skip("no git")
    project = tmp_path / "project"
    shutil.copytree(USERS, project / "configs/user")
    shutil.copy(ROOT / ".gitignore", project)
    me = project / "configs/user/me.yaml"
    me.write_text("WANDB_MODE: offline\n")

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(project), *arguments], capture_output=True, text=True, check=True
        ).stdout

    git("init", "-q", "--template=")
    git("add", "--all")
    assert {"configs/user/offline.yaml", "configs/user/sample.yaml"} <= set(git("ls-files").split())
    assert "me.yaml" not in git("ls-files")
    options = [*FAST, f"logger.wandb.run.accounts_dir={me.parent}", "account=me"]
    quiet = command("train", *dataset, *options, f"paths.run={tmp_path / 'quiet'}")
    assert quiet.code == 0, quiet.err
    assert "is not ignored" not in quiet.err
    (project / ".gitignore").write_text("")
    warned = command("train", *dataset, *options, f"paths.run={tmp_path / 'warned'}")
    assert "me.yaml holds keys and is not ignored by git: add /configs/user/* to .gitignore\n" in warned.err
