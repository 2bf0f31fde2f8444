"""The configuration that travels in a checkpoint: which module carries it, and where in the file it lies."""

import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from omegaconf import Container, OmegaConf
from pytorch_lightning import LightningModule
from torch.nn import Module

log = logging.getLogger(__name__)

Config = dict[str, Any]
Hook = Callable[[dict[str, Any]], None]

KEY = "config"  # in a checkpoint; `hyper_parameters` are a module's own, as Lightning has them
HPARAMS = ("hyper_parameters", "datamodule_hyper_parameters")
PLAIN = (str, int, float, complex, bytes, type(None), torch.Tensor, torch.Size, torch.dtype, torch.device)


def attach(task: LightningModule, config: Config) -> None:
    """Let `task` carry the configuration that built it, and each of its checkpoints hold it.

    The hyperparameters that a module saves itself stay its own. Loggers are sent the configuration, which has them.
    """
    setattr(task, KEY, config)
    task.save_hyperparameters({}, logger=False)
    vars(task)["on_save_checkpoint"] = _Saved(task, task.on_save_checkpoint)


def config_of(task: Module) -> Config:
    """Return the configuration that `attach` gave to `task`; an empty one if it was built by hand."""
    config: Config = vars(task).get(KEY, {})
    return config


def portable(config: Config) -> Config:
    """Return a resolved configuration with the paths inside the project relative to its folder, as in `./data/reviews`.

    A project that moves finds its datasets again. A relative `data.dir` was relative to the folder of the caller. The
    folder of the run stays as it is.
    """
    paths = config["paths"]
    root, output = paths["root"], paths["output"]
    moved: Config = _relative(config, root, output)
    moved["paths"] = _relative(paths, root) | {"output": output}
    data = config["data"]
    if isinstance(data.get("dir"), str) and data["dir"] and os.path.isabs(root):
        moved["data"]["dir"] = _relative(os.path.abspath(data["dir"]), root)
    return moved


def read_config(checkpoint: dict[str, Any]) -> Config:
    """Return the configuration in a checkpoint; an empty one if its objects were built by hand."""
    config: Config = checkpoint.get(KEY, {})
    return config


def plain_hparams(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the checkpoint with those hyperparameters of its objects that are plain data.

    Others, such as a module, could not be read again: what is no plain data is never unpickled.
    """
    changed = {}
    for part in (part for part in HPARAMS if part in checkpoint):
        values = {name: _without_containers(value) for name, value in checkpoint[part].items()}
        changed[part] = {name: value for name, value in values.items() if _is_plain(value)}
        if dropped := ", ".join(values.keys() - changed[part].keys()):
            log.debug("Not kept among the hyperparameters, as it is no plain data: %s", dropped)
    return checkpoint | changed


def _without_containers(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if isinstance(value, Container) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return type(value) is dict and all(_is_plain(item) for pair in value.items() for item in pair)
    if type(value) in (list, tuple, set):
        return all(map(_is_plain, value))
    return type(value) in PLAIN or type(value) is bool


def _relative(value: Any, root: str, kept: str | None = None) -> Any:
    """Return the value with the paths in the folder `root` relative to it, save those in the folder `kept`."""
    if isinstance(value, dict):
        return {name: _relative(item, root, kept) for name, item in value.items()}
    if isinstance(value, list):
        return [_relative(item, root, kept) for item in value]
    inside = isinstance(value, str) and f"{value}{os.sep}".startswith(root.rstrip(os.sep) + os.sep)
    if not inside or (kept and f"{value}{os.sep}".startswith(kept + os.sep)):
        return value
    return "." + value[len(root.rstrip(os.sep)) :]


def _with_architecture(config: Config, model: Any) -> Config:
    """Add a pretrained model's architecture, so that the checkpoint needs neither its folder nor the hub."""
    if not callable(rebuild := getattr(model, "rebuild", None)):
        return config
    task = config["task"]
    return config | {"task": task | {"model": task["model"] | rebuild()}}


class _Saved:
    """A module's `on_save_checkpoint`, with its configuration added first; a copy of the module shares it."""

    def __init__(self, task: LightningModule, hook: Hook) -> None:
        self.task, self.hook = task, hook

    def __call__(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = _with_architecture(config_of(self.task), getattr(self.task, "model", None))
        self.hook(checkpoint)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Saved":
        return self
