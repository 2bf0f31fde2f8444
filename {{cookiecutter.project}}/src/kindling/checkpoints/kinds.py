"""What a file may have built: classes by their kind, and functions one by one. Never what the file itself says."""

import sys
import typing
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from re import compile as pattern
from types import FunctionType
from typing import Any

from lightning_fabric.plugins import ClusterEnvironment
from pytorch_lightning import Callback, LightningDataModule
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins import CheckpointIO, Precision
from pytorch_lightning.profilers import Profiler
from pytorch_lightning.strategies import Strategy
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..data.sampler import Plan
from ..errors import UsageError
from ..project import SOURCE, trusted, trusted_names

LINE = "kindling.trust(__name__)"
NAME = pattern(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")

# `nn.Module` is the base of metrics, losses and tasks, too. Optimizers and schedules are built by what trains.
KINDS = (nn.Module, LightningDataModule, Optimizer, LRScheduler, Plan)
STEPS = (Optimizer, LRScheduler)
# What else a command line names, of a run that is resumed or repeated.
TRAINING_KINDS = (*KINDS, Callback, Logger, Strategy, Precision, CheckpointIO, ClusterEnvironment, Profiler)

# Where classes of these kinds may come from, beside what `kindling.trust` names. The rest of torchmetrics loads
# pretrained networks, which it looks for on the network or in a file that is named.
ENGINE = tuple(f"kindling.{room}" for room in ("data", "checkpoints", "runs", "loggers", "reports", "training"))
METRICS = """classification regression aggregation collections retrieval clustering nominal segmentation detection
    wrappers image.ssim image.psnr image.psnrb image.uqi image.ergas image.sam image.rmse_sw image.rase image.tv
    text.perplexity text.bleu text.cer text.wer text.chrf text.edit text.mer text.ter text.wil audio.snr audio.sdr
    audio.pit"""
LIBRARIES = (*ENGINE, "torch.nn.modules", "torch.optim", *(f"torchmetrics.{name}" for name in METRICS.split()))
TRANSFORMERS = "transformers.models"
ROOTS = ("kindling", "torch.nn", "torch.optim", "torchmetrics", "transformers")  # they name what lies in them, too
TRAINING_LIBRARIES = (
    *(f"pytorch_lightning.{name}" for name in ("callbacks", "loggers", "strategies", "plugins", "profilers")),
    *("lightning_fabric.plugins", "lightning_fabric.strategies", "kindling.sweeps.pruning"),
)

ACTIVATIONS = """relu gelu silu mish elu selu celu leaky_relu relu6 hardtanh hardswish tanh sigmoid logsigmoid softplus
    softsign softmax log_softmax normalize"""
LOSSES = """cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss kl_div binary_cross_entropy
    binary_cross_entropy_with_logits poisson_nll_loss gaussian_nll_loss cosine_embedding_loss margin_ranking_loss
    triplet_margin_loss multi_margin_loss"""
FUNCTIONS = {f"torch.nn.functional.{name}" for name in f"{ACTIVATIONS} {LOSSES}".split()}
FUNCTIONS |= {f"torch.{name}" for name in ("relu", "tanh", "sigmoid", "softmax")}
TRAINING_FUNCTIONS = {"kindling.training.trainer.build_trainer", "kindling.build_trainer"}


class Untrusted(UsageError):
    """A file names what it may not have built."""


def find(target: Any, where: str, partial: bool = False, training: bool = False) -> Callable[..., Any]:
    """Return the class or function that a file calls `target`, if it is one that a file may have built.

    Nothing outside of the packages in question is imported.

    Args:
        target: A dotted name.
        where: The option and the file, for messages.
        partial: Whether it is only bound to arguments, and called when training starts.
        training: Whether the file is the command line of a run, which names callbacks and loggers, too.

    Raises:
        UsageError: It may not be built, or is no longer there.
    """
    if not isinstance(target, str) or not NAME.fullmatch(target) or "__" in target:
        raise UsageError(
            f"{where}: it names {str(target)[:80]!r} as a class, which is not trusted: no name is like that"
        )
    libraries = LIBRARIES + TRAINING_LIBRARIES if training else LIBRARIES
    if not _may_be_imported(target, libraries):
        refuse(target, where, f'"{target.partition(".")[0]}"')
    found = _resolve(target, where)
    if not _is_allowed(found, target, libraries, TRAINING_KINDS if training else KINDS, partial):
        refuse(target, where, f'"{target}"')
    return found  # type: ignore[no-any-return]


def refuse(target: str, where: str, name: str) -> None:
    """Raise the error that says what may not be built, and what `name` would let it be built."""
    refused = f"{where}: it wants to build {target}, which is not trusted (docs/safety.md says what is)"
    if target.partition(".")[0] in sys.stdlib_module_names:  # no training writes that down
        raise Untrusted(f"{refused}; do not use the file")
    raise Untrusted(
        f"{refused}; if you know who made the file and what that does, write kindling.trust({name}) into the "
        "__init__.py of your package"
    )


def _may_be_imported(target: str, libraries: tuple[str, ...]) -> bool:
    module = target.rpartition(".")[0]
    if target in FUNCTIONS | TRAINING_FUNCTIONS or module in ROOTS:
        return True
    if _is_in(module, (*libraries, TRANSFORMERS)) or _is_in(module, ("torch.nn", "torchmetrics")):
        return True
    _import_if_it_asks(target.partition(".")[0])
    return _is_in(target, trusted_names()) or any(name.startswith(f"{target}.") for name in trusted_names())


def _is_allowed(found: Any, target: str, libraries: tuple[str, ...], kinds: tuple[type, ...], partial: bool) -> bool:
    origin = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"
    if {target, origin} & trusted_names() and callable(found):
        return True
    if target in FUNCTIONS or (target in TRAINING_FUNCTIONS and kinds is TRAINING_KINDS):
        return True
    if isinstance(found, type):
        if _is_in(origin, (TRANSFORMERS,)):
            return _is_of_transformers(found)
        return _is_in(origin, (*libraries, *trusted_names())) and any(kind in found.__mro__ for kind in kinds)
    own = isinstance(found, FunctionType) and _is_in(origin, trusted_names())
    return own and partial and _returns(found, STEPS)


def _is_of_transformers(found: type) -> bool:
    """Whether it is the configuration of an architecture, or a model that is built from one and loads nothing."""
    from transformers import PreTrainedConfig, PreTrainedModel  # here, as most models do without

    return any(kind in found.__mro__ for kind in (PreTrainedConfig, PreTrainedModel))


def _returns(function: FunctionType, kinds: tuple[type, ...]) -> bool:
    """Whether the function's signature says that it returns an optimizer, say."""
    try:
        returned = typing.get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):  # types that are imported for checkers alone
        return False
    return isinstance(returned, type) and any(kind in returned.__mro__ for kind in kinds)


def _is_in(name: str, places: typing.Iterable[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def _resolve(target: str, where: str) -> Any:
    """Return what the name means: a class in a module, or in a class; never what a module has imported as a module."""
    parts = target.split(".")
    for number in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:number])
        try:
            found: Any = import_module(module)
        except ModuleNotFoundError as error:
            if error.name and _is_in(module, (error.name,)):
                continue
            raise _gone(target, where, error) from None
        except Exception as error:  # whatever the module does when it is imported
            raise _gone(target, where, error) from error
        for place, part in enumerate(parts[number:]):
            if place and not isinstance(found, type):
                refuse(target, where, f'"{target}"')
            try:
                found = getattr(found, part)
            except (AttributeError, ImportError) as error:
                raise _gone(target, where, error) from None
        return found
    raise _gone(target, where, ModuleNotFoundError(f"there is no module {parts[0]}"))


def _gone(target: str, where: str, error: Exception) -> UsageError:
    return UsageError(
        f"{where}: {target} is not there any more ({' '.join(str(error).split())}); "
        "give it its old name back, or use the code of that time"
    )


def _import_if_it_asks(package: str) -> None:
    """Import a package beside the engine that nobody has imported yet, if it has the line `kindling.trust(__name__)`.

    Others, such as one in the current folder, may have come with the file.
    """
    if package in sys.modules or package in trusted():
        return
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations or not spec.origin or spec.origin == "frozen":
        return
    origin = Path(spec.origin).resolve()
    if origin.is_relative_to(SOURCE) and LINE in origin.read_text(encoding="utf-8").splitlines():
        import_module(package)
