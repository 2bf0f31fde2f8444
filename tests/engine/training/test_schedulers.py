"""Every scheduler of torch works as a file of configs/scheduler, and rates are logged once per step."""

import csv
import inspect
import io
from pathlib import Path
from typing import Any

import kindling.training.module as module
import pytest
import torch
from hydra.utils import instantiate
from kindling import Module
from kindling.errors import UsageError
from omegaconf import OmegaConf
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

STEPS = 12

# What a file of configs/scheduler has to say, and the rates of some steps that the rate 1 of the optimizer comes to.
LINEAR = {"_target_": "torch.optim.lr_scheduler.LinearLR", "_partial_": True, "start_factor": 0.5, "total_iters": 2}
DECAY = {"_target_": "torch.optim.lr_scheduler.ExponentialLR", "_partial_": True, "gamma": 0.5}
HALF = {"_target_": "hydra.utils.get_method", "path": f"{__name__}.half"}
CASES: dict[str, tuple[dict[str, Any], dict[int, float]]] = {
    "ChainedScheduler": ({"schedulers": [LINEAR, DECAY]}, {0: 0.5, 1: 0.375, 2: 0.25, 3: 0.125}),
    "ConstantLR": ({"factor": 0.5, "total_iters": 3}, {0: 0.5, 2: 0.5, 3: 1.0}),
    "CosineAnnealingLR": ({"T_max": STEPS}, {0: 1.0, 6: 0.5, 12: 0.0}),
    "CosineAnnealingWarmRestarts": ({"T_0": 4}, {0: 1.0, 2: 0.5, 4: 1.0}),
    "CyclicLR": ({"base_lr": 0.5, "max_lr": 1.5, "step_size_up": 2, "cycle_momentum": False}, {0: 0.5, 2: 1.5, 4: 0.5}),
    "ExponentialLR": ({"gamma": 0.5}, {0: 1.0, 1: 0.5, 2: 0.25}),
    "LambdaLR": ({"lr_lambda": HALF}, {0: 1.0, 1: 0.5, 3: 0.125}),
    "LinearLR": ({"start_factor": 0.5, "total_iters": 2}, {0: 0.5, 1: 0.75, 2: 1.0}),
    "MultiStepLR": ({"milestones": [2, 4], "gamma": 0.5}, {1: 1.0, 2: 0.5, 4: 0.25}),
    "MultiplicativeLR": ({"lr_lambda": HALF}, {0: 1.0, 1: 0.5, 2: 0.125}),
    "OneCycleLR": ({"max_lr": 2.0, "pct_start": 0.5, "final_div_factor": 1e9}, {0: 0.08, 5: 2.0, 11: 0.0}),
    "PolynomialLR": ({"total_iters": 4}, {0: 1.0, 2: 0.5, 4: 0.0}),
    "ReduceLROnPlateau": ({"patience": 0, "factor": 0.5}, {0: 1.0, 1: 1.0, 2: 0.5}),
    "SequentialLR": ({"schedulers": [LINEAR, DECAY], "milestones": [2]}, {0: 0.5, 1: 0.75, 2: 1.0, 3: 0.5}),
    "StepLR": ({"step_size": 2}, {1: 1.0, 2: 0.1, 4: 0.01}),
}


def half(step: int) -> float:
    return 0.5**step


class Linear(Module):
    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.layer = nn.Linear(2, 2)


def scheduler_of(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, **config: Any) -> Any:
    """Return the scheduler that a task builds of a file with these options."""
    monkeypatch.setattr(Linear, "trainer", type("Trainer", (), {"max_epochs": 3}))
    monkeypatch.setattr(module, "total_steps", lambda trainer: STEPS)
    file = {"scheduler": {"_partial_": True} | options, "interval": "step"} | config
    # As Hydra builds a task: lists of a configuration stay its own.
    optimizer = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 1.0, "momentum": 0.9}
    task = instantiate(OmegaConf.create({"_target_": f"{__name__}.Linear", "optimizer": optimizer, "scheduler": file}))
    built: Any = task.configure_optimizers()
    return built["lr_scheduler"]["scheduler"]


def test_every_scheduler_of_torch_has_a_case() -> None:
    classes = {name: value for name, value in vars(lr_scheduler).items() if inspect.isclass(value)}
    bases = {"LRScheduler", "_LRScheduler"}
    assert {name for name, value in classes.items() if issubclass(value, LRScheduler)} - bases == set(CASES)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.filterwarnings("ignore:The epoch parameter in")
def test_a_scheduler_of_torch_works(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, expected = CASES[name]
    scheduler = scheduler_of({"_target_": f"torch.optim.lr_scheduler.{name}"} | options, monkeypatch)
    assert type(scheduler) is getattr(lr_scheduler, name)
    rates = []
    for step in range(STEPS):
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        if step < STEPS - 1 or name != "OneCycleLR":  # which refuses more steps than it was given
            scheduler.step(*[1.0] * (name == "ReduceLROnPlateau"))
    rates.append(scheduler.optimizer.param_groups[0]["lr"])
    assert {step: rates[step] for step in expected} == pytest.approx(expected, abs=1e-7)
    torch.save(scheduler.state_dict(), file := io.BytesIO())
    file.seek(0)
    scheduler_of({"_target_": f"torch.optim.lr_scheduler.{name}"} | options, monkeypatch).load_state_dict(
        torch.load(file, weights_only=True)
    )


def linear(optimizer: Optimizer, total_steps: int, slope: float = 1.0) -> LambdaLR:
    return LambdaLR(optimizer, lambda step: 1 - slope * step / total_steps)


def like_transformers(opt: Optimizer, num_warmup_steps: int, num_training_steps: int) -> LambdaLR:
    return LambdaLR(opt, lambda step: step / num_training_steps)


@pytest.mark.parametrize(
    ("options", "config", "rate"),
    [
        ({"_target_": f"{__name__}.linear"}, {}, 1 - 1 / STEPS),
        ({"_target_": f"{__name__}.linear"}, {"frequency": 4}, 1 - 1 / 3),
        ({"_target_": f"{__name__}.linear", "slope": 0.5}, {"interval": "epoch"}, 1 - 0.5 / 3),
        ({"_target_": f"{__name__}.linear", "total_steps": 2}, {}, 1 / 2),
        ({"_target_": f"{__name__}.like_transformers", "num_warmup_steps": 0}, {}, 1 / STEPS),
    ],
)
def test_a_function_is_given_the_number_of_its_steps(
    options: dict[str, Any], config: dict[str, Any], rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = scheduler_of(options, monkeypatch, **config)
    scheduler.optimizer.step()
    scheduler.step()
    assert scheduler.optimizer.param_groups[0]["lr"] == pytest.approx(rate)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"_target_": "torch.optim.lr_scheduler.ExponentialLR"},
            "scheduler: ExponentialLR: missing a required argument",
        ),
        ({"_target_": "torch.optim.lr_scheduler.OneCycleLR", "max_lr": 1, "pct_start": 7}, "OneCycleLR: .* pct_start"),
        ({"_target_": "torch.optim.lr_scheduler.StepLR", "size": 2}, "scheduler: StepLR: .*'?size"),
    ],
)
def test_a_wrong_argument_is_one_line(options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=said):
        scheduler_of(options, monkeypatch)


@pytest.mark.parametrize("steps", [1, 3])
def test_learning_rates_are_logged_once_per_step(command, dataset, tmp_path: Path, steps: int) -> None:
    options = ["model=bow", "data.batch_size=8", "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "logger=[csv]"]
    options += ["callbacks=[checkpoint,learning_rate]", f"trainer.accumulate_grad_batches={steps}"]
    result = command("train", *dataset, *options, f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    with (tmp_path / "run/csv/steps.csv").open() as file:
        logged = [int(row["step"]) for row in csv.DictReader(file) if row.get("lr-AdamW")]
    last = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert logged == list(range(last["global_step"]))
