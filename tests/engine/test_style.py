"""The engine in Kindling's style and strictly typed: a bake's own tools leave it out."""

import shlex
import subprocess
import sys

import pytest
from commands import HERE, ROOT

STYLE = ["--no-cache", "--config", str(ROOT / "pyproject.toml"), "--config", "extend-exclude = []"]
ENGINE = str(ROOT / "src/kindling")


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check", "mypy"])
def test_it_has_nothing_to_say(command: str) -> None:
    own = ["--config-file", str(HERE / "mypy.ini")] if command == "mypy" else [*STYLE, ENGINE]
    call = [sys.executable, "-m", *shlex.split(command), *own]
    done = subprocess.run(call, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
