"""Before anything is measured: bake the project, make the data with it, and put them where every contender reads."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from jobs import JOBS, Job
from sentences import write_csv

HERE = Path(__file__).parent
ONE_CORE = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "PYTHONHASHSEED": "0",
}


def prepare(work: Path, template: Path, jobs: list[str], seeds: list[int], share: float = 1) -> dict[str, Any]:
    """Fill the folder `work` with all that the jobs need, or with a share of it, and return the facts about it."""
    work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work / "project", ignore_errors=True)
    bake(work, template.resolve())
    facts = {}
    for data in dict.fromkeys(JOBS[job].data for job in jobs):
        folder = work / data
        folder.mkdir(exist_ok=True)
        options = write_source(folder, share)
        (folder / "options").write_text("\n".join(options), encoding="utf-8")
        facts[data] = make(work, folder, options, [JOBS[job] for job in jobs if JOBS[job].data == data], seeds)
    return facts


def bake(work: Path, template: Path) -> None:
    """Bake the template with the default answers into `work/project`, and add a dataset and a model to it."""
    command = ["cookiecutter", str(template), "--no-input", "--default-config", "--output-dir", str(work)]
    run([sys.executable, "-m", *command, "project=project", "package=project_"], cwd=work)
    package, configs = work / "project/src/project_", work / "project/configs"
    for name, target in [
        ("arrays.py", package / "data"),
        ("mlp.py", package / "models"),
        ("arrays.yaml", configs / "data"),
        ("mlp.yaml", configs / "model"),
    ]:
        text = (HERE / "additions" / name).read_text(encoding="utf-8")
        (target / name).write_text(text.replace("my_project", "project_"), encoding="utf-8")


def write_source(folder: Path, share: float) -> list[str]:
    """Write the source of the dataset to `folder`, and return the options that name it."""
    numbers = np.random.default_rng(0)
    match folder.name:
        case "text":
            write_csv(folder / "text.csv", int(20_000 * share))
            return ["data=csv", f"data.path={folder}/text.csv", "data.max_length=256"]
        case "long":
            write_csv(folder / "long.csv", int(40_000 * share), length=160)
            return ["data=csv", f"data.path={folder}/long.csv", "data.max_length=128"]
        case "images":
            shape, classes = (int(150_000 * share), 784), 10
        case "points":
            shape, classes = (int(3_000 * share), 4), 2
    targets = numbers.integers(classes, size=shape[0])
    centres = numbers.integers(256, size=(classes, shape[1]))
    noise = numbers.integers(256, size=shape, dtype=np.uint8)
    source = folder / f"{folder.name}_source"
    source.mkdir(exist_ok=True)
    np.save(source / "inputs.npy", noise // 4 * 3 + (centres // 4).astype(np.uint8)[targets])
    np.save(source / "targets.npy", targets)
    return ["data=arrays", f"data.path={source}", f"data.num_features={shape[1]}"]


def make(work: Path, folder: Path, options: list[str], jobs: list[Job], seeds: list[int]) -> dict[str, Any]:
    """Make the dataset with the project's command, and let `export.py` write what the other contenders read."""
    project = work / "project"
    options = [*options, f"paths.data={work}/data"]
    run([sys.executable, "make_dataset.py", *options], cwd=project)
    shutil.rmtree(work / "data" / folder.name / "tokens", ignore_errors=True)  # to be cut, and timed, again
    sizes = json.dumps(sorted({job.batch_size for job in jobs}))
    done = run([sys.executable, str(HERE / "export.py"), str(folder), sizes, json.dumps(seeds), *options], cwd=project)
    facts: dict[str, Any] = json.loads(done.splitlines()[-1])
    return facts


def run(command: list[str], cwd: Path) -> str:
    """Run a command of the preparation and return what it printed."""
    environment = os.environ | ONE_CORE | {"PYTHONPATH": "src"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout
