"""Every file in configs/ is found, composed and built: a config without a test does not exist."""

import functools
from itertools import zip_longest

import pytest
import torch
import yaml
from choices import CONFIGS, choices, options, read
from hydra import compose, initialize_config_dir
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from kindling.cli.resolvers import register_resolvers
from kindling.project import own_packages
from kindling.testing import check_trains

GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and any(path.glob("*.yaml")))
LISTS = ("callbacks", "logger", "tune")  # groups of which train.py takes several choices
OTHERS = ("user", "debug", "experiment")  # accounts and keys; sets of options, which are composed one at a time
BUILT = ("callbacks", "checkpoint_io", "data", "model", "optimizer", "scheduler", "task", "trainer")
PLACES = {"sampler": "sweep.sampler", "pruner": "sweep.pruner"}  # of a group's choice, if not the group's name

# Composing takes a third of a second, so one composition holds a choice of every group: the first ones, the second...
# Models and tasks are composed one by one, on the data that they are for.
FIT = ("model", "task")
APART = [group for group in GROUPS if group not in (*LISTS, *OTHERS, *FIT)]
ROWS = [
    *zip_longest(*([f"{group}={name}" for name in choices(group)] for group in APART)),
    *(options(group, name) for group in FIT for name in choices(group)),
]
ROW_OF = {choice: row for row, chosen in reversed(list(enumerate(ROWS))) for choice in chosen if choice}


@functools.cache
def composed(row: int, more: str = "") -> DictConfig:
    register_resolvers()
    chosen = [choice for choice in ROWS[row] if choice]
    parts = [choice.partition("=") for choice in chosen if choice.partition("=")[0] in GROUPS]
    lists = [f"{group}=[{','.join(choices(group))}]" for group in LISTS]
    asked = [f"{key}=given" for group, _, name in parts for key in missing(group, name)]
    given = [
        "++num_outputs=2",
        "++name=test",
        "paths.output=runs/test",
        *([] if "sweep" in dict(part[::2] for part in parts) else ["sweep=search"]),
    ]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        return compose("train", [*chosen, *lists, *asked, *given, *filter(None, [more])])


def missing(group: str, choice: str) -> list[str]:
    """Return the options that a choice asks for, such as the path of your file."""
    text = read(group, choice)
    prefix = "" if "# @package _global_" in text else f"{group}."
    return [f"{prefix}{name}" for name in blanks(yaml.safe_load(text) or {})]


def blanks(part: dict) -> list[str]:
    inner = [f"{key}.{name}" for key, value in part.items() if isinstance(value, dict) for name in blanks(value)]
    return [*(key for key, value in part.items() if value == "???"), *inner]


def targets(config: DictConfig | ListConfig) -> list[str]:
    """Return the names of all classes and functions in a part of a config."""
    nodes = [config._get_node(key) for key in (config if isinstance(config, DictConfig) else range(len(config)))]
    inner = [name for node in nodes if isinstance(node, DictConfig | ListConfig) for name in targets(node)]
    return [*([config["_target_"]] if "_target_" in config else []), *inner]


def skip_without_package(error: BaseException | None) -> None:
    while error:
        if isinstance(error, ModuleNotFoundError):
            package = str(error.name).partition(".")[0]
            if package not in ["kindling", *own_packages(CONFIGS.parent)]:
                pytest.skip(f"{package} is not installed")
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("group", "choice"), [(group, choice) for group in GROUPS if group not in OTHERS for choice in choices(group)]
)
def test_every_config_composes_and_builds(tmp_path, monkeypatch, group: str, choice: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROJECT_ROOT", str(tmp_path))
    config = composed(ROW_OF.get(f"{group}={choice}", 0))
    part = OmegaConf.select(config, PLACES.get(group, group))
    if group in LISTS:
        parts = [part[name] for name in yaml.safe_load(read(group, choice)) if name != "defaults"]
    else:
        parts = [part] if isinstance(part, DictConfig) else []
    parts = [node for node in parts if node.get("_target_") != "given"]  # of your own, named on the command line
    try:
        for target in (name for node in parts for name in targets(node)):
            get_object(target)
    except Exception as error:
        skip_without_package(error)
        raise
    if group == "trainer" and isinstance(gpus := config.trainer.gpus, int) and gpus > torch.cuda.device_count():
        pytest.skip(f"trainer={choice} needs {gpus} GPUs")
    if group == "trainer" and config.trainer.accelerator == "mps" and not torch.backends.mps.is_available():
        pytest.skip("trainer=mps needs an Apple computer")
    for node in parts if group in BUILT else []:
        instantiate(node, **({"logger": None} if group == "trainer" else {}))  # they want accounts


@pytest.mark.parametrize("choice", [f"{group}={name}" for group in ("debug", "experiment") for name in choices(group)])
def test_every_set_of_options_composes(choice: str) -> None:
    composed(0, choice)


def test_every_account_is_of_variables() -> None:
    for choice in choices("user"):
        assert all(key.isupper() for key in yaml.safe_load(read("user", choice))), choice


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_trains(folder_with_data, experiment: str) -> None:
    overrides = options("experiment", experiment)
    check_trains([*overrides, "trainer.max_epochs=1", "trainer.limit_train_batches=1"], folder_with_data(overrides))
