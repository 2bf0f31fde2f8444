"""The short way through a step is Lightning's own, only shorter: both are run, and all that can be seen is equal."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from kindling.training import fast
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer, loops
from pytorch_lightning.callbacks import GradientAccumulationScheduler, ModelCheckpoint, StochasticWeightAveraging
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.loops import progress
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torchmetrics import MeanMetric

BATCHES = 7

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Model(LightningModule):
    """A network with whatever a case asks for.

    Args:
        dropout: Share of the hidden values that are dropped.
        schedule: "step", "steps" (every third one), "epoch", "plateau", "plateau_step" or nothing.
        logs: What is logged: "step", "epoch", "both", "some" (one step in three), "metric" or nothing.
        returns: What `training_step` returns: "loss", "dict", "none" or "sometimes" nothing.
        optimizer: Class of the optimizer.
    """

    def __init__(
        self,
        dropout: float = 0.5,
        schedule: str = "",
        logs: str = "",
        returns: str = "loss",
        optimizer: type[torch.optim.Optimizer] = torch.optim.AdamW,
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 6), nn.Dropout(dropout), nn.ReLU(), nn.Linear(6, 2))
        self.mean = MeanMetric()
        self.schedule, self.logs, self.returns, self.optimizer = schedule, logs, returns, optimizer

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        inputs, target = batch["a"] if isinstance(batch, dict) else batch
        loss = nn.functional.cross_entropy(self.network(inputs), target)
        if self.logs == "metric":
            self.mean(loss)
            self.log("loss", self.mean, on_step=True, on_epoch=True, prog_bar=True)
        elif self.logs and (self.logs != "some" or batch_idx % 3 == 1):
            self.log("loss", loss, on_step=self.logs != "epoch", on_epoch=self.logs in ("epoch", "both"), prog_bar=True)
        if self.returns == "none" or (self.returns == "sometimes" and batch_idx % 2):
            return None
        return {"loss": loss, "more": loss.detach() + 1} if self.returns == "dict" else loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("loss", self.network(batch[0]).sum(), prog_bar=True)

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(self.parameters(), lr=0.1)
        if not self.schedule:
            return optimizer
        plateau = self.schedule.startswith("plateau")
        scheduler: LRScheduler = ReduceLROnPlateau(optimizer, patience=0) if plateau else StepLR(optimizer, 2)
        config = {"scheduler": scheduler, "interval": "step" if "step" in self.schedule else "epoch"}
        config |= {"frequency": 3 if self.schedule == "steps" else 1} | ({"monitor": "loss"} if plateau else {})
        return {"optimizer": optimizer, "lr_scheduler": config}


class Memory(Logger):
    """Keeps what is logged."""

    name, version = "memory", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Any] = []

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, {name: repr(value) for name, value in metrics.items()}))

    def save(self) -> None:
        self.rows.append("saved")


def counters(value: Any) -> Any:
    """Return the counters of a loop or of its progress, and of what is in it."""
    inner = (loops._Loop, progress._BaseProgress)
    return {
        name: counters(item) if isinstance(item, inner) else item
        for name, item in vars(value).items()
        if isinstance(item, (*inner, int)) and name != "trainer"
    }


def places(trainer: Any) -> Any:
    """Return all that a hook can see of where training stands."""
    connector, results = trainer._logger_connector, trainer.fit_loop.epoch_loop._results
    shown = (connector._callback_metrics, connector._logged_metrics, connector._progress_bar_metrics)
    return (
        counters(trainer.fit_loop),
        trainer.lightning_module._current_fx_name,
        connector._first_loop_iter,
        (results.batch is None, results.batch_size, results.dataloader_idx),
        [visible(metrics) for metrics in shown],
    )


def visible(value: Any) -> Any:
    """Return a copy of an argument of a hook, which can be compared later."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: visible(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [visible(item) for item in value]
    return value if isinstance(value, int | float | str | None) else type(value).__name__


class Recorder(Callback):
    """Defines every hook, and keeps what it was called with and where training stood."""

    def __init__(self) -> None:
        self.calls: list[Any] = []


def record(hook: str) -> Callable[..., None]:
    def call(self: Recorder, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        self.calls.append((hook, visible(args), visible(kwargs), places(trainer), torch.get_rng_state()))

    return call


ALL_HOOKS = [name for name in vars(Callback) if name.startswith("on_") and "checkpoint" not in name]
for name in (*ALL_HOOKS, "setup", "teardown"):
    setattr(Recorder, name, record(name))


def module_that_records(model: LightningModule, calls: list[Any]) -> LightningModule:
    """Give a module every hook of a step but `on_train_batch_start`, which would lead Lightning's way."""
    hooks = {}
    for name in {*fast.HOOKS, "on_train_epoch_start", "on_train_epoch_end"} - set(fast.STEPS):

        def hook(self: LightningModule, *args: Any, name: str = name) -> None:
            gradients = [None if p.grad is None else p.grad.clone() for p in self.parameters()]
            calls.append((f"module {name}", visible(args), places(self.trainer), gradients))
            if name in ("on_before_zero_grad", "on_after_backward"):
                self.log(name, torch.tensor(float(len(calls))), on_step=True, on_epoch=True)

        hooks[name] = hook
    model.__class__ = type(type(model).__name__, (type(model),), hooks)
    return model


def table(number: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(number)
    return TensorDataset(torch.randn(4 * BATCHES - 1, 4, generator=generator), torch.arange(4 * BATCHES - 1) % 2)


def loader(**options: Any) -> Any:
    return DataLoader(table(), batch_size=4, shuffle=True, **options)


class Case:
    """A training: what is given to the trainer, the module and `fit`.

    Args:
        name: Of the test.
        callbacks: Returns callbacks beside the recorder.
        data: Returns the loader of training batches, or a data module.
        module: Returns the module; without it, one is made with `options`.
        trainer: Options of the trainer.
        options: Options of the module.
    """

    def __init__(
        self,
        name: str,
        trainer: dict[str, Any] | None = None,
        callbacks: Callable[[], list[Callback]] = list,
        data: Callable[[], Any] = loader,
        module: Callable[[], LightningModule] | None = None,
        **options: Any,
    ) -> None:
        self.name, self.callbacks, self.data = name, callbacks, data
        self.trainer = trainer or {}
        self.module = module or (lambda: Model(**options))

    def run(self, folder: Path, is_fast: bool, resume: Path | None = None) -> dict[str, Any]:
        """Train, and return all that can be seen of it."""
        torch.manual_seed(1)
        recorder, logger = Recorder(), Memory()
        module = module_that_records(self.module(), recorder.calls)
        options = {"max_epochs": 2, "accelerator": "cpu", "devices": 1, "log_every_n_steps": 2, **self.trainer}
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        callbacks = self.callbacks()
        quiet["enable_checkpointing"] = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
        trainer = Trainer(**quiet | options, default_root_dir=folder, logger=logger, callbacks=[*callbacks, recorder])
        if is_fast:
            fast.speed_up(trainer)
        data = self.data()
        error = None
        validation = None if isinstance(data, LightningDataModule) else DataLoader(table(1), batch_size=8)
        try:
            trainer.fit(module, data, validation, ckpt_path=resume)
        except (Stopped, MisconfigurationException, SIGTERMException) as raised:
            error = repr(raised)
        checkpoint = trainer._checkpoint_connector.dump_checkpoint() if trainer.optimizers else {}
        saved = {
            file.name: {key: value for key, value in torch.load(file, weights_only=False).items() if key != "callbacks"}
            for file in sorted(folder.rglob("*.ckpt"))
        }
        return {
            "hooks": [call[0] for call in recorder.calls],
            "calls": recorder.calls,
            "rows": logger.rows,
            "checkpoint": {key: value for key, value in checkpoint.items() if key != "callbacks"},
            "saved": saved,
            "weights": module.state_dict(),
            "generator": torch.get_rng_state(),
            "metrics": dict(trainer.callback_metrics),
            "error": error,
        }


class Stopped(Exception):
    pass


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def differences(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {key for key in one if not same(one[key], other[key])}


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batches that went the short way."""
    steps: list[int] = []
    step = fast.ShortWay.step

    def counted(self: fast.ShortWay, fetcher: Any) -> None:
        steps.append(self.loop.batch_progress.current.ready)
        step(self, fetcher)

    monkeypatch.setattr(fast.ShortWay, "step", counted)
    return steps


def compare(case: Case, folder: Path, **resume: Path) -> set[str]:
    """Return what differs between Lightning's way and the short one."""
    return differences(*(case.run(folder / f"{is_fast}", is_fast, **resume) for is_fast in (False, True)))


class At(Callback):
    """Does something at the end of one batch, counted over all epochs."""

    def __init__(self, batch: int, act: Callable[[Trainer], None], hook: str = "on_train_batch_end") -> None:
        self.batch, self.act = batch, act
        setattr(self, hook, self.look)

    def look(self, trainer: Trainer, *args: Any) -> None:
        if trainer.fit_loop.total_batch_idx == self.batch:
            self.act(trainer)


def stop(trainer: Trainer) -> None:
    trainer.should_stop = True


def fail(trainer: Trainer) -> None:
    raise Stopped


def lower(trainer: Trainer) -> None:
    trainer.fit_loop.epoch_loop.max_steps = trainer.global_step


def terminate(trainer: Any) -> None:
    trainer._signal_connector.received_sigterm = True


def save(trainer: Trainer) -> None:
    trainer.save_checkpoint(Path(trainer.default_root_dir, f"at-{trainer.global_step}.ckpt"))


def add(trainer: Any) -> None:
    trainer.callbacks.append(Logs())


class Logs(Callback):
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        pl_module.log("callback", float(trainer.global_step), prog_bar=True)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if trainer.global_step % 4 == 2:
            pl_module.log("seldom", torch.rand(()), on_epoch=True)


class Moves(Model):
    """Changes its batches on their way to the device, and its gradients in a way of its own."""

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return [batch[0] + torch.rand(()), batch[1]]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return [part.to(device) for part in batch]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return [batch[0] * 2, batch[1]]

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        assert self._current_fx_name == "configure_gradient_clipping"
        for parameter in self.parameters():
            parameter.grad *= 0.5


class Data(LightningDataModule):
    def train_dataloader(self) -> Any:
        return loader()

    def val_dataloader(self) -> Any:
        return DataLoader(table(1), batch_size=8)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return [batch[0] + 1, batch[1]]


class ByBatchAlone(Model):
    def training_step(self, batch: Any) -> Any:  # type: ignore[override]
        return super().training_step(batch, 1)


class Hooked(torch.optim.SGD):
    """Draws a random number before each step, which comes before the dropout of Lightning's closure."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_step_pre_hook(lambda *_: torch.rand(1) and None)


class Twice(torch.optim.SGD):
    """Evaluates the loss twice a step, as optimizers that look around do."""

    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            closure()
        return super().step(closure)


class Few(torch.optim.LBFGS):
    """Evaluates the loss as often as it likes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, max_iter=3)


class Deaf(torch.optim.SGD):
    """Ignores its closure."""

    def step(self, closure: Any = None) -> Any:
        return super().step()


class Short(DataLoader[Any]):
    """Has fewer batches than it says."""

    def __iter__(self) -> Iterator[Any]:
        yield from list(super().__iter__())[:4]


class WithNone(DataLoader[Any]):
    """Yields nothing in place of some batches."""

    def __iter__(self) -> Iterator[Any]:
        for number, batch in enumerate(super().__iter__()):
            yield None if number % 3 == 1 else batch


SHORT = [
    Case("plain", dropout=0.0),
    Case("dropout", logs="both"),
    Case("clipped", {"gradient_clip_val": 0.1}),
    Case("clipped by value", {"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"}, schedule="step"),
    Case("every third step", schedule="steps", logs="step"),
    Case("by epoch", schedule="epoch", logs="epoch"),
    Case("plateau", {"val_check_interval": 0.5}, schedule="plateau"),
    Case("validates after each half", {"val_check_interval": 0.5}, logs="both"),
    Case("validates after three", {"val_check_interval": 3}, logs="some"),
    Case("validates after five across epochs", {"val_check_interval": 5, "check_val_every_n_epoch": None}, logs="both"),
    Case("validates every second epoch", {"check_val_every_n_epoch": 2, "max_epochs": 3}),
    Case("never validates", {"limit_val_batches": 0}, logs="some"),
    Case("some batches", {"limit_train_batches": 5, "num_sanity_val_steps": 0}),
    Case("half of the batches", {"limit_train_batches": 0.5, "log_every_n_steps": 1}, logs="both"),
    Case("so many steps", {"max_steps": 10, "max_epochs": -1}, schedule="step"),
    Case("as many steps as batches", {"max_steps": BATCHES, "max_epochs": -1}),
    Case("stops amid an epoch", {"limit_val_batches": 1}, lambda: [At(3, stop)], logs="step"),
    Case("stops amid a batch", None, lambda: [At(9, stop, "on_before_backward")], logs="both"),
    Case("may not stop", {"min_epochs": 2, "max_epochs": 3}, lambda: [At(3, stop)], logs="both"),
    Case("may not stop yet", {"min_steps": 5}, lambda: [At(3, stop)], logs="both"),
    Case("terminated", None, lambda: [At(3, terminate)]),
    Case("fewer steps than planned", {"max_steps": 12, "max_epochs": -1}, lambda: [At(3, lower)]),
    Case("fails", None, lambda: [At(9, fail)]),
    Case("fails in the backward pass", None, lambda: [At(3, fail, "on_after_backward")]),
    Case("another callback", None, lambda: [At(2, add)]),
    Case("callbacks log", None, lambda: [Logs()], logs="some"),
    Case("a metric", {"log_every_n_steps": 3}, logs="metric"),
    Case("no log at all", {"log_every_n_steps": 0}, logs="both"),
    Case("returns a dictionary", {"gradient_clip_val": 0.1}, returns="dict", logs="step"),
    Case("returns nothing", returns="none"),
    Case("returns nothing sometimes", returns="sometimes", schedule="step"),
    Case("batch alone", module=ByBatchAlone),
    Case("own transfer and clipping", module=Moves),
    Case("data module", data=Data),
    Case("fewer batches than promised", data=lambda: Short(table(), batch_size=4)),
    Case("batches that are none", data=lambda: WithNone(table(), batch_size=4), schedule="step"),
    Case("several loaders", data=lambda: {"a": loader(), "b": loader()}),
    Case("overfit", {"overfit_batches": 4}),
    Case("new loaders", {"reload_dataloaders_every_n_epochs": 1}),
    Case("worker process", {"max_epochs": 1}, data=lambda: loader(num_workers=1)),
    Case("bf16", {"precision": "bf16-mixed", "gradient_clip_val": 0.1}, logs="both"),
    Case("lbfgs", optimizer=Few),
    Case("optimizer with a hook", optimizer=Hooked, schedule="step"),
    Case("two closures a step", optimizer=Twice),
    Case("saves", None, lambda: [ModelCheckpoint(every_n_train_steps=2, save_top_k=-1)], schedule="step"),
    Case("accumulates later", {"max_epochs": 3}, lambda: [GradientAccumulationScheduler({1: 2})], logs="both"),
    Case("averages weights", {"max_epochs": 3}, lambda: [StochasticWeightAveraging(0.01, 1, 1)]),
]


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_the_short_way_is_lightnings_way(case: Case, tmp_path: Path, short_steps: list[int]) -> None:
    assert compare(case, tmp_path) == set()
    assert short_steps


def test_only_the_steps_after_which_something_is_due_go_the_long_way(tmp_path: Path, short_steps: list[int]) -> None:
    Case("", {"val_check_interval": 3, "max_epochs": 1}).run(tmp_path, True)
    assert short_steps == [0, 1, 3, 4]


class Odd(SingleDeviceStrategy):
    """A strategy that may do whatever it likes."""


def override(name: str) -> Callable[[], LightningModule]:
    """Return a maker of modules that override one method, in which they do what Lightning does."""

    def method(self: LightningModule, *args: Any, **kwargs: Any) -> Any:
        return getattr(super(type(self), self), name)(*args, **kwargs) if False else base(self, *args, **kwargs)

    base = getattr(LightningModule, name)
    return lambda: type("Overrides", (Model,), {name: method})(schedule="step")


class Manual(Model):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        optimizer: Any = self.optimizers()
        loss = super().training_step(batch, batch_idx)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


class Iterates(Model):
    def training_step(self, dataloader_iter: Iterator[Any]) -> Any:  # type: ignore[override]
        batch, batch_idx, _ = next(dataloader_iter)
        return super().training_step(batch, batch_idx)


class Skips(Model):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if batch_idx == 3 else None


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from table()


LONG = [
    Case("accumulates", {"accumulate_grad_batches": 2}, logs="both"),
    Case("profiler", {"profiler": "simple"}),
    Case("strategy", {"strategy": Odd(torch.device("cpu")), "accelerator": "auto"}),
    Case("precision", {"precision": "64-true"}, module=lambda: Model(dropout=0.1)),
    Case("development", {"fast_dev_run": 3}),
    Case("validates by the clock", {"val_check_interval": "00:01:00:00"}),
    Case("plateau by step", schedule="plateau_step", logs="both"),
    Case("manual", module=Manual),
    Case("iterator", module=Iterates),
    Case("skips the rest", module=Skips),
    Case("stream", data=lambda: DataLoader(Stream(), batch_size=4)),
    *(Case(name, module=override(name)) for name in fast.STEPS),
]


@pytest.mark.parametrize("case", LONG, ids=lambda case: case.name)
def test_what_is_unusual_goes_lightnings_way(case: Case, tmp_path: Path, short_steps: list[int]) -> None:
    assert compare(case, tmp_path) == set()
    assert short_steps == []


def test_an_optimizer_that_ignores_its_closure_is_refused_on_both_ways(tmp_path: Path) -> None:
    case = Case("", optimizer=Deaf)
    for is_fast in (False, True):
        assert "losure" in case.run(tmp_path, is_fast)["error"]


@pytest.mark.parametrize("number", range(8))
def test_any_mixture_goes_the_same_way(number: int, tmp_path: Path) -> None:
    choose = random.Random(number).choice
    trainer = {
        "gradient_clip_val": choose([None, 0.05]),
        "val_check_interval": choose([1.0, 0.4, 2]),
        "limit_train_batches": choose([1.0, 5]),
        "log_every_n_steps": choose([1, 3, 50]),
        "precision": choose(["32-true", "bf16-mixed"]),
    } | choose([{}, {"max_steps": choose([6, 9]), "max_epochs": -1}])
    options = {
        "dropout": choose([0.0, 0.3]),
        "schedule": choose(["", "step", "steps", "epoch", "plateau"]),
        "logs": choose(["", "step", "epoch", "both", "some", "metric"]),
        "returns": choose(["loss", "dict", "sometimes"]),
        "optimizer": choose([torch.optim.AdamW, torch.optim.Adagrad, Hooked]),
    }
    assert compare(Case("", trainer, lambda: [Logs()], **options), tmp_path) == set()


@pytest.mark.parametrize("batch", [2, 8, 2 * BATCHES - 2])
@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_validation_end"])
def test_a_training_goes_on_from_either_ways_checkpoint(
    batch: int, hook: str, tmp_path: Path, short_steps: list[int]
) -> None:
    begins = Case("", {"val_check_interval": 3}, lambda: [At(batch, save, hook)], schedule="step", logs="both")
    goes_on = Case("", {"val_check_interval": 3, "max_epochs": 3}, schedule="step", logs="both")
    assert compare(begins, tmp_path) == set()
    for saved in tmp_path.glob("*/*.ckpt"):
        assert compare(goes_on, tmp_path / f"from {saved.parent.name}", resume=saved) == set()
    assert short_steps


def skip_counter(way: fast.ShortWay) -> None:
    way._call("on_before_zero_grad", way.optimizer)
    way.optimizer.zero_grad()


def late_zero(way: fast.ShortWay) -> None:
    way._progress.zero_grad.increment_ready()
    way._call("on_before_zero_grad", way.optimizer)
    way._progress.zero_grad.increment_started()
    way._progress.zero_grad.increment_completed()


MISTAKES = [
    ("_step_schedulers", lambda way, steps: None, {"weights", "calls"}),
    ("_zero_grad", skip_counter, {"calls", "checkpoint"}),
    ("_zero_grad", late_zero, {"weights", "calls"}),
    ("_clip", lambda way: torch.rand(1), {"weights", "generator"}),
    ("_name", lambda way, hook: None, {"error"}),
    ("_call", lambda way, hook, *args: None, {"hooks"}),
]


@pytest.mark.parametrize(("method", "mistake", "found"), MISTAKES)
def test_a_mistake_on_the_short_way_would_be_found(
    method: str, mistake: Any, found: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast.ShortWay, method, mistake)
    assert found <= compare(Case("", schedule="step", logs="both"), tmp_path)


def test_values_that_a_validation_has_logged_are_replaced_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("", {"val_check_interval": 3, "log_every_n_steps": 5}, logs="some", module=None)
    assert compare(case, tmp_path / "right") == set()
    monkeypatch.setattr(fast._Results, "changed", property(lambda self: False, lambda self, value: None))
    assert compare(case, tmp_path / "wrong") != set()
