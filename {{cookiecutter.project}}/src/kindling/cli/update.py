"""Bring a newer version of the template into this project, beside its owner's edits.

python -m kindling.cli.update [--template=path or address] [--version=tag or commit] [--force]      or: make update

The version that the project came from and the new one are both baked with the project's answers. Git then applies
their difference as it applies a commit: both sides' edits survive, and where they meet it leaves its usual markers. The
engine is replaced as a whole. Nothing is committed, and whatever goes wrong, the project is as it was.
"""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .engine import ENGINE, RECORD, changes, digests, listed

ABBREVIATIONS = {"gh": "https://github.com/{}.git", "gl": "https://gitlab.com/{}.git"}  # as cookiecutter knows them
SETTINGS = ["core.hooksPath=", "core.excludesFile=", "commit.gpgSign=false", "user.name=Kindling", "user.email=nobody"]
CONFLICTS = {
    "UU": "both changed the same lines: choose between <<<<<<< and >>>>>>>",
    "AA": "both added it: choose between <<<<<<< and >>>>>>>",
    "UD": "Kindling removed it, and you had changed it: yours is kept",
    "DU": "you removed it, and Kindling changed it: Kindling's is back",
}


def start_git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in `folder`, whatever repository, hooks or signatures this process was started with."""
    outside = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
    environment = {name: value for name, value in os.environ.items() if name not in outside}
    command = ["git", *(word for setting in SETTINGS for word in ("-c", setting)), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")


def git(folder: Path, *arguments: str) -> str:
    """Run git in `folder` and return what it prints.

    Raises:
        UsageError: If git fails, with its own last line.
    """
    done = start_git(folder, *arguments)
    if done.returncode:
        raise UsageError(f"git {arguments[0]} failed: {last_line(done.stderr)}")
    return done.stdout


def last_line(text: str) -> str:
    """Return the line that says what is wrong: the last that begins as an error does, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    return next((line for line in reversed(lines) if line.lower().startswith(("error:", "fatal:"))), lines[-1])


def names(text: str) -> list[str]:
    """Return the paths in a listing of git's that ends each with a null byte."""
    return [name for name in text.split("\0") if name]


def read_record(project: Path) -> dict[str, Any]:
    """Return what the project knows of its template.

    Raises:
        UsageError: If that is missing, or does not say from which commit the project came.
    """
    try:
        record: dict[str, Any] = json.loads((project / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{RECORD} tells where this project came from, and can't be read: {error}") from error
    if missing := [name for name in ("template", "commit", "answers", "engine") if not record.get(name)]:
        remedy = "write it there (the commit of Kindling that this project was baked from)"
        raise UsageError(f"{RECORD} has no {' and no '.join(missing)}: {remedy}")
    return record


def check_clean(project: Path) -> None:
    """Refuse a project whose last commit does not hold everything, as git could not give the rest back."""
    if shutil.which("git") is None or start_git(project, "rev-parse", "--verify", "HEAD").returncode:
        raise UsageError("an update needs the project in git, to merge and to go back: git init, add and commit it")
    if changed := [line[3:] for line in names(git(project, "status", "--porcelain", "-z", "--no-renames"))]:
        raise UsageError(f"not committed: {listed(changed)}; commit it first, so that the update can be taken back")


def find_cookiecutter() -> list[str]:
    """Return the command that bakes: of this environment, of the user, or of uv."""
    if importlib.util.find_spec("cookiecutter"):
        return [sys.executable, "-m", "cookiecutter"]
    if found := shutil.which("cookiecutter"):
        return [found]
    if found := shutil.which("uvx"):
        return [found, "cookiecutter"]
    raise UsageError("an update bakes with cookiecutter, and there is none: pip install cookiecutter, or install uv")


def full_address(template: str) -> str:
    """Return what git can clone from anywhere: a folder with its whole path, an address for gh:owner/name."""
    if Path(template).expanduser().is_dir():
        return str(Path(template).expanduser().resolve())
    host, _, name = template.partition(":")
    return ABBREVIATIONS[host].format(name) if host in ABBREVIATIONS else template


def find_commit(template: Path, version: str) -> str:
    """Return the commit that a tag, a branch or a part of a commit's name stands for."""
    for name in (version, f"origin/{version}"):
        done = start_git(template, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if done.returncode == 0:
            return done.stdout.strip()
    raise UsageError(f"the template has no version {version}: give a tag, a branch or a commit of it")


def bake(template: Path, commit: str, output: Path, answers: dict[str, str]) -> Path:
    """Bake one version of the template with the project's answers, and return the folder.

    Raises:
        UsageError: If that version does not take the answers.
    """
    git(template, "checkout", "--quiet", "--force", "--detach", commit)
    output.mkdir()
    settings = output.with_suffix(".yaml")  # none of the user's, and nothing left in their home
    folders = {name: str(output.parent / name) for name in ("replay_dir", "cookiecutters_dir")}
    settings.write_text(json.dumps(folders), encoding="utf-8")
    options = ["--no-input", "--config-file", str(settings), "--output-dir", str(output)]
    words = [f"{name}={value}" for name, value in answers.items()]
    command = [*find_cookiecutter(), str(template), *options, *words]
    done = subprocess.run(command, cwd=output, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        reason = last_line(done.stderr or done.stdout).removeprefix("error: ")
        raise UsageError(f"Kindling {commit[:7]} can't be baked with the answers in {RECORD}: {reason}")
    (project,) = output.iterdir()
    return project


def write_history(folder: Path, bakes: list[Path], prefix: str) -> Path:
    """Make a repository with a commit for each bake, where the project lies, without the engine and the record."""
    history = folder / "history"
    git(folder, "init", "--quiet", "--initial-branch=main", "--template=", "history")
    for baked in bakes:
        for path in [path for path in history.iterdir() if path.name != ".git"]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(baked / ".git", ignore_errors=True)
        shutil.copytree(baked, history / prefix, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(history / prefix / ENGINE)
        (history / prefix / RECORD).unlink(missing_ok=True)
        git(history, "add", "--all", "--force")
        git(history, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", "Kindling")
    return history


def check_free(top: Path, history: Path) -> None:
    """Refuse to write over files that git ignores or does not know."""
    added = names(git(history, "diff", "--name-only", "-z", "--no-renames", "--diff-filter=A", "HEAD~1", "HEAD"))
    known = set(names(git(top, "ls-files", "-z")))
    if taken := [name for name in added if name not in known and os.path.lexists(top / name)]:
        raise UsageError(f"Kindling brings files that lie here outside git: move {listed(taken)} away first")


def merge(top: Path, history: Path) -> list[str]:
    """Apply the difference of the two bakes to index and files, and return a line for each conflict."""
    git(top, "fetch", "--quiet", "--no-tags", str(history), "main")
    done = start_git(top, "cherry-pick", "--no-commit", "--allow-empty", "FETCH_HEAD")
    status = names(git(top, "status", "--porcelain", "-z", "--untracked-files=no", "--no-renames"))
    unmerged = [line for line in status if "U" in line[:2] or line[:2] in ("AA", "DD")]
    if done.returncode and not unmerged:
        raise UsageError(f"git can't apply the difference: {last_line(done.stderr)}")
    return [f"{line[3:]}: {CONFLICTS.get(line[:2], 'see git status')}" for line in unmerged]


def replace_engine(project: Path, baked: Path) -> None:
    """Put the engine of the bake where the project's is; what git does not know stays."""
    for name in names(git(project, "ls-files", "-z", "--", ENGINE.as_posix())):
        (project / name).unlink(missing_ok=True)
    shutil.copytree(baked / ENGINE, project / ENGINE, dirs_exist_ok=True)


def apply(project: Path, history: Path, baked: Path, record: dict[str, Any]) -> list[str]:
    """Change the project, and return the conflicts; if anything fails, give it back as it was."""
    top = Path(git(project, "rev-parse", "--show-toplevel").strip())
    check_free(top, history)
    try:
        conflicts = merge(top, history)
        replace_engine(project, baked)
        (project / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        git(project, "add", "--all", "--", ENGINE.as_posix(), RECORD.name)
    except BaseException:  # Control-C, too
        start_git(project, "add", "--all", "--", ENGINE.as_posix())
        git(top, "reset", "--quiet", "--hard", "HEAD")
        raise
    return conflicts


def update(project: Path, template: str, version: str, force: bool) -> int:
    """Update the project in that folder, say what happened, and return how many conflicts are left."""
    record = read_record(project)
    check_clean(project)
    edited = changes(record["engine"], digests(project / ENGINE))
    if edited and not force:
        remedy = "move that into your package, or let Kindling's replace it (git keeps yours): make update FORCE=1"
        raise UsageError(f"the engine was changed: {listed(edited)}; {remedy}")
    with tempfile.TemporaryDirectory(prefix="kindling-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        source, address = folder / "template", full_address(template or record["template"])
        git(folder, "clone", "--quiet", "--no-checkout", address, source.name)
        old, new = find_commit(source, record["commit"]), find_commit(source, version or "HEAD")
        if old == new and not edited:
            print(f"Nothing to do: this project is from Kindling {new[:7]}, and so is the template.")
            return 0
        bakes = [bake(source, commit, folder / side, record["answers"]) for side, commit in (("a", old), ("b", new))]
        history = write_history(folder, bakes, git(project, "rev-parse", "--show-prefix").strip())
        answers = read_record(bakes[1])["answers"]
        came = {"template": address, "commit": new, "answers": answers}
        conflicts = apply(project, history, bakes[1], came | {"engine": digests(bakes[1] / ENGINE)})
    report(project, old, new, edited, conflicts)
    return len(conflicts)


def report(project: Path, old: str, new: str, edited: list[str], conflicts: list[str]) -> None:
    """Say what was changed, what is left to do and how to go back."""
    changed = names(git(project, "diff", "--cached", "--name-only", "-z"))
    print(f"Kindling {old[:7]} -> {new[:7]}: {len(changed)} files changed, conflicts: {len(conflicts)}.")
    for conflict in conflicts:
        print(f"Conflict: {conflict}")
    if edited:
        print(f"The engine was replaced, your edits are in git show HEAD:{ENGINE.as_posix()}/...: {listed(edited)}")
    print(f"See git diff --cached, then: git add --all && git commit -m 'Update to Kindling {new[:7]}'")
    print("Or go back: git reset --hard")


def main() -> None:
    """Read the options and update the project in the current folder."""
    parser = argparse.ArgumentParser(prog="python -m kindling.cli.update", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--template", default="", help="folder or address; that of .kindling.json if not given")
    parser.add_argument("--version", default="", help="tag, branch or commit; the newest if not given")
    parser.add_argument("--force", action="store_true", help="replace the engine even if it was changed here")
    options = parser.parse_args()
    try:
        sys.exit(1 if update(Path.cwd(), options.template, options.version, options.force) else 0)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
