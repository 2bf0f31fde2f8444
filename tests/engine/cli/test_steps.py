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
    """A copy of the project in which every step was followed."""
    folder = tmp_path_factory.mktemp("copy") / "a project"
    for name in ("src", "configs", "docs", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "somebody_*"))
    for file in (ROOT / "README.md", ROOT / "pyproject.toml", *ROOT.glob("*.yaml"), *ROOT.glob("*.py")):
        shutil.copy(file, folder)
    for title in ("Add a model", "Add a metric"):
        follow("README.md", title, folder)
    for title in ("A stored dataset", "A torch dataset"):
        follow("docs/data.md", title, folder)
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
    environment.pop("PROJECT_ROOT", None)  # of commands that ran in this process
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_model_and_a_metric_are_added_as_the_readme_says(copy: Path, real_data: str) -> None:
    out = run(copy, "train.py", "model=cnn", "monitor=val/kappa", "debug=fast", "logger=[csv]", real_data)
    assert "kappa" in out
    assert "CNN" in out


@pytest.mark.parametrize(("data", "argument", "size"), [("wines", "numbers", 3), ("digits", "image", 64)])
def test_data_are_added_as_the_page_says(copy: Path, data: str, argument: str, size: int) -> None:
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


OWN_README = """# Mine

    python plot.py --all
    python train.py model=cnn optimizer.lr=<rate>

[The paper](https://example.com "its title") and [the code](src).
"""
CHANGES = {
    "configs/train.yaml": [("- model: bert", "- model: cnn"), ("[csv, tensorboard]", "[csv, wandb]")],
    "configs/optimizer/adamw.yaml": [("lr: ", "lr: 0.01 # ")],
    "configs/callbacks/early_stopping.yaml": [("patience: ", "patience: 1")],
    "params.yaml": [("model: bert", "model: cnn")],
    "tests/choices.py": [
        ("NEEDS = {", 'NEEDS = {\n    "model=digits": ["data=digits"],\n    "model=wines": ["data=wines"],'),
        ("LARGE: set[str] = set()", 'LARGE = {"docstrings", "docstring_lines", "wines"}'),
    ],
}


def test_the_projects_own_tests_hold_after_the_steps_and_with_other_defaults(copy: Path) -> None:
    (copy / "README.md").write_text(OWN_README, encoding="utf-8")
    (copy / "plot.py").write_text("import sys\n", encoding="utf-8")
    for name, changes in CHANGES.items():
        text = (copy / name).read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (copy / name).write_text(text, encoding="utf-8")
    tests = [f"tests/test_{name}.py" for name in ("configs", "data", "pipeline", "readme")]
    chosen = "not trains and not again and (readme or pipeline or digits or data- or model or task- or early)"
    said = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", chosen)
    assert "passed" in said
