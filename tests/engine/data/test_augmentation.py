"""Random changes of training batches, on the CPU and on the device, in a training that is broken off and goes on."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from interruption import BASE, Recorder, differences, run, train
from kindling.data.batch import Batch
from kindling.data.file import TextFile
from kindling.seeding import seeded

PLACES = [("train", 3), ("validation", 0), ("train", 8)]
EVERY_STEP = "callbacks.last_checkpoint.every_n_steps=1"


def hide(batch: Batch) -> Batch:
    """Replace every fifth token by another one, with numbers from all three generators."""
    ids = batch.inputs["input_ids"]
    chosen = torch.rand(ids.shape, device=ids.device) < 0.1
    chosen |= torch.from_numpy(np.random.random(tuple(ids.shape)) < 0.1)
    return batch._replace(inputs=batch.inputs | {"input_ids": ids.masked_fill(chosen & (ids > 4), 5)})


class OnDevice(TextFile):
    def augment_on_device(self, batch: Batch) -> Batch:
        return hide(batch)


class OnBoth(OnDevice):
    def augment(self, batch: Batch) -> Batch:
        return hide(batch)


class Unseeded(TextFile):
    """What happens without the hook: Lightning moves a batch before the step is seeded."""

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        return hide(batch) if self.trainer and self.trainer.training else batch


def target(data: type) -> str:
    return f"data._target_=test_augmentation.{data.__name__}"


@pytest.mark.parametrize("data", [OnDevice, OnBoth])
@pytest.mark.parametrize("more", [[], ["trainer.reseed=run"], ["data.num_workers=2"]], ids=str)
def test_what_is_drawn_on_the_device_is_the_same_after_an_interruption(dataset, tmp_path, data, more) -> None:
    options = [*dataset, *BASE, *more, target(data)]
    whole = run(tmp_path / "whole", options)
    plain = run(tmp_path / "plain", [*dataset, *BASE, *more])
    assert {"batches", "weights"} <= set(differences(whole, plain))
    for place in PLACES:
        broken = run(tmp_path / f"at {place}", options, [place], signal.SIGINT)
        assert broken.pieces == 2
        assert differences(whole, broken) == []
    crashed = run(tmp_path / "crashed", [*options, EVERY_STEP], [("train", 3), ("train", 4)], None)
    assert crashed.pieces == 3
    assert differences(whole, crashed) == []


def test_without_the_hook_an_interruption_changes_what_is_drawn(dataset, tmp_path) -> None:
    options = [*dataset, *BASE, target(Unseeded)]
    whole = run(tmp_path / "whole", options)
    broken = run(tmp_path / "broken", options, [("train", 3)], signal.SIGINT)
    assert {"batches", "weights"} <= set(differences(whole, broken))


def test_every_epoch_draws_other_numbers_and_validation_none(dataset, tmp_path: Path) -> None:
    recorder = Recorder()
    train(tmp_path, [*dataset, *BASE, target(OnDevice), "data.shuffle=false"], recorder)
    first, second = ({text for epoch, _, text in recorder.batches if epoch == number} for number in (0, 1))
    assert not first & second
    options = [*dataset, *BASE, "trainer.max_epochs=1"]
    plain = train(tmp_path / "plain", options, Recorder()).datamodule
    drawn = train(tmp_path / "drawn", [*options, target(OnDevice)], Recorder()).datamodule
    for one, other in zip(plain.val_dataloader(), drawn.val_dataloader(), strict=True):
        assert torch.equal(drawn.on_after_batch_transfer(other, 0).inputs["input_ids"], one.inputs["input_ids"])


class Masked(TextFile):
    """Some tokens are hidden, and are what is to be predicted."""

    def augment(self, batch: Batch) -> Batch:
        ids = batch.inputs["input_ids"]
        hidden = (torch.rand(ids.shape) < 0.3) & (batch.inputs["attention_mask"] == 1)
        inputs = batch.inputs | {"input_ids": ids.masked_fill(hidden, 3)}
        return batch._replace(inputs=inputs, target=ids.masked_fill(~hidden, -100))


def test_an_augmentation_can_set_the_target_of_its_batch(dataset) -> None:
    given = dict(item.removeprefix("data.").split("=") for item in dataset if item.startswith("data."))
    data = Masked(**given | {"vocab_size": 400})
    data.prepare_data()
    data.setup()
    for batch in data.train_dataloader():
        hidden = batch.target != -100
        assert hidden.any()
        assert (batch.inputs["input_ids"][hidden] == 3).all()
        assert batch.size == len(batch.target)
        whole = data.inputs(batch.step.rows)["input_ids"]
        assert torch.equal(torch.where(hidden, batch.target, batch.inputs["input_ids"]), whole)


def test_seeded_gives_all_generators_back(tmp_path) -> None:
    def draw() -> list[float]:
        return [torch.rand(()).item(), np.random.random(), *torch.rand(2).tolist()]

    torch.manual_seed(3)
    np.random.seed(3)
    expected = draw()
    torch.manual_seed(3)
    np.random.seed(3)
    with seeded(1, 2):
        inside = draw()
    with seeded(1, 2):
        assert draw() == inside != expected
    assert draw() == expected
