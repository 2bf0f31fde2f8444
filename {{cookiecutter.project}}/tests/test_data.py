"""Every dataset of configs/data/: its splits, its batches, and that it comes out the same when it is made again."""

import json
from collections import Counter
from pathlib import Path

import pytest
from choices import CONFIGS, datasets
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from kindling.cli.resolvers import register_resolvers


@pytest.fixture(scope="session")
def built(make):
    """Build the data module of a dataset, which is made."""

    def build(name: str):
        register_resolvers()
        with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
            config = compose("make_dataset", [f"data={name}", f"paths.data='{make(name)}'"])
        data = instantiate(config.data)
        data.prepare_data()
        for stage in ("fit", "test"):
            data.setup(stage)
        return data

    return build


def is_stored(data, name: str) -> Path | None:
    """Return a file of the dataset, if make_dataset.py writes one."""
    file = Path(getattr(data, "dir", ""), name)
    return file if file.is_file() else None


@pytest.mark.parametrize("name", datasets())
def test_its_splits_hold_every_sample_once(built, name: str) -> None:
    data = built(name)
    if not hasattr(data, "splits"):
        pytest.skip("a LightningDataModule does not say which samples are in which split")
    assert all(len(rows) for rows in data.splits.values())
    times = Counter(int(row) for rows in data.splits.values() for row in rows)
    assert times == Counter(range(len(times)))
    if facts := is_stored(data, "dataset.json"):
        assert len(times) == json.loads(facts.read_text(encoding="utf-8"))["num_samples"]


@pytest.mark.parametrize("name", datasets())
def test_each_split_has_batches(built, name: str) -> None:
    data = built(name)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        assert next(iter(loader))


@pytest.mark.parametrize("name", datasets())
def test_made_again_by_another_process_it_is_the_same(built, made_again, name: str) -> None:
    ended, folder = made_again[name].result()
    assert ended.returncode == 0, ended.stderr
    data = built(name)
    stored = is_stored(data, "samples.parquet")
    if not stored:
        pytest.skip("what data.datasets() returns is made anew by each process")
    assert (folder / "data" / stored.parent.name / stored.name).read_bytes() == stored.read_bytes()
