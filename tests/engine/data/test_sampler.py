import numpy as np
import pandas as pd
import pytest
from kindling.data.file import TextFile
from kindling.data.sampler import BucketSampler
from my_project.data.docstrings import Docstrings
from pytorch_lightning import LightningModule, Trainer

LENGTHS = np.random.default_rng(0).geometric(0.03, 1003)


def batches(
    lengths: np.ndarray = LENGTHS, epoch: int = 0, shuffle: bool = True, start: int = 0, **options: int
) -> list[np.ndarray]:
    sampler = BucketSampler(lengths, options.pop("batch_size", 32), options.pop("seed", 1), shuffle, **options)
    sampler.position = lambda: (epoch, start)
    found = list(sampler)
    assert len(found) == len(sampler) - start
    return [step.rows for step in found]


def padding(lengths: np.ndarray, groups: list[np.ndarray]) -> float:
    """Return the share of padding among all tokens."""
    return 1 - lengths.sum() / sum(len(group) * lengths[group].max() for group in groups)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 7, 32, 5000])
def test_an_epoch_has_every_row_once(batch_size: int, shuffle: bool) -> None:
    groups = batches(batch_size=batch_size, shuffle=shuffle)
    assert np.array_equal(np.sort(np.concatenate(groups)), np.arange(len(LENGTHS)))
    assert sorted(map(len, groups), reverse=True)[:-1] == [min(batch_size, len(LENGTHS))] * (len(groups) - 1)


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    def order(**options: int) -> list[int]:
        return np.concatenate(batches(**options)).tolist()

    np.random.seed(1)
    first = order(seed=1, epoch=3)
    np.random.seed(2)
    assert order(seed=1, epoch=3) == first
    assert order(seed=1, epoch=4) != first
    assert order(seed=2, epoch=3) != first


def test_other_rows_share_a_batch_in_another_epoch() -> None:
    # Shuffling the batches alone would not do: rows of one length have to meet others.
    first, second = ({frozenset(group) for group in batches(epoch=epoch)} for epoch in (0, 1))
    assert len(first & second) < 0.1 * len(first)


def test_batches_do_not_come_in_the_order_of_their_length() -> None:
    lengths = [LENGTHS[group].mean() for group in batches()]
    assert abs(np.corrcoef(lengths, np.arange(len(lengths)))[0, 1]) < 0.5


def test_validation_takes_the_longest_first_in_the_same_order_each_epoch() -> None:
    order = np.concatenate(batches(shuffle=False))
    assert (np.diff(LENGTHS[order]) <= 0).all()
    assert np.array_equal(np.concatenate(batches(shuffle=False, epoch=7, seed=9)), order)


def parts_of(lengths: np.ndarray, shuffle: bool, num_ranks: int, **options: int) -> list[list[np.ndarray]]:
    """Return, for each batch, the rows of each process."""
    samplers = [
        BucketSampler(lengths, 32, 1, shuffle, rank=r, num_ranks=num_ranks, **options) for r in range(num_ranks)
    ]
    return [[step.rows for step in batch] for batch in zip(*map(list, samplers), strict=True)]


@pytest.mark.parametrize("num_ranks", [2, 3, 8, 40])
@pytest.mark.parametrize("tokens", [None, 500])
def test_processes_share_out_each_batch_of_one_process(num_ranks: int, tokens: int | None) -> None:
    alone = batches(tokens_per_batch=tokens)
    shared = parts_of(LENGTHS, True, num_ranks, tokens_per_batch=tokens)
    assert len(shared) == len(alone)
    for parts, whole in zip(shared, alone, strict=True):
        counted = [part for rank, part in enumerate(parts) if rank < len(whole)]
        assert sorted(np.concatenate(counted)) == sorted(whole)
        assert max(map(len, counted)) - min(map(len, counted)) <= 1
        assert all(map(len, parts))  # one that is not counted, where there are fewer rows than processes


@pytest.mark.parametrize("num_ranks", [2, 3, 40])
def test_weights_give_every_row_of_a_batch_the_same_weight(num_ranks: int) -> None:
    samplers = [BucketSampler(LENGTHS, 32, 1, True, rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)]
    everything = [list(sampler) for sampler in samplers]
    for number, whole in enumerate(batches()):
        # The loss of a process is the mean over its rows, and their mean over the processes is what is minimised.
        for sampler, steps in zip(samplers, everything, strict=True):
            counted = len(steps[number].rows) if sampler.rank < len(whole) else 0
            assert sampler.weights[number] == pytest.approx(counted * num_ranks / len(whole))


@pytest.mark.parametrize("num_ranks", [2, 3, 8])
@pytest.mark.parametrize("tokens", [None, 500])
def test_processes_evaluate_each_row_once_in_as_many_batches(num_ranks: int, tokens: int | None) -> None:
    shared = parts_of(LENGTHS, False, num_ranks, tokens_per_batch=tokens)
    rows = np.concatenate([part for parts in shared for part in parts])
    assert np.array_equal(np.sort(rows), np.arange(len(LENGTHS)))
    assert all(len(part) for parts in shared for part in parts)


def test_batches_of_docstrings_are_hardly_padded(real_data) -> None:
    data = Docstrings(dir=f"{real_data.partition('=')[2]}/docstrings", vocab_size=2000, max_length=128)
    data.prepare_data()
    data.setup()
    lengths = data.lengths(data.splits["train"])
    shuffled = np.random.default_rng(0).permutation(len(lengths))
    at_random = [shuffled[start : start + 32] for start in range(0, len(shuffled), 32)]
    assert padding(lengths, at_random) > 0.5
    assert padding(lengths, batches(lengths)) < 0.02


class Recorder(LightningModule):
    """Learns nothing and writes down which texts it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def training_step(self, batch, batch_idx) -> None:
        self.seen.append(tuple(batch[0]["input_ids"][0].tolist()))

    def configure_optimizers(self) -> None:
        return None


@pytest.mark.filterwarnings("ignore:.*val_dataloader", "ignore:.*returned `None`")
@pytest.mark.parametrize("shuffle", [True, False])
def test_training_goes_through_all_texts_in_another_order_each_epoch(dataset, shuffle: bool) -> None:
    given = dict(item.removeprefix("data.").split("=", 1) for item in dataset if item.startswith("data."))
    data = TextFile(**given | {"vocab_size": 400, "batch_size": 1, "shuffle": shuffle})
    recorder = Recorder()
    Trainer(max_epochs=2, barebones=True, accelerator="cpu", use_distributed_sampler=False).fit(recorder, data)
    half = len(recorder.seen) // 2
    first, second = recorder.seen[:half], recorder.seen[half:]
    assert half == len(data.splits["train"])
    assert sorted(first) == sorted(second)
    assert (first != second) == shuffle


def test_training_takes_another_order_each_epoch_and_with_shuffle_off_the_same(command, dataset, tmp_path) -> None:
    # Lightning has to tell the sampler its epoch: without learning, the first batch's loss tells which batch it was.
    still = ["optimizer=sgd", "optimizer.lr=0", "model=bow", "model.dropout=0", "trainer.limit_train_batches=1"]
    losses = {}
    for shuffle in ("true", "false"):
        run = tmp_path / shuffle
        overrides = ["trainer.max_epochs=3", "data.batch_size=8", "logger=[csv]", "callbacks=[checkpoint]"]
        result = command("train", *dataset, *still, *overrides, f"data.shuffle={shuffle}", f"paths.run={run}")
        assert result.code == 0, result.err
        losses[shuffle] = pd.read_csv(run / "csv/metrics.csv")["train/loss"].dropna().tolist()
    assert len(set(losses["true"])) == 3
    assert len(set(losses["false"])) == 1


@pytest.mark.parametrize("num_ranks", [2, 3, 8])
@pytest.mark.parametrize("options", [{}, {"tokens_per_batch": 5000}], ids=str)
def test_every_rank_has_rows_to_evaluate_though_they_would_fit_into_one_batch(num_ranks: int, options) -> None:
    # A rank without a batch would leave out the exchange of the metrics, for which the others wait.
    few = LENGTHS[:9]
    parts = [batches(few, shuffle=False, rank=rank, num_ranks=num_ranks, **options) for rank in range(num_ranks)]
    assert all(parts)
    assert sorted(np.concatenate([row for part in parts for row in part])) == list(range(9))


TOKENS = 2000


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("tokens", [1, 50, 500, TOKENS, 10**6])
def test_batches_of_so_many_tokens_have_every_row_once_and_no_more_tokens(tokens: int, shuffle: bool) -> None:
    groups = batches(shuffle=shuffle, tokens_per_batch=tokens)
    assert np.array_equal(np.sort(np.concatenate(groups)), np.arange(len(LENGTHS)))
    assert all(len(group) * LENGTHS[group].max() <= tokens for group in groups if len(group) > 1)


def test_batches_of_so_many_tokens_are_full_hardly_padded_and_as_many_each_epoch() -> None:
    many = np.random.default_rng(0).geometric(0.03, 30_000)
    epochs = [batches(many, tokens_per_batch=TOKENS, epoch=epoch) for epoch in range(3)]
    assert len({len(groups) for groups in epochs}) == 1
    assert len(epochs[0]) < 1.15 * many.sum() / TOKENS
    for groups in epochs:
        assert padding(many, groups) < 0.05
    assert len({frozenset(group) for group in epochs[0]} & {frozenset(group) for group in epochs[1]}) < 10


@pytest.mark.parametrize("options", [{}, {"tokens_per_batch": TOKENS}, {"rank": 1, "num_ranks": 3}], ids=str)
def test_an_epoch_goes_on_from_any_batch(options: dict[str, int]) -> None:
    whole = batches(epoch=2, **options)
    for start in (0, 1, len(whole) - 1):
        rest = batches(epoch=2, start=start, **options)
        assert all(np.array_equal(*pair) for pair in zip(rest, whole[start:], strict=True))


def test_a_batch_says_which_it_is_and_whose_part() -> None:
    for rank in range(2):
        places = [step[1:6] for step in BucketSampler(LENGTHS, 32, 1, True, rank=rank, num_ranks=2)]
        assert places == [(0, number, rank, 0, True) for number in range(len(places))]
