import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from hashlib import md5
from pathlib import Path

import pytest
import torch
import yaml

ROOT = Path(__file__).parent.parent
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def filled(text: str) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: str(PARAMS[match[1]]), text)


def commands() -> list[str]:
    found = [stage["cmd"] for stage in PIPELINE["stages"].values()]
    return [filled(line) for lines in found for line in (lines if isinstance(lines, list) else [lines])]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the pipeline consists of."""
    folder = tmp_path / "a copy"
    for name in (".dvc/config", ".dvcignore", "dvc.yaml", "params.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@pytest.mark.parametrize("command", ["stage list --name-only", "dag --outs"])
def test_dvc_reads_the_pipeline(project: Path, command: str) -> None:
    pytest.importorskip("dvc")
    environment = os.environ | {"DVC_SITE_CACHE_DIR": str(project.parent / "site"), "HOME": str(project.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *command.split()], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = PIPELINE["stages"] if "list" in command else ["samples.parquet", "best.ckpt", "metrics.json"]
    assert [name for name in expected if name not in done.stdout] == []
    assert done.stderr == ""


def test_every_file_and_key_that_the_pipeline_names_exists() -> None:
    outs = {filled(next(iter(out)) if isinstance(out, dict) else out) for out in _listed("outs", "metrics")}
    deps = {filled(dep) for dep in _listed("deps")} - outs
    there = {dep for dep in deps if (ROOT / dep).exists() or (ROOT / f"{dep}.dvc").exists()}
    assert deps - there == set()
    for entry in _listed("params"):
        for file, keys in entry.items():
            config = yaml.safe_load((ROOT / filled(file)).read_text(encoding="utf-8"))
            assert [key for key in keys or [] if key not in config] == [], file
    used = set(re.findall(r"\$\{(\w+)\}", (ROOT / "dvc.yaml").read_text(encoding="utf-8")))
    assert used == PARAMS.keys()


def _listed(*kinds: str) -> list:
    return [entry for stage in PIPELINE["stages"].values() for kind in kinds for entry in stage.get(kind, [])]


def test_every_choice_of_the_parameters_is_watched() -> None:
    """A group that the command chooses from is among the files that DVC compares."""
    files = {file for entry in PIPELINE["stages"]["train"]["params"] for file in entry}
    watched = {match[1] for file in files if (match := re.fullmatch(r"configs/(\w+)/\$\{\1\}\.yaml", file))}
    groups = [name for name in PARAMS if (ROOT / "configs" / name).is_dir() and name != "logger"]
    assert groups == ["task", "data", "model", "optimizer", "scheduler"]
    assert [name for name in groups if name not in watched] == []


@pytest.mark.parametrize("line", [line for line in commands() if " -c " not in line])
def test_the_commands_take_the_options_that_the_pipeline_gives(command, line: str) -> None:
    python, file, *options = shlex.split(line)
    assert python == "python"
    result = command(file.removesuffix(".py"), *options, "--cfg", "job")
    assert result.code == 0, result.err


def test_git_keeps_what_is_small(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    small = ["metrics.json", "csv/metrics.csv", "checkpoints/evaluation.json"]
    files = [f"results/{name}" for name in [*small, "run.json", "checkpoints/best.ckpt", "csv/hparams.yaml"]]
    files += ["data/raw/a.csv.dvc", "data/raw/.gitignore", "data/raw/a.csv", "data/a/samples.parquet"]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    command = ["git", "ls-files", "--others", "--exclude-standard", "data", "results"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    kept = ["data/raw/.gitignore", "data/raw/a.csv.dvc", *sorted(f"results/{name}" for name in small)]
    assert sorted(shown) == kept


def test_the_plots_ask_for_what_a_run_leaves(command, dataset, tmp_path) -> None:
    options = ["model=bow", "debug=fast", "logger=[csv]", "callbacks=[checkpoint,report]"]
    assert command("train", *dataset, *options, f"paths.run={tmp_path / 'results'}").code == 0
    for plot in (plot for plots in PIPELINE["plots"] for plot in plots.values()):
        ((file, columns),) = plot["y"].items()
        header = (tmp_path / file).read_text(encoding="utf-8").splitlines()[0].split(",")
        assert {plot["x"], *([columns] if isinstance(columns, str) else columns)} <= set(header)
    template = (ROOT / ".dvc/plots/curves.json").read_text(encoding="utf-8")
    header = (tmp_path / "results/csv/metrics.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    named = set(re.findall(r"datum(?:\.|\[')([a-z/]+)\b", template))
    assert named == {"train/loss", "step"} and named <= set(header)
    assert json.loads(template)["mark"]["type"] == "line"


def options_for(path: Path, folder: Path) -> list[str]:
    options = ["data=csv", f"data.path={path}", "data.text=review", "data.label=stars", "data.vocab_size=400"]
    return [*options, f"data.dir={folder}"]


def file_md5(folder: Path) -> str:
    return md5((folder / "samples.parquet").read_bytes()).hexdigest()


def test_a_dataset_states_its_md5_also_one_of_an_earlier_version(command, reviews, tmp_path) -> None:
    folder = tmp_path / "made"
    command("make_dataset", *options_for(reviews, folder))
    facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    assert facts["md5"] == file_md5(folder)
    older = {name: value for name, value in facts.items() if name != "md5"}
    (folder / "dataset.json").write_text(json.dumps(older), encoding="utf-8")
    assert command("make_dataset", *options_for(reviews, folder)).code == 0
    assert json.loads((folder / "dataset.json").read_text(encoding="utf-8")) == facts


def test_evaluate_says_when_the_data_are_not_those_of_the_checkpoint(command, reviews, tmp_path) -> None:
    source, folder, run = tmp_path / "reviews.csv", tmp_path / "made", tmp_path / "run"
    shutil.copy(reviews, source)
    options = options_for(source, folder)
    command("make_dataset", *options)
    command("train", *options, "model=bow", "debug=fast", "logger=[csv]", "callbacks=[checkpoint]", f"paths.run={run}")
    before = file_md5(folder)
    state = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["TextFile"]
    assert state["md5"] == before
    assert before in command("evaluate", f"inspect={run}").out
    assert "trained on" not in command("evaluate", f"checkpoint={run}").err

    # As `dvc checkout` does: other samples, and beside them the tokens of those before.
    first = shutil.copytree(folder / "tokens", tmp_path / "tokens")
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    source.write_text("".join([*lines, *(line.replace(" ", " new ", 1) for line in lines[1:30])]), encoding="utf-8")
    command("make_dataset", *options)
    shutil.copytree(first, folder / "tokens", dirs_exist_ok=True)
    after = file_md5(folder)
    result = command("evaluate", f"checkpoint={run}")
    assert result.code == 0, result.err
    assert f"(MD5 {after[:8]}) is not what the checkpoint was trained on (MD5 {before[:8]})" in result.err
    counts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["num_samples"]
    tokens = {len((path / "offsets.npy").read_bytes()) for path in (folder / "tokens").iterdir()}
    assert len(tokens) > 1 and counts > len(lines) - 1  # it cut the new texts with the checkpoint's tokenizer
    assert json.loads((run / "checkpoints/evaluation.json").read_text(encoding="utf-8"))
