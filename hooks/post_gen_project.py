"""Delete what was not chosen, give the project its names, and make the first commit."""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ENGINE = Path("src/kindling")  # the same bytes in every project, whatever was answered
RECORD = Path(".kindling.json")  # where the project came from, for `make check` and `make update`

# Answer -> what only that answer needs. A path that several answers need stands under each of them.
OPTIONAL = {
    "MIT": ["LICENSE"],
    "BSD-3-Clause": ["LICENSE"],
    "Apache-2.0": ["LICENSE"],
    "members": ["CODEOWNERS"],  # any
    "slurm": ["configs/launcher/slurm.yaml", "docs/slurm.md"],
    "ray": ["configs/launcher/ray.yaml", "docs/ray.md"],
}


def prune(chosen: set[str]) -> None:
    """Delete every path of the table that no chosen answer needs."""
    kept = {path for answer in OPTIONAL.keys() & chosen for path in OPTIONAL[answer]}
    for path in sorted({path for paths in OPTIONAL.values() for path in paths} - kept):
        shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()


def rename(project: str, package: str) -> None:
    """Replace the template's own names in every text file but the engine's, and in the folder of the package."""
    files = [path for path in Path().rglob("*") if path.is_file() and ".git" not in path.parts]
    for path in [path for path in files if not path.is_relative_to(ENGINE)]:
        old = path.read_bytes()
        new = old.replace(b"my_project", package.encode()).replace(b"my-project", project.encode())
        if new != old and b"\0" not in old:
            path.write_bytes(new)
    Path("src/my_project").rename(Path("src", package))


def choose_logger(logger: str) -> None:
    """Make `logger` the default of train.py, beside the CSV file."""
    if logger == "tensorboard":  # it is the template's
        return
    config = Path("configs/train.yaml")
    text = config.read_text(encoding="utf-8")
    old, new = "- logger: [csv, tensorboard]\n", f"- logger: [{', '.join(dict.fromkeys(['csv', logger]))}]\n"
    if old not in text:
        sys.exit(f"{config} has no line {old.strip()!r} to change")
    config.write_text(text.replace(old, new), encoding="utf-8", newline="\n")


def origin(answers: dict[str, str]) -> tuple[str, str | None]:
    """Return the template's address, without a password, and its commit, if it is in git."""
    given = answers.get("_template", "")
    folder = Path(os.environ.get("PWD", "."), answers.get("_repo_dir") or given).resolve()
    here = Path(os.environ.get("PWD", "."), given).resolve() == folder
    try:
        if Path(git("-C", str(folder), "rev-parse", "--show-toplevel").strip()).resolve() != folder:
            return given, None
        address = str(folder) if here else git("-C", str(folder), "remote", "get-url", "origin").strip()
        return re.sub(r"(?<=://)[^/@]*@", "", address), git("-C", str(folder), "rev-parse", "HEAD").strip()
    except (OSError, subprocess.CalledProcessError):
        return given, None


def write_record(answers: dict[str, str]) -> None:
    """Write where the project came from, what was answered, and a digest of each file of the engine."""
    template, commit = origin(answers)
    digests = runpy.run_path(str(ENGINE / "cli" / "engine.py"))["digests"](ENGINE)
    given = {key: answer for key, answer in answers.items() if not key.startswith("_")}
    record = {"template": template, "commit": commit, "answers": given, "engine": digests}
    RECORD.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def git(*arguments: str) -> str:
    """Run git in this folder, whatever the repository around it or the user's hooks and signatures."""
    outside = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {key: value for key, value in os.environ.items() if key not in outside}
    settings = ["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "-c", "core.excludesFile="]
    command = ["git", *settings, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def commit(author: str, email: str) -> None:
    """Make a repository on `main` with everything in one commit, by the user whom git knows, else by `author`."""
    git("init", "-b", "main", "--template=")  # a template of the user's may ignore files or refuse commits
    known = git("config", "--list", "--name-only").lower().split()
    identity = {"user.name": author, "user.email": email}
    missing = [f"{key}={value}" for key, value in identity.items() if key not in known]
    git("add", "--all")
    git(*[word for setting in missing for word in ("-c", setting)], "commit", "-m", "Bake the project with Kindling")
    git("clean", "-dfXq")  # caches and runs that a contributor left in the template folder


def is_comparison(answers: dict[str, str]) -> bool:
    """Tell whether cruft bakes in a temporary folder to compare two templates: a repository would be in the diff."""
    return "_commit" in answers and Path.cwd().parent.parent == Path(tempfile.gettempdir()).resolve()


def next_steps() -> str:
    """Return the commands that bring the user from here to a trained model."""
    folder, shell = Path.cwd(), os.environ.get("PWD", "/")  # PWD: where the user stands
    if folder.is_relative_to(shell):
        folder = folder.relative_to(shell)
    steps = [f"cd {shlex.quote(str(folder))}", "make setup", "source .venv/bin/activate"]
    return "\n  ".join(["\nNext:", *steps, "python make_dataset.py", "python train.py"])


if __name__ == "__main__":
    answers = json.loads(r"""{{ cookiecutter | tojson }}""")
    named = ["members"] if answers["members"].strip() else []
    prune({answers["modality"], answers["license"], answers["cluster"], *named})
    choose_logger(answers["logger"])
    rename(answers["project"], answers["package"])
    write_record(answers)
    if is_comparison(answers):
        sys.exit()
    try:
        commit(answers["author"], answers["email"])
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        print(f"No commit in git ({reason}). When git works: git init -b main && git add --all && git commit")
    print(next_steps())
