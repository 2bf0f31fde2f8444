"""The wheel of a baked project, installed into a folder: its commands and configs work from anywhere."""

import sys
from pathlib import Path

import pytest
from conftest import Bake, run

pytestmark = pytest.mark.slow

REVIEWS = "".join(f"{'good' if number % 2 else 'bad'} film number {number},{number % 2}\n" for number in range(200))


def test_its_commands_work_from_another_folder(bake: Bake, tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "installed", tmp_path / "else where"
    elsewhere.mkdir()
    # Without its dependencies, which are here already.
    install = ["-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", target, bake(logger="csv")]
    run(sys.executable, *install, cwd=tmp_path)
    (elsewhere / "reviews.csv").write_text(f"text,label\n{REVIEWS}", encoding="utf-8")

    def command(name: str, *options: str) -> str:
        environment = {"PYTHONPATH": str(target), "OMP_NUM_THREADS": "1"}
        script = target / "bin" / f"first-spark-{name}"
        return run(sys.executable, script, *options, cwd=elsewhere, environment=environment).stdout

    data = ["data=csv", "data.path=reviews.csv", "data.vocab_size=300"]
    assert "model: bert, bow, lstm" in command("train", "--help")
    assert "200 samples" in command("make-dataset", *data)
    assert {path.name for path in elsewhere.iterdir()} == {"reviews.csv", "data"}
