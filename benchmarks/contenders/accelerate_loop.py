"""The loop of Accelerate's documentation: the default loader, prepared, and the loss shown in a bar."""

from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from tqdm.auto import tqdm

from work import CLIP, Work, as_list

TITLE = "Accelerate"
STEPS = {"text": 80}


def train(work: Work) -> None:
    """Train for an epoch; the clock ends it."""
    accelerator = Accelerator(mixed_precision="no", cpu=True)
    set_seed(work.seed)
    network = work.network()
    optimizer = work.optimizer(network.parameters())
    network, optimizer, loader, schedule = accelerator.prepare(
        network, optimizer, work.loader(), work.schedule(optimizer)
    )
    loss_function = nn.CrossEntropyLoss()
    network.train()
    for inputs, target in (bar := tqdm(loader)):
        loss = loss_function(network(*as_list(inputs)), target)
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        bar.set_postfix(loss=loss.item())


JOBS = {"text": train, "mlp": train, "mlp_1024": train, "overhead": train, "command": train}
