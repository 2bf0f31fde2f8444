"""The steps of the README and of docs/data.md, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT

MODEL = """
from torch import Tensor, nn


class Flat(nn.Module):
    def __init__(self, num_outputs: int, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size, num_outputs)

    def forward(self, {argument}: Tensor) -> Tensor:
        return self.layer({argument}.flatten(1))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy") / "a project"
    for name in ("src", "configs", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "somebody_*"))
    for file in (ROOT / "README.md", *ROOT.glob("*.py")):
        shutil.copy(file, folder)
    return folder


def follow(page: str, title: str, folder: Path) -> None:
    """Write the code blocks of a section to the files named above them; "At the end of" appends."""
    text = (folder / page).read_text(encoding="utf-8")
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    steps = re.findall(r"([^`\n]*)`((?:src|configs)/[\w/.]+)`[^\n]*\n\n```\w+\n(.*?)```", section, re.DOTALL)
    assert steps, title
    for before, name, block in steps:
        path = folder / name
        assert path.exists() == ("At the end of" in before), path
        with path.open("a", encoding="utf-8") as file:
            file.write(block)


def run(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_model_and_a_metric_are_added_as_the_readme_says(copy: Path, real_data: str) -> None:
    for title in ("Add a model", "Add a metric"):
        follow("README.md", title, copy)
    out = run(copy, "train.py", "model=cnn", "monitor=val/kappa", "debug=fast", "logger=[csv]", real_data)
    assert "kappa" in out
    assert "CNN" in out


@pytest.mark.parametrize(
    ("title", "data", "argument", "size"),
    [("A stored dataset", "wines", "numbers", 3), ("A torch dataset", "digits", "image", 64)],
)
def test_data_are_added_as_the_page_says(copy: Path, title: str, data: str, argument: str, size: int) -> None:
    follow("docs/data.md", title, copy)
    (copy / f"src/my_project/models/{data}.py").write_text(MODEL.format(argument=argument))
    target = f"_target_: my_project.models.{data}.Flat\nnum_outputs: ${{num_outputs}}\nsize: {size}\n"
    (copy / f"configs/model/{data}.yaml").write_text(target)
    run(copy, "make_dataset.py", f"data={data}")
    run(
        copy,
        "train.py",
        f"data={data}",
        f"model={data}",
        "trainer.max_epochs=1",
        "logger=[csv]",
        "callbacks=[checkpoint]",
    )
