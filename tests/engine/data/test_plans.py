"""Plans of steps other than a batch each, and what a module carries from step to step."""

import signal
from typing import Any

import numpy as np
import pytest
import torch
from interruption import BASE, BATCHES, Recorder, differences, run, train
from kindling.data.batch import Batch, Step
from kindling.data.file import TextFile
from kindling.data.sampler import BucketSampler, Plan
from my_project.tasks import Classification
from torch import Tensor

EVERY_STEP = "callbacks.last_checkpoint.every_n_steps=1"
CHOSEN = ["+data.sampler._target_=test_plans.Twice", "+data.sampler._partial_=true"]


class Twice(BucketSampler):
    """Each batch makes two steps."""

    def steps(self, epoch: int) -> list[tuple[np.ndarray, int]]:
        return [(rows, part) for rows, _ in super().steps(epoch) for part in (0, 1)]


class Halves(TextFile):
    """The first step of a batch sees the first tokens of its texts, and the second one the others."""

    def gather(self, step: Step) -> Batch:
        batch = super().gather(step)
        half = -(-batch.inputs["input_ids"].shape[1] // 2)
        part = slice(0, half) if step.part == 0 else slice(half, None)
        inputs = {name: value[:, part].contiguous() for name, value in batch.inputs.items()}
        inputs["attention_mask"][:, 0] = 1  # a short text is padding alone
        return batch._replace(inputs=inputs)


class Carrying(Classification):
    """What is known of a batch after its first part goes into the second, as a recurrent network's state does."""

    hidden: Tensor | None = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = self(batch.inputs)
        if batch.step.part == 1:
            logits = logits + self.hidden
        self.hidden = logits.detach()
        loss = self.loss(logits, batch.target)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=batch.size)
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["hidden"] = self.hidden

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.hidden = checkpoint["hidden"]


class Forgetful(Carrying):
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.hidden = torch.zeros_like(self.hidden)


def test_a_plan_that_repeats_each_batch_goes_on_in_the_middle_of_one(dataset, tmp_path) -> None:
    options = [*dataset, *BASE, *CHOSEN]
    whole = run(tmp_path / "whole", options)
    assert [batch[:2] for batch in whole.batches] == [(epoch, step) for epoch in (0, 1) for step in range(2 * BATCHES)]
    texts = [text for _, _, text in whole.batches]
    assert texts[::2] == texts[1::2]
    assert len(set(texts)) == 2 * BATCHES
    for step in (2, 3, 6, 17):  # after the first part of a batch, and after the second
        broken = run(tmp_path / f"broken {step}", options, [("train", step)], signal.SIGINT)
        assert broken.pieces == 2
        assert differences(whole, broken) == []
    crashed = run(tmp_path / "crashed", [*options, EVERY_STEP], [("train", 3), ("train", 5)], None)
    assert crashed.pieces == 3
    assert differences(whole, crashed) == []


def test_a_schedule_counts_the_steps_of_the_plan(dataset, tmp_path) -> None:
    recorder = Recorder()
    train(tmp_path, [*dataset, *BASE, *CHOSEN, "scheduler=cosine"], recorder)
    rates = list(recorder.rates.values())
    assert len(rates) == 4 * BATCHES
    assert rates[-1] < 0.1 * max(rates)


def test_hidden_state_that_a_module_carries_goes_through_its_checkpoint(dataset, tmp_path) -> None:
    options = [*dataset, *BASE, *CHOSEN, "data._target_=test_plans.Halves"]
    carrying = [*options, "task._target_=test_plans.Carrying"]
    whole = run(tmp_path / "whole", carrying)
    assert "weights" in differences(whole, run(tmp_path / "plain", options))
    for step in (1, 4, 15):  # 1 and 15 are second parts: they need what the first one left
        broken = run(tmp_path / f"broken {step}", carrying, [("train", step)], signal.SIGINT)
        assert broken.pieces == 2
        assert differences(whole, broken) == []
    crashed = run(tmp_path / "crashed", [*carrying, EVERY_STEP], [("train", 3)], None)
    assert differences(whole, crashed) == []
    forgetful = [*options, "task._target_=test_plans.Forgetful", EVERY_STEP]
    assert "weights" in differences(whole, run(tmp_path / "forgot", forgetful, [("train", 3)], None))


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_processes_share_each_step_of_a_plan_and_its_weights_say_how_much(num_ranks: int) -> None:
    lengths = np.random.default_rng(0).geometric(0.03, 101)
    whole = [step.rows for step in Twice(lengths, 32, 1, True)]
    plans = [Twice(lengths, 32, 1, True, rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)]
    shares = [list(plan) for plan in plans]
    assert [len(plan) for plan in plans] == [len(whole)] * num_ranks == [8] * num_ranks
    for number, rows in enumerate(whole):
        steps = [share[number] for share in shares]
        assert sorted(np.concatenate([step.rows for step in steps if step.counts])) == sorted(rows)
        assert [(step.batch, step.part) for step in steps] == [(number, number % 2)] * num_ranks
        for plan, step in zip(plans, steps, strict=True):
            assert plan.weights[number] == pytest.approx(len(step.rows) * step.counts * num_ranks / len(rows))


class Rare(Plan):
    """As many batches as there are classes of length, each with the rows of one."""

    def __init__(self, lengths: np.ndarray, *args: Any, **options: Any) -> None:
        super().__init__(options["rank"], options["num_ranks"], options["position"])
        self.lengths = lengths

    def batches(self, epoch: int) -> list[np.ndarray]:
        return [np.flatnonzero(self.lengths == length) for length in np.unique(self.lengths)]


def test_a_plan_need_not_know_anything_of_the_usual_one(dataset, tmp_path) -> None:
    options = [*dataset, *BASE, "+data.sampler._target_=test_plans.Rare", "+data.sampler._partial_=true"]
    whole = run(tmp_path / "whole", options)
    broken = run(tmp_path / "broken", options, [("train", 3)], signal.SIGINT)
    assert broken.pieces == 2
    assert differences(whole, broken) == []
