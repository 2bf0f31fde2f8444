import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
import torch
from commands import ROOT
from kindling.checkpoints.find import find_checkpoint
from kindling.checkpoints.predictor import Predictor
from kindling.errors import UsageError

TEXTS = ["good good good", "a much longer text that is bad and has many words in it", "fine"]

PREDICT = """
import json, sys
from kindling.checkpoints.predictor import Predictor
rows = [{"review": text} for text in json.loads(sys.argv[1])]
for path in sys.argv[2:]:
    predictor = Predictor(path)
    print(json.dumps(predictor.task(predictor.data.encode(rows)).tolist()))
"""


def test_a_checkpoint_is_enough_by_itself(command, dataset, tmp_path) -> None:
    run, empty, models = tmp_path / "run", tmp_path / "empty", ["bert", "lstm", "bow"]
    empty.mkdir()
    for model in models:
        options = [f"model={model}", "debug=fast", "logger=[csv]", "callbacks=[checkpoint]", f"paths.run={run}"]
        command("train", *dataset, *options)
        (run / "checkpoints/best.ckpt").rename(empty / f"{model}.ckpt")
        shutil.rmtree(run)
    package = empty / "site"  # the installed package: no configs/, no data
    shutil.copytree(ROOT / "src", package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(package),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, json.dumps(TEXTS), *(f"{model}.ckpt" for model in models)],
        cwd=empty, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for model, line in zip(models, done.stdout.splitlines()[-len(models) :], strict=True):
        here = Predictor(empty / f"{model}.ckpt")
        logits = here.task(here.data.encode([{"review": text} for text in TEXTS]))
        assert torch.equal(torch.tensor(json.loads(line)), logits)


def test_a_checkpoint_holds_plain_values_only(trained) -> None:
    checkpoint = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str | int) and plain(item) for key, item in value.items())
        return all(map(plain, value)) if isinstance(value, list) else isinstance(value, str | int | float | None)

    assert plain(checkpoint["config"])
    assert checkpoint["config"]["data"]["dir"].startswith(("/", "data", "./data"))


def test_best_is_the_checkpoint_with_the_best_monitored_metric(command, dataset, tmp_path) -> None:
    overrides = [
        "model=bow",
        "trainer.max_epochs=4",
        "logger=[csv]",
        "callbacks=[checkpoint]",
        "monitor=val/loss",
        "mode=max",
    ]
    command("train", *dataset, *overrides, f"paths.run={tmp_path / 'run'}")  # watching for the worst: the first epoch
    best = torch.load(tmp_path / "run/checkpoints/best.ckpt", weights_only=True)
    last = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert (best["epoch"], last["epoch"]) == (0, 3)


def test_find_checkpoint_knows_files_folders_and_the_newest_run(tmp_path) -> None:
    for number, run in enumerate(["old", "new"]):
        for name in ("best", "last"):
            file = tmp_path / run / "checkpoints" / f"{name}.ckpt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            os.utime(file, (number, number))
    assert find_checkpoint("best", tmp_path) == tmp_path / "new/checkpoints/best.ckpt"
    assert find_checkpoint("last", tmp_path) == tmp_path / "new/checkpoints/last.ckpt"
    assert find_checkpoint(str(tmp_path / "old"), tmp_path) == tmp_path / "old/checkpoints/best.ckpt"
    assert find_checkpoint(str(tmp_path / "old/checkpoints/last.ckpt"), tmp_path).name == "last.ckpt"
    with pytest.raises(UsageError, match=r"bset\.ckpt: no such checkpoint; did you mean .*best\.ckpt"):
        find_checkpoint(str(tmp_path / "old/checkpoints/bset.ckpt"), tmp_path)
    with pytest.raises(UsageError, match="train a model first"):
        find_checkpoint("best", tmp_path / "nowhere")
