"""The checks: each runs `train.py` as a user would, and says what to change where its promise is not kept."""

import hashlib
import json
import math
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.load import load_data
from ..overrides import quote
from .command import Ended, besides, run_command
from .end import checkpoint, differences, end_state, log_rows

FEW = [
    *("trainer.max_epochs=2", "trainer.limit_train_batches=4", "trainer.log_every_n_steps=1"),
    *("trainer.limit_val_batches=2", "trainer.limit_test_batches=2", "logger=[csv]", "callbacks=[checkpoint]"),
]
TWO = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]

# In parts of the way that training has moved the weights. In double precision another order of summation changes 1e-12
# of it, and a wrong share of a batch 1e-3; in single precision Adam can turn rounding errors into 1e-3.
DOUBLE = "trainer.precision=64-true"
TOLERANCE, TOLERANCE_ELSE = 1e-6, 1e-2


def check_trains(overrides: Sequence[str], folder: Path) -> Path:
    """Check that a training with these options runs and that its losses are finite; return the folder of the run.

    Args:
        overrides: Options of `train.py`, such as `["model=bert", "data=csv"]`. They win over `FEW`.
        folder: Where the dataset and the run go.

    Raises:
        AssertionError: The training failed, or a loss is not a finite number.
    """
    run = folder / ("run-" + hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:8])
    if not Path(run, "metrics.json").exists():
        _train(overrides, run, make=True)
    rows = [*log_rows(run), json.loads(Path(run, "metrics.json").read_text(encoding="utf-8"))]
    losses = [(name, value) for row in rows for name, value in row.items() if name.endswith("loss")]
    for name, value in losses:
        _require(
            value is not None and math.isfinite(value),
            f"{name} became {value}: lower optimizer.lr, or look for a division by zero or the logarithm of zero in "
            "the model and the loss (trainer.detect_anomaly=true names the line)",
        )
    return run


def check_resumes(overrides: Sequence[str], folder: Path) -> None:
    """Check that a training that is interrupted amid an epoch, and resumed, ends with the bits of one that was not.

    The same have to be weights, buffers, optimizers, schedulers, steps, and every row of the log, with dropout.

    Args:
        overrides: Options of `train.py`.
        folder: Where the dataset and the runs go.

    Raises:
        AssertionError: Something differs, or nothing was left to resume.
    """
    whole = check_trains(overrides, folder)
    broken = whole.with_name(f"{whole.name}-resumed")
    ended = _train([*overrides, _probe(interrupt=True)], broken, check=False)
    _require(
        ended.code == 128 + signal.SIGINT and Path(broken, "checkpoints/last.ckpt").exists(),
        "Ctrl-C amid the second epoch did not leave a checkpoint to go on from; an epoch needs two batches or more, "
        f"and LastCheckpoint has to be among the callbacks\n{ended.said}",
    )
    _succeed(run_command("train", [f"resume={quote(broken)}", _probe()], folder))
    different = list(differences(end_state(whole), end_state(broken)))
    _require(
        not different,
        f"resumed amid an epoch, training does not end as it would have: {_few(different)} differ. What a module "
        "changes while it trains has to be in its checkpoint: make a tensor a buffer (register_buffer), save anything "
        "else in on_save_checkpoint and restore it in on_load_checkpoint. Random numbers are the same only from the "
        "generators of torch, NumPy and Python, which are seeded for each batch, not from a generator of its own",
    )


def check_predicts_alone(overrides: Sequence[str], folder: Path, rows: Sequence[Mapping[str, Any]] = ()) -> None:
    """Check that a checkpoint in an empty folder, without its dataset, predicts, and the same in every process.

    Args:
        overrides: Options of `train.py`.
        folder: Where the dataset and the run go. The checkpoint that predicts does not know where the dataset is.
        rows: Rows to predict from; if there are none, the first of the dataset.

    Raises:
        AssertionError: The checkpoint needs more than itself, or two processes disagree about a prediction.
    """
    run = check_trains(overrides, folder)
    alone = run.with_name(f"{run.name}-alone")
    alone.mkdir(exist_ok=True)
    content = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    config = _without_dataset(content["config"], folder / "data")
    if "dir" in config["data"]:
        config["data"]["dir"] = "no-dataset"
    torch.save(content | {"config": config}, alone / "model.ckpt")
    text = "".join(json.dumps(dict(row)) + "\n" for row in rows or _first_rows(run))
    Path(alone, "rows.jsonl").write_text(text, encoding="utf-8")
    said = []
    for output in ("first.jsonl", "second.jsonl"):
        options = ["checkpoint=model.ckpt", "input=rows.jsonl", f"output={output}"]
        ended = run_command("predict", options, alone, paths=False)
        _require(
            ended.code == 0,
            "the checkpoint does not predict in an empty folder without the dataset. What the model reads from a "
            "file when it is built has to be in the checkpoint: keep it in a buffer, or give the model a "
            "rebuild(), as models/transformer.py has; a data module keeps what it needs in state_dict()\n" + ended.said,
        )
        said.append([json.loads(line) for line in Path(alone, output).read_text(encoding="utf-8").splitlines()])
    missing = sum(row["prediction"] is None for row in said[0])
    _require(not missing, f"{missing} of {len(said[0])} rows got no prediction: {said[0][0].get('error', '')}")
    _require(
        said[0] == said[1],
        "two processes predict different things from one checkpoint: the model draws random numbers in its "
        "constructor or when it predicts. Keep what it draws in a buffer (register_buffer) or a parameter, which are "
        "in the checkpoint, and draw only where self.training is true",
    )


def check_processes_agree(overrides: Sequence[str], folder: Path) -> None:
    """Check that two processes on the CPU train to the weights and the metrics of one, without dropout.

    It trains in double precision, where weights may differ by 1e-6 of the way that training has moved them; if the
    options name another precision, by 1e-2.

    Args:
        overrides: Options of `train.py`.
        folder: Where the dataset and the runs go.

    Raises:
        AssertionError: They don't agree, or two processes can't train this.
    """
    name = "processes-" + hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:8]
    one, two, begin = (folder / f"{name}-{what}" for what in ("1", "2", "begin.pt"))
    options = besides([DOUBLE], overrides)
    tolerance = TOLERANCE if DOUBLE in options else TOLERANCE_ELSE
    _train([*options, _probe(begin=begin, dropout=False)], one, make=True)
    ended = _train([*besides(TWO, options), _probe(dropout=False)], two, check=False, processes=2)
    _require(
        ended.code == 0,
        "two processes can't train this. If a parameter is not used in every step, give "
        f"trainer.strategy=ddp_find_unused_parameters_true\n{ended.said}",
    )
    wrong = list(_disagreements(one, two, torch.load(begin, weights_only=True), tolerance))
    _require(
        not wrong,
        f"two processes don't train as one does: {_few(wrong)}. training_step has to return the mean over the samples "
        "of its batch; nothing may depend on the number of processes (world_size) or on the other samples of the batch "
        "(batch normalization does, unless trainer.sync_batchnorm=true is given)",
    )


def _disagreements(one: Path, two: Path, start: Mapping[str, torch.Tensor], tolerance: float) -> Iterator[str]:
    """Yield what two runs that began with the weights `start` disagree about."""
    weights = [checkpoint(run)["state_dict"] for run in (one, two)]
    moved, apart = (
        math.sqrt(sum((other[name].double() - mine[name].double()).square().sum().item() for name in start))
        for mine, other in ((start, weights[0]), weights)
    )
    if apart > tolerance * moved:
        yield f"the weights differ by {apart / moved:.1e} of their way"
    for row, other in zip(log_rows(one), log_rows(two), strict=True):
        for name, value in row.items():
            if not math.isclose(value, other.get(name, math.nan), rel_tol=tolerance, abs_tol=tolerance):
                yield f"{name} at step {row['step']:.0f} is {value:.6g} with one and {other.get(name)} with two"


def _train(overrides: Sequence[str], run: Path, check: bool = True, **how: Any) -> Ended:
    options = besides(FEW, [f"paths.run={quote(run)}", *overrides])
    ended = run_command("train", options, run.parent, **how)
    if check:
        _succeed(ended)
    return ended


def _succeed(ended: Ended) -> None:
    _require(ended.code == 0, f"train.py exited with {ended.code}\n{ended.said}")


def _probe(interrupt: bool = False, begin: Path | None = None, dropout: bool = True) -> str:
    begins = quote(begin) if begin else "null"
    values = f"interrupt:{interrupt},begin:{begins},dropout:{dropout}"
    return f"+callbacks.probe={{_target_:kindling.testing.probe.Probe,{values}}}"


def _without_dataset(node: Any, data: Path) -> Any:
    """Return a configuration in which nothing leads to the datasets in a folder, which stay where they are."""
    if isinstance(node, dict):
        return {name: _without_dataset(value, data) for name, value in node.items()}
    if isinstance(node, list):
        return [_without_dataset(value, data) for value in node]
    inside = isinstance(node, str) and Path(node).is_relative_to(data)
    return f"no-dataset/{Path(node).name}" if inside else node


def _first_rows(run: Path) -> list[dict[str, Any]]:
    """Return the first samples of a stored dataset, as rows to predict from."""
    from pyarrow.parquet import ParquetFile

    data: Any = load_data(run / "checkpoints/best.ckpt")
    _require(hasattr(data, "stored_columns"), f"{type(data).__name__} stores no samples: give rows to predict from")
    stored = list(data.stored_columns)
    samples = next(ParquetFile(data.dir / "samples.parquet").iter_batches(8, columns=stored)).to_pylist()
    return [dict(zip(data.input_columns, (sample[name] for name in stored), strict=True)) for sample in samples]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
