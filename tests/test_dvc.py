"""What a user does with DVC in a baked project, on 150 short reviews and a bag of words."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import clean_environment, cookiecutter, git, run

pytestmark = pytest.mark.slow

SHORT = "trainer.max_epochs=2 optimizer.lr=1e-2"
CONFIG = """\
defaults:
  - csv
  - _self_

path: ${paths.data}/raw/reviews.csv
text: review
label: stars
vocab_size: 400
"""
WORDS = {"good": ["great", "lovely", "superb"], "fair": ["fine", "decent"], "bad": ["awful", "dull", "broken"]}


def environment() -> dict[str, str]:
    """Return what makes `python` and `dvc` those of these tests, on the project's own source."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    home = Path(os.environ["HOME"])
    return {
        "PATH": path,
        "PYTHONPATH": "src",
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "COLUMNS": "200",
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@example.com",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@example.com",
    }


def call(project: Path, *command: str, code: int = 0) -> str:
    """Run a command in the project, and return all that it prints."""
    done = run(*command, cwd=project, environment=environment(), check=False)
    shown = done.stdout + done.stderr
    assert done.returncode == code, f"{' '.join(command)} exited {done.returncode}\n{shown}"
    assert not re.search(r"warning|deprecat|unexpected error|failed to load", shown, re.IGNORECASE), shown
    return shown


def show(project: Path, *command: str) -> Any:
    return json.loads(run(*command, cwd=project, environment=environment()).stdout)


def stages(text: str) -> list[str]:
    """Return the stages that DVC ran."""
    return re.findall(r"Running stage '(\w+)'", text)


def set_params(project: Path, **values: str) -> None:
    file = project / "params.yaml"
    text = file.read_text(encoding="utf-8")
    for name, value in values.items():
        text, count = re.subn(rf"^{name}: .*$", f'{name}: "{value}"', text, flags=re.MULTILINE)
        assert count == 1, name
    file.write_text(text, encoding="utf-8")


def write_reviews(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{WORDS[name][number % 2]} {'film' if number % 5 else 'book'} number {number},{name}\n"
        for number, name in ((number, list(WORDS)[number % 3]) for number in range(count))
    ]
    path.write_text("review,stars\n" + "".join(rows), encoding="utf-8")


def hash_of(file: Path) -> str:
    return md5(file.read_bytes()).hexdigest()


def locked(project: Path) -> dict[str, str]:
    """Return the MD5 of each output, as dvc.lock has it."""
    lock = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage") / "of the team"


@pytest.fixture(scope="module")
def original(template: Path, storage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a file of the user's own, run, committed and pushed."""
    folder = tmp_path_factory.mktemp("my work")
    run(*cookiecutter(template, folder), cwd=folder)
    project = folder / "first-spark"
    assert git("status", "--porcelain", cwd=project) == ""

    write_reviews(project / "data/raw/reviews.csv", 150)
    call(project, "dvc", "add", "data/raw/reviews.csv")
    (project / "configs/data/reviews.yaml").write_text(CONFIG, encoding="utf-8")
    pipeline = (project / "dvc.yaml").read_text(encoding="utf-8")
    old = "      - make_dataset.py\n"
    assert pipeline.count(old) == 1
    (project / "dvc.yaml").write_text(pipeline.replace(old, f"{old}      - data/raw/reviews.csv\n"), encoding="utf-8")
    set_params(project, data="reviews", model="bow", options=SHORT)
    assert stages(call(project, "dvc", "repro")) == ["make_dataset", "train", "evaluate"]

    call(project, "dvc", "remote", "add", "--default", "storage", str(storage))
    git("add", "configs", "params.yaml", "dvc.yaml", "dvc.lock", "results", "data", ".dvc", cwd=project)
    git("commit", "-qm", "The first result", cwd=project)
    assert git("status", "--porcelain", cwd=project) == ""
    call(project, "dvc", "push")
    return project


@pytest.fixture
def clone(original: Path, tmp_path: Path) -> Path:
    """A clone of it with what DVC keeps, on another machine as it were."""
    project = tmp_path / "a clone" / "first-spark"
    git("clone", "-q", str(original), str(project), cwd=tmp_path)
    call(project, "dvc", "pull")
    return project


def test_git_keeps_what_is_small_and_dvc_the_rest(original: Path) -> None:
    kept = git("ls-files", "data", "results", cwd=original).splitlines()
    small = ["results/checkpoints/evaluation.json", "results/csv/metrics.csv", "results/metrics.json"]
    assert kept == ["data/raw/reviews.csv.dvc", *small]
    assert {path for path in locked(original) if path not in small} == {
        "data/reviews/samples.parquet",
        "data/reviews/dataset.json",
        "results/checkpoints/best.ckpt",
        "results/predictions.csv",
    }


def test_what_it_leaves_is_accepted_by_pre_commit(original: Path) -> None:
    hooks = yaml.safe_load((original / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    (spaces,) = (hook for hook in hooks if hook["id"] == "trailing-whitespace")
    changed = git("diff", "--name-only", "HEAD~1", cwd=original).splitlines()
    assert {"dvc.lock", "results/metrics.json", "params.yaml"} <= set(changed)
    lines = {name: (original / name).read_text(encoding="utf-8").split("\n") for name in changed}
    wrong = {name for name, text in lines.items() if any(line != line.rstrip() for line in text)}
    assert {name for name in wrong if not re.search(spaces["exclude"], name)} == set()
    assert all(not text[-1] and text[-2] for text in lines.values())  # one newline at the end


def test_a_clone_has_the_same_files_and_nothing_to_do(original: Path, clone: Path) -> None:
    assert locked(clone) == locked(original)
    assert {path: hash_of(clone / path) for path in locked(clone)} == locked(original)
    assert hash_of(clone / "data/raw/reviews.csv") == hash_of(original / "data/raw/reviews.csv")
    text = call(clone, "dvc", "repro")
    assert stages(text) == [] and "up to date" in text
    assert "Everything is up to date" in call(clone, "dvc", "push")
    assert git("status", "--porcelain", cwd=clone) == ""
    assert stages(call(original, "dvc", "repro")) == []


def test_the_md5_of_the_data_is_the_same_everywhere(original: Path) -> None:
    known = locked(original)["data/reviews/samples.parquet"]
    assert json.loads((original / "data/reviews/dataset.json").read_text(encoding="utf-8"))["md5"] == known
    assert json.loads((original / "results/run.json").read_text(encoding="utf-8"))["data"]["md5"] == known
    assert f"MD5 {known}" in call(original, "python", "evaluate.py", "inspect=results")


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("configs/model/bow.yaml", "hidden_size: 128", "hidden_size: 64", ["train"]),
        ("configs/optimizer/adamw.yaml", "lr: 1e-3", "lr: 2e-3", ["train"]),
        ("configs/scheduler/warmup.yaml", "warmup: 0.1", "warmup: 0.2", ["train"]),
        ("configs/trainer/default.yaml", "max_epochs: 8", "max_epochs: 9", ["train"]),
        ("configs/task/classification.yaml", "compiled: false", "compiled: true", ["train"]),
        ("configs/callbacks/early_stopping.yaml", "patience: 3", "patience: 4", ["train"]),
        ("configs/train.yaml", "resume: null", "resume: auto", ["train"]),
        ("configs/data/base/text.yaml", "batch_size: 32", "batch_size: 16", ["train"]),
        ("configs/data/reviews.yaml", "label: stars", "label: review", ["make_dataset", "train"]),
        ("configs/evaluate.yaml", "seed: 42", "seed: 43", ["evaluate"]),
        ("src/first_spark/schedulers.py", '"""', '"""A change. ', ["train", "evaluate"]),
        ("src/kindling/training/trainer.py", '"""', '"""A change. ', ["train", "evaluate"]),
        ("src/kindling/data/store.py", '"""', '"""A change. ', ["make_dataset", "train", "evaluate"]),
        ("src/kindling/sweeps/pictures.py", '"""', '"""A change. ', []),
        ("src/kindling/style.py", '"""', '"""A change. ', []),
        ("configs/model/lstm.yaml", "hidden_size: 128", "hidden_size: 64", []),
        ("params.yaml", "seed: 42", "seed: 43", ["train"]),
    ],
)
def test_a_changed_config_runs_what_depends_on_it(
    original: Path, file: str, old: str, new: str, expected: list[str]
) -> None:
    path = original / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1 or path.suffix == ".py"
    try:
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        assert list(show(original, "dvc", "status", "--json")) == expected
    finally:
        path.write_text(text, encoding="utf-8")


def test_another_model_is_trained_on_the_same_data_and_compared(clone: Path) -> None:
    (clone / "results/.hydra").mkdir()  # as in every run's folder; no other one is removed
    (clone / "results/csv/of_an_earlier_run").touch()
    set_params(clone, model="lstm")
    text = call(clone, "dvc", "repro")
    assert stages(text) == ["train", "evaluate"] and "LSTM" in text
    assert not (clone / "results/csv/of_an_earlier_run").exists()

    metrics = show(clone, "dvc", "metrics", "diff", "--json")
    written = json.loads((clone / "results/metrics.json").read_text(encoding="utf-8"))
    assert {name: value["new"] for name, value in metrics["results/metrics.json"].items()} == written
    shown = show(clone, "dvc", "metrics", "show", "--json")[""]["data"]
    assert shown["results/metrics.json"]["data"] == written
    params = show(clone, "dvc", "params", "diff", "--json")
    assert params["params.yaml"]["model"] == {"old": "bow", "new": "lstm"}
    assert params["configs/model/lstm.yaml"]["num_layers"]["new"] == 1

    call(clone, "dvc", "plots", "diff", "HEAD")
    page = (clone / "dvc_plots/index.html").read_text(encoding="utf-8")
    specs = [json.loads(spec) for spec in re.findall(r"var spec = (\{.*?\});\s*vegaEmbed", page, re.DOTALL)]
    titles = {spec["title"]["text"]: len(spec["data"]["values"]) for spec in specs}
    assert titles.keys() == {"loss", "metrics", "confusion matrix"} and titles["confusion matrix"] >= 2 * 10
    for spec in (spec for spec in specs if spec["title"]["text"] != "confusion matrix"):
        y = spec["encoding"]["y"]["field"]
        points = {(row["rev"], row["field"], row["epoch"]) for row in spec["data"]["values"] if row[y] and row["epoch"]}
        names = ["train/loss", "val/loss"] if spec["title"]["text"] == "loss" else ["val/accuracy", "val/f1"]
        assert points >= {(rev, name, epoch) for rev in ("workspace", "HEAD") for name in names for epoch in "01"}
    changed = {line[3:] for line in git("status", "--porcelain", cwd=clone).splitlines()}
    results = {"results/metrics.json", "results/csv/metrics.csv", "results/checkpoints/evaluation.json"}
    assert changed == {"dvc.lock", "params.yaml", *results}


def test_other_data_run_everything_and_evaluate_says_so(clone: Path, tmp_path: Path) -> None:
    before = locked(clone)["data/reviews/samples.parquet"]
    shutil.copy(clone / "results/checkpoints/best.ckpt", tmp_path / "old.ckpt")
    write_reviews(clone / "data/raw/reviews.csv", 180)
    call(clone, "dvc", "add", "data/raw/reviews.csv")
    assert stages(call(clone, "dvc", "repro")) == ["make_dataset", "train", "evaluate"]
    after = locked(clone)["data/reviews/samples.parquet"]
    assert before != after

    told = f"data/reviews (MD5 {after[:8]}) is not what the checkpoint was trained on (MD5 {before[:8]})"
    text = call(clone, "python", "evaluate.py", f"checkpoint={tmp_path / 'old.ckpt'}")
    assert told in text.splitlines() and (tmp_path / "evaluation.json").exists()
    assert "is not what" not in call(clone, "python", "evaluate.py", "checkpoint=results")

    git("stash", "-q", cwd=clone)
    call(clone, "dvc", "checkout")
    assert hash_of(clone / "data/reviews/samples.parquet") == before
    assert stages(call(clone, "dvc", "repro")) == []
    assert "is not what" not in call(clone, "python", "evaluate.py", f"checkpoint={tmp_path / 'old.ckpt'}")


def test_experiments_run_here_in_a_copy_and_in_a_queue(clone: Path) -> None:
    text = call(clone, "dvc", "exp", "run", "--name", "here", "--set-param", f'options="{SHORT} data.batch_size=16"')
    assert stages(text) == ["train", "evaluate"]
    git("checkout", "-q", "--", ".", cwd=clone)
    call(clone, "dvc", "exp", "run", "--temp", "--name", "copy", "-S", "configs/optimizer/adamw.yaml:lr=3e-2")
    queued = call(clone, "dvc", "exp", "run", "--queue", "-S", "model=bow,lstm", "-S", "seed=7")
    assert len(re.findall("Queued experiment", queued)) == 2
    call(clone, "dvc", "queue", "start")
    deadline = time.monotonic() + 200
    while (status := call(clone, "dvc", "queue", "status")).count("Success") < 2:
        assert "Failed" not in status and time.monotonic() < deadline, status
        time.sleep(2)
    call(clone, "dvc", "queue", "stop")

    shown = call(clone, "dvc", "exp", "show", "--csv", "--only-changed")
    table = list(csv.DictReader(line for line in shown.splitlines() if "," in line))
    assert {row["Experiment"] for row in table} >= {"here", "copy"}
    experiments = [row for row in table if row["rev"] not in ("workspace", "main")]
    assert len(experiments) == 4
    choices = sorted((row["model"], row["params.yaml:seed"]) for row in experiments)
    assert choices == [("bow", "42"), ("bow", "42"), ("bow", "7"), ("lstm", "7")]
    assert len({row["val/loss"] for row in experiments}) == 4


def test_an_interrupted_training_goes_on_and_is_then_committed(clone: Path) -> None:
    set_params(clone, options="trainer.max_epochs=60 callbacks.early_stopping.patience=60")
    last = clone / "results/checkpoints/last.ckpt"
    assert not last.exists()  # it is not among what DVC keeps
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=clone, env=clean_environment() | environment(), start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not last.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    assert not (clone / "results/metrics.json").exists()
    assert "Resuming from" in call(clone, "python", "train.py", "resume=results")
    call(clone, "dvc", "commit", "--force", "train")
    assert stages(call(clone, "dvc", "repro")) == ["evaluate"]
    rows = (clone / "results/csv/metrics.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len([row for row in rows if row.startswith("59,")]) == 1
