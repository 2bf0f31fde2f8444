import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMANDS = ["make_dataset", "train", "evaluate", "predict"]


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_does_not_wait_for_torch(name: str) -> None:
    code = f"""
import runpy, sys
sys.argv = ["{name}.py", "--help"]
try:
    runpy.run_path("{name}.py", run_name="__main__")
finally:
    heavy = {{"torch", "pytorch_lightning", "transformers", "pandas", "pyarrow", "datasets"}} & set(sys.modules)
    assert not heavy, heavy
"""
    done = python(f"import sys; sys.path[:0] = ['.', 'src']\n{code}")
    assert done.returncode == 0, done.stderr
    assert f"python {name}.py" in done.stdout


def test_help_of_train_lists_groups_choices_and_current_values(command) -> None:
    result = command("train", "--help", "optimizer.lr=0.125")
    assert result.code == 0
    assert "model: bert, bow, lstm" in result.out
    assert "task: classification, regression" in result.out
    assert "optimizer.lr=0.125" in result.out


def test_help_may_be_cut_off() -> None:
    pipe = f"{sys.executable} train.py --help | head -n 1"
    done = subprocess.run(
        pipe, shell=True, cwd=ROOT, capture_output=True, text=True, check=False, env={"PYTHONPATH": "src"}
    )
    assert done.stdout.startswith("Train a model")
    assert done.stderr == ""
