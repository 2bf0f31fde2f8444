"""A checkpoint whose bytes have changed since it was written is refused in one line, wherever its weights are used."""

import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from commands import Command
from kindling.checkpoints.io import read
from kindling.errors import UsageError


def flip_a_byte(file: Path) -> None:
    """Change one byte in the middle of the largest tensor, which torch reads without a word."""
    with ZipFile(file) as archive:
        entry = max((info for info in archive.infolist() if "/data/" in info.filename), key=lambda info: info.file_size)
    content = bytearray(file.read_bytes())
    header = content[entry.header_offset : entry.header_offset + 30]
    start = entry.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    content[start + entry.file_size // 2] ^= 1
    file.write_bytes(content)


@pytest.fixture
def damaged(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "damaged")
    for name in ("best", "last"):
        flip_a_byte(tmp_path / f"damaged/checkpoints/{name}.ckpt")
    return tmp_path / "damaged"


def test_torch_reads_it_without_a_word(damaged: Path, trained: Path) -> None:
    file = "checkpoints/best.ckpt"
    before, after = (torch.load(run / file, weights_only=True)["state_dict"] for run in (trained, damaged))
    assert not all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(UsageError, match=r"best.ckpt: the file is damaged; use another checkpoint"):
        read(damaged / file)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("evaluate", "checkpoint={run}"),
        ("predict", "checkpoint={run}"),
        ("train", "init={run}"),
        ("train", "resume={run}/checkpoints/last.ckpt"),
        ("train", "resume={run}"),
    ],
)
def test_it_is_refused_in_one_line(
    command: Command, dataset: list[str], damaged: Path, name: str, option: str, tmp_path: Path
) -> None:
    options = [option.format(run=damaged)]
    if name == "predict":
        (tmp_path / "new.csv").write_text("review\na great film\n")
        options += [f"input={tmp_path / 'new.csv'}", f"output={tmp_path / 'out.csv'}"]
    if option.startswith("init"):
        options += [*dataset, "model=bow", "logger=[csv]", "callbacks=[checkpoint]"]
    found = command(name, *options)
    assert found.code == 2
    assert "damaged" in found.err.splitlines()[-1] and "Traceback" not in found.err
    assert not (tmp_path / "out.csv").exists()


def test_a_run_goes_on_from_the_checkpoint_that_is_whole(command: Command, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    flip_a_byte(tmp_path / "run/checkpoints/last.ckpt")
    found = command("train", f"resume={tmp_path / 'run'}")
    assert found.code == 0, found.err
    assert "last.ckpt is damaged and is left aside" in found.err and "best.ckpt, " in found.err
