"""What is imported once, in the process from which commands are forked.

Alone, a command spends most of its time on it. Models are built, too: Transformers imports an architecture when it
builds the first model of it.
"""

import pkgutil
from contextlib import suppress
from importlib import import_module

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from ..cli.resolvers import register_resolvers
from ..project import own_packages, root
from ..startup import import_torchmetrics

import_torchmetrics()
for name in ("kindling.training.trainer", "kindling.checkpoints.predictor", "kindling.runs.console", "torchmetrics"):
    import_module(name)
for package in own_packages(root()):
    for module in pkgutil.walk_packages([str(root() / "src" / package)], f"{package}."):
        with suppress(Exception):  # a command that needs the module shows what is wrong with it
            import_module(module.name)
register_resolvers()
with initialize_config_dir(version_base="1.3", config_dir=str(root() / "configs")):
    for model in (root() / "configs" / "model").glob("*.yaml"):
        with suppress(Exception), torch.device("meta"):  # which takes no memory
            instantiate(compose("train", [f"model={model.stem}", "++num_outputs=2"]).model)
