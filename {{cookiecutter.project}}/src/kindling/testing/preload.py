"""What is imported once, in the process from which commands are forked.

Alone, a command spends most of its time on it: 4 s of CPU time of the 6 s of a short training.
"""

import pkgutil
from contextlib import suppress
from importlib import import_module

from hydra import compose, initialize_config_dir

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
with suppress(Exception), initialize_config_dir(version_base="1.3", config_dir=str(root() / "configs")):
    register_resolvers()
    compose("train")  # the parser of the grammar becomes faster with use
