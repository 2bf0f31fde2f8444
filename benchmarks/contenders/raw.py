"""A loop in plain PyTorch, tuned: memory-mapped tokens gathered per batch, batches of like length, fused AdamW."""

import contextlib
import gc
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from work import CLIP, Work

TITLE = "raw loop, tuned"


def batches(work: Work) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
    """Yield (inputs, target), one gather each."""
    order = work.order()
    if not work.is_text:
        for places in map(torch.from_numpy, order):
            yield (work.table.index_select(0, places).float().div_(255),), work.targets[places]
        return
    starts, lengths = work.offsets[:-1], np.diff(work.offsets)
    for rows in order:
        columns = np.arange(lengths[rows].max())
        mask = columns < lengths[rows, None]
        ids = np.zeros(mask.shape, np.int64)
        ids[mask] = work.tokens[(starts[rows, None] + columns)[mask]]
        yield (torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))), work.targets[torch.from_numpy(rows)]


def train(work: Work) -> None:
    """Train for an epoch; the clock ends it."""
    gc.set_threshold(100_000, 50, 100)  # as the project does, so that nobody wins by them
    network = work.network().train().to(work.job.device)
    parameters = list(network.parameters())
    loss_function = nn.CrossEntropyLoss()
    optimizer = work.optimizer(parameters)
    schedule = work.schedule(optimizer)
    forward = torch.compile(network, dynamic=True) if work.job.compiled else network
    mixed = work.job.precision == "bf16-mixed"
    for inputs, target in batches(work):
        if work.job.device != "cpu":
            inputs = tuple(tensor.pin_memory().to(work.job.device, non_blocking=True) for tensor in inputs)
            target = target.pin_memory().to(work.job.device, non_blocking=True)
        with torch.autocast(work.job.device, torch.bfloat16) if mixed else contextlib.nullcontext():
            loss = loss_function(forward(*inputs), target)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


JOBS = {
    "text": train,
    "text_bf16": train,
    "mlp": train,
    "mlp_1024": train,
    "overhead": train,
    "command": train,
    "startup_bow": train,
    "startup_bert": train,
    "gpu": train,
    "gpu_compile": train,
}
