import json
from pathlib import Path

import pytest


def test_evaluate_repeats_the_test_metrics_of_training(command, trained) -> None:
    result = command("evaluate", f"checkpoint={trained}")
    assert result.code == 0, result.err
    training = json.loads((trained / "metrics.json").read_text())
    evaluation = json.loads((trained / "checkpoints/evaluation.json").read_text())
    assert evaluation == pytest.approx({name: training[name] for name in evaluation}, abs=1e-6)
    assert evaluation.keys() == {name for name in training if name.startswith("test/")}


def test_evaluate_needs_no_other_override_from_any_folder(command, trained, tmp_path, monkeypatch) -> None:
    here = command("evaluate", f"checkpoint={trained}").out
    monkeypatch.chdir(tmp_path)
    assert command("evaluate", f"checkpoint={trained}").out.splitlines()[:6] == here.splitlines()[:6]


@pytest.mark.parametrize("options", ["trainer.precision=bf16-mixed", "callbacks=[checkpoint,ema]", "model=bert"])
def test_evaluate_repeats_training_whatever_its_options(command, dataset, tmp_path, options: str) -> None:
    run = tmp_path / "run"
    overrides = ["model=bow", "trainer.max_epochs=3", "optimizer.lr=1e-2", "logger=[csv]", options]
    assert command("train", *dataset, *overrides, f"paths.run={run}").code == 0
    assert command("evaluate", f"checkpoint={run}").code == 0
    training = json.loads((run / "metrics.json").read_text())
    evaluation = json.loads((run / "checkpoints/evaluation.json").read_text())
    assert evaluation == pytest.approx({name: training[name] for name in evaluation}, abs=1e-6)


def test_evaluate_refuses_a_dataset_with_other_classes(command, dataset, reviews, tmp_path) -> None:
    source = tmp_path / "reviews.csv"
    source.write_text(reviews.read_text())
    options = [
        "data=csv",
        f"data.path={source}",
        "data.text=review",
        "data.label=stars",
        f"data.dir={tmp_path / 'made'}",
    ]
    command("make_dataset", *options)
    command("train", *options, "model=bow", "debug=fast", "logger=[csv]", f"paths.run={tmp_path / 'run'}")
    lines = reviews.read_text().splitlines()
    renamed = [
        lines[0],
        *(f"{line.rpartition(',')[0]},other" if number % 2 else line for number, line in enumerate(lines[1:])),
    ]
    source.write_text("\n".join(renamed))
    command("make_dataset", *options)
    result = command("evaluate", f"checkpoint={tmp_path / 'run'}")
    assert result.code == 2
    assert "other" in result.err and "the checkpoint" in result.err
    assert not Path(tmp_path, "run/checkpoints/evaluation.json").exists()


def test_evaluate_and_inspect_answer_in_json_alone(command, trained) -> None:
    found = json.loads(command("evaluate", f"checkpoint={trained}", "json=-").out)
    assert found["metrics"] == json.loads((trained / "checkpoints/evaluation.json").read_text())
    assert found["checkpoint"] == str(trained / "checkpoints/best.ckpt")
    inspected = json.loads(command("evaluate", f"inspect={trained}", "json=-").out)
    assert (inspected["epoch"], inspected["step"]) == (3, inspected["steps"])
    assert inspected["interrupted"] is None and "val/loss" in inspected["metrics"]
