"""Where training stands, and loaders that go on from there."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any

import torch
from lightning_fabric.utilities.data import _auto_add_worker_init_fn
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.connectors.data_connector import _process_dataloader
from pytorch_lightning.trainer.states import RunningStage, TrainerFn
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, IterableDataset

from ..data.workers import deafen, unsignaled
from ..errors import UsageError
from ..seeding import seed_all, seed_from, seeded
from .seeds import Seeds

log = logging.getLogger(__name__)


def position(trainer: Trainer) -> tuple[int, int]:
    """Return the epoch that training has reached, and how many of its batches are done; both count from zero."""
    loop: Any = trainer.fit_loop
    epochs = loop.epoch_progress.current
    # Right after a restart the batches may still be those of an epoch that has ended.
    begins = epochs.processed >= epochs.ready
    return epochs.processed, 0 if begins else loop.epoch_loop.batch_progress.current.ready


def total_steps(trainer: Trainer) -> int:
    """Return how many optimizer steps training has in all.

    Not `trainer.estimated_stepping_batches`: it loads the data early, and a resumed run then loses its place
    (https://github.com/Lightning-AI/pytorch-lightning/issues/20550).

    Raises:
        UsageError: Nothing says where training ends, or the loader has no length.
    """
    if trainer.max_steps > 0:
        return trainer.max_steps
    if not trainer.max_epochs or trainer.max_epochs < 0:
        raise UsageError(f"trainer.max_epochs={trainer.max_epochs}: this scheduler has to know where training ends")
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    loops: Any = trainer.fit_loop
    try:
        batches = data.num_batches("train") if hasattr(data, "num_batches") else len(loops._data_source.dataloader())
    except TypeError:
        raise UsageError(
            "the training loader has no length, by which this scheduler would know where training ends; "
            "use trainer.max_steps"
        ) from None
    limit = trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    return trainer.max_epochs * -(-batches // trainer.accumulate_grad_batches)


def is_amid_epoch(trainer: Trainer) -> bool:
    """Whether a batch is being trained on."""
    return trainer.training and trainer._logger_connector._first_loop_iter is not None


def current_batch(trainer: Trainer) -> Any:
    """Return the batch that is being trained on; None between two."""
    return trainer.fit_loop.epoch_loop._results.batch


def repeat_step(trainer: Trainer) -> None:
    """Call `training_step` once more on the same batch with the same random numbers, as it is and without gradients."""
    loop, module, batch = trainer.fit_loop.epoch_loop, trainer.lightning_module, current_batch(trainer)
    for seeds in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(seeds, Seeds):
            seeds.on_train_batch_start(trainer, module, batch, loop.batch_idx)
    arguments = loop._build_kwargs(OrderedDict(), batch, loop.batch_idx)
    module._current_fx_name = "training_step"  # which may log
    with torch.no_grad(), trainer.precision_plugin.forward_context(), torch.compiler.set_stance("force_eager"):
        module.training_step(*arguments.values())


class Position(Callback):
    """Let the training loader of any module or data module begin where a checkpoint was saved.

    Lightning 2.6 gives a run that is resumed amid an epoch the first batches of the loader once more. Here a loader is
    seeded with every batch, and passes over those that are done: shuffling and augmentation come out as they would
    have. A loader that keeps its own state (`state_dict`) is left to Lightning.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._seeds: dict[int, tuple[torch.Generator, int]] = {}  # of the loaders' own generators, as they came

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        data: Any = trainer.datamodule or pl_module  # type: ignore[attr-defined]
        if hasattr(data, "weight"):
            return
        connector: Any = trainer._accelerator_connector
        connector.use_distributed_sampler = True  # such a data module does not share the batches out itself
        if stage == "fit":
            source: Any = trainer.fit_loop._data_source
            original = source.dataloader
            source.dataloader = lambda: self._resumable(trainer, original())
            others = trainer.fit_loop.epoch_loop.val_loop._data_source
            validation = others.dataloader
            others.dataloader = lambda: _deaf(validation(), trainer.global_rank)  # type: ignore[method-assign]

    def _resumable(self, trainer: Trainer, loader: Any) -> Any:
        if hasattr(loader, "state_dict") or isinstance(loader, ResumableLoader):
            return loader
        if not isinstance(loader, DataLoader):
            self._say(trainer, f"a training loader of type {type(loader).__name__}", "use one torch DataLoader")
            return loader
        loader = _process_dataloader(trainer, TrainerFn.FITTING, RunningStage.TRAINING, loader)
        if isinstance(loader.dataset, IterableDataset):
            self._say(trainer, "an IterableDataset", "let its samples depend on nothing but torch's random numbers")
        if loader.num_workers and loader.persistent_workers:
            self._say(trainer, "persistent workers, whose random numbers run on", "use persistent_workers=False")
        seeds = next(callback for callback in trainer.callbacks if isinstance(callback, Seeds))  # type: ignore[attr-defined]
        for generator in _generators(loader):
            self._seeds.setdefault(id(generator), (generator, generator.initial_seed()))
        own = [self._seeds[id(generator)] for generator in _generators(loader)]
        return ResumableLoader(loader, lambda: position(trainer), (seeds.seed, trainer.global_rank), seeds.every, own)

    def _say(self, trainer: Trainer, what: str, remedy: str) -> None:
        """Say in one line, once, what keeps a resumed run from being exact."""
        if trainer.ckpt_path and trainer.is_global_zero and what not in self._said:
            log.warning("Resumed. It has %s; to come out the same to the last bit, %s", what, remedy)
        self._said.add(what)


class ResumableLoader:
    """A loader that starts at a position, with random numbers that depend on seed, process, epoch and batch alone.

    Args:
        loader: What yields the batches.
        position: Returns the epoch, and the batch in it to start from; asked when the first batch is.
        key: Seed and process.
        every: As in `Seeds`; unless it is "batch", the generators that training draws from stay as they are.
        own: The generators of its own that the loader draws from, each with the seed that it came with.
    """

    def __init__(
        self,
        loader: DataLoader[Any],
        position: Callable[[], tuple[int, int]],
        key: tuple[int, ...],
        every: str,
        own: Sequence[tuple[torch.Generator, int]] = (),
    ) -> None:
        self.loader = loader
        self.position = position
        self.key = key
        self.every = every
        self.own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)  # Lightning tells samplers the epoch

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        epoch, start = self.position()
        for generator, seed in self.own:
            generator.manual_seed(seed_from(seed, epoch) if epoch else seed)
        deafen(self.loader)
        with self._seeded(epoch), unsignaled():
            batches = iter(self.loader)
        for batch in count():
            with self._seeded(epoch, batch):
                try:
                    loaded = next(batches)
                except StopIteration:
                    return
            if batch >= start:
                yield loaded

    def _seeded(self, *place: int) -> AbstractContextManager[None]:
        if self.every != "batch":
            return seeded(*self.key, *place)
        seed_all(*self.key, *place)  # training seeds all generators again before the step
        return nullcontext()


def _deaf(loaders: Any, rank: int) -> Any:
    """Return the loaders, whose workers leave signals to this process."""
    for loader in tree_leaves(loaders):
        if isinstance(loader, DataLoader):
            _auto_add_worker_init_fn(loader, rank)  # as Lightning would, if there were none
            deafen(loader)
    return loaders


def _generators(loader: DataLoader[Any]) -> Iterable[torch.Generator]:
    """Return the generators of its own that the loader draws from."""
    sampler: Any = loader.sampler
    found = [loader.generator, getattr(sampler, "generator", None)]
    return {id(generator): generator for generator in found if generator is not None}.values()
