import os
import subprocess
import sys

import pytest
from commands import ROOT

COMMANDS = ["make_dataset", "train", "evaluate", "predict", "compare"]


HELP = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    heavy = set("torch pytorch_lightning transformers pandas pyarrow datasets scipy matplotlib".split())
    heavy &= set(sys.modules)
    assert not heavy, heavy
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_does_not_wait_for_torch(name: str) -> None:
    command = [sys.executable, "-c", HELP, f"{name}.py"]
    environment = os.environ | {"PYTHONPATH": "src"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"python {name}.py" in done.stdout


def test_help_of_train_lists_groups_choices_and_current_values(command) -> None:
    result = command("train", "--help", "optimizer.lr=0.125")
    assert result.code == 0
    assert "model: bert, bow, lstm" in result.out
    assert "task: classification, own, regression" in result.out
    assert "optimizer.lr=0.125" in result.out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no head")
def test_help_may_be_cut_off() -> None:
    pipe = f"'{sys.executable}' train.py --help | head -n 1"
    environment = os.environ | {"PYTHONPATH": "src"}
    done = subprocess.run(pipe, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Train a model")
    assert done.stderr == ""
