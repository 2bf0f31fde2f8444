import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
from commands import ROOT
from hydra._internal import hydra as hydra_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from kindling.startup import compose_once
from omegaconf import DictConfig, OmegaConf


def python(code: str, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("model", "needed"), [("bow", set()), ("bert", {"transformers"})])
def test_training_imports_nothing_heavy_that_it_does_not_use(dataset, tmp_path, model: str, needed: set[str]) -> None:
    code = "import runpy, sys; runpy.run_path('train.py', run_name='__main__'); print(*sys.modules)"
    callbacks = "callbacks=[record,checkpoint,early_stopping,learning_rate,progress]"  # test_report.py has the report
    options = [f"model={model}", "debug=fast", "logger=[csv]", callbacks, f"paths.runs={tmp_path}"]
    modules = set(python(code, *dataset, *options).splitlines()[-1].split())
    heavy = {"datasets", "matplotlib", "pandas", "scipy", "sklearn", "tensorboard", "transformers"}
    assert heavy & modules == needed


def test_text_metrics_of_torchmetrics_find_the_real_transformers() -> None:
    code = """
import sys
from kindling.startup import import_torchmetrics
import_torchmetrics()
from torchmetrics.functional.text import bert
print("transformers" in sys.modules)
from transformers import AutoConfig
config = AutoConfig.for_model("bert", vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1)
print(type(bert.AutoModel.from_config(config)).__name__)
"""
    assert python(code).split() == ["False", "BertModel"]


def test_plots_of_torchmetrics_find_the_real_matplotlib(tmp_path) -> None:
    code = """
import sys
from kindling.startup import import_torchmetrics
import_torchmetrics()
print("matplotlib" in sys.modules, "scipy" in sys.modules)
import torch
from torchmetrics.classification import MulticlassConfusionMatrix
metric = MulticlassConfusionMatrix(num_classes=3)
metric.update(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]))
metric.plot()[0].savefig(sys.argv[1])
"""
    assert python(code, str(tmp_path / "plot.png")).split() == ["False", "False"]
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_copy_of_the_project_runs_its_own_code(tmp_path) -> None:
    made = shutil.ignore_patterns("data", "runs", "results", ".*", "__pycache__")
    own = shutil.ignore_patterns("somebody_*")  # of test_user.py, in another process
    copy = tmp_path / "a copy"
    shutil.copytree(ROOT, copy, ignore=lambda path, names: (made if Path(path) == ROOT else own)(path, names))
    with (copy / "src/kindling/errors.py").open("a") as file:
        file.write("print('code of the copy')\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}  # as an editable install of the original leads to
    command = [sys.executable, str(copy / "make_dataset.py"), "data=nothing"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "code of the copy" in done.stdout
    assert done.returncode == 2
    assert "there is no such data" in done.stderr


@pytest.mark.parametrize(
    "options", [["a=2"], ["more=run", "hydra.job.name=x"], ["more=sweep"], ["more=sweep", "a=3,4"], ["-m", "a=3,4"]]
)
def test_a_configuration_is_composed_once_and_is_the_one_that_hydra_composes(tmp_path, monkeypatch, options) -> None:
    (tmp_path / "configs/more").mkdir(parents=True)
    (tmp_path / "configs/app.yaml").write_text("defaults: [_self_, {optional more: null}]\na: 1\nb: ${now:%Y}\n")
    for mode in ("run", "sweep"):
        sets = f"# @package _global_\nhydra: {{mode: {'RUN' if mode == 'run' else 'MULTIRUN'}}}\n"
        (tmp_path / f"configs/more/{mode}.yaml").write_text(sets)
    composed: list[str] = []
    load = ConfigLoaderImpl._load_configuration_impl

    def counted(self: ConfigLoaderImpl, *args: Any, **options: Any) -> Any:
        composed.append("once")
        return load(self, *args, **options)

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", counted)
    compose_once()
    ours = hydra_module.Hydra
    results, counts = [], []
    for kind in (ours, ours.__base__):
        monkeypatch.setattr(hydra_module, "Hydra", kind)
        jobs: list[Any] = []

        @hydra.main(version_base="1.3", config_path=str(tmp_path / "configs"), config_name="app")
        def main(cfg: DictConfig, jobs: list[Any] = jobs) -> None:
            jobs.append((OmegaConf.to_container(cfg), OmegaConf.to_container(HydraConfig.get().copy(), resolve=False)))

        dirs = [f"hydra.run.dir={tmp_path}/out", f"hydra.sweep.dir={tmp_path}/out", "hydra.job.chdir=false"]
        monkeypatch.setattr("sys.argv", ["app.py", *options, *dirs])
        monkeypatch.chdir(tmp_path)
        composed.clear()
        main()
        results.append(jobs)
        counts.append(len(composed))
    assert results[0] == results[1] and results[0]
    if options in (["a=2"], ["more=run", "hydra.job.name=x"]):
        assert counts == [1, 2]
