"""What is to be predicted, in as few bytes as it needs on disk, and wide enough for arithmetic wherever it is used."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from kindling.data.file import TextFile


@pytest.mark.parametrize("num_classes", [12, 130, 300])
def test_any_number_of_classes_has_its_report(command, tmp_path: Path, num_classes: int) -> None:
    source = tmp_path / "a.csv"
    names = [f"class {number:03}" for number in range(num_classes)]
    lines = [f"word{number} sample {again},{name}" for again in range(12) for number, name in enumerate(names)]
    source.write_text("\n".join(["text,label", *lines]))
    options = ["data=csv", f"data.path={source}", f"data.dir={tmp_path / 'made'}", "data.vocab_size=300"]
    assert command("make_dataset", *options).code == 0
    short = ["model=bow", "trainer.max_epochs=1", "logger=[csv]", "callbacks=[checkpoint,report]"]
    result = command("train", *options, *short, f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert "No report" not in result.err
    assert (tmp_path / "run/confusion_matrix.png").is_file()
    data = TextFile(str(source), dir=str(tmp_path / "made"), vocab_size=300)
    data.prepare_data()
    data.setup()
    with (tmp_path / "run/predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    actual = data.targets(np.array([int(row["row"]) for row in rows]))
    assert actual.dtype == torch.int64
    assert [names[number] for number in actual] == [row["actual"] for row in rows]
