"""Around every command: the project's folder, and a user's mistake told in one line."""

import functools
import inspect
import itertools
import math
import os
import shutil
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Sweep
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException

from .config import register_resolvers
from .errors import UsageError, did_you_mean

# How libraries refuse an argument; the last is Lightning's, by name so that --help need not import it.
REFUSALS = ("TypeError", "ValueError", "MisconfigurationException")


def command(main: Callable[[], Any]) -> Callable[[], None]:
    """Decorate a `hydra.main` function: a user's mistake prints one line, exits with 2 and leaves nothing behind.

    Any other exception shows its traceback, from the command's file on, and exits with 1. HYDRA_FULL_ERROR=1 shows all.
    """
    file = Path(inspect.unwrap(main).__code__.co_filename).resolve()

    @functools.wraps(main)
    def run() -> None:
        os.environ["PROJECT_ROOT"] = str(file.parent)
        register_resolvers()
        sys.argv[1:] = sorted(sys.argv[1:], key=_is_override)  # Hydra takes no flag among the overrides
        # Threads of GNU OpenMP spin while they wait, and starve each other on a busy machine: with one of two cores
        # taken, 60 steps of BERT took 111 s; with short spins 4.3 s, and on a quiet machine 2.1 s either way.
        # It is read when torch is imported, that is, later.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            main()
            return
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print
        try:
            check_arguments(file, sys.argv[1:])
            main()
            sys.stdout.flush()
        except BrokenPipeError:  # python train.py --help | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Exception as error:
            sys.exit(explain(error, file))
        finally:
            del os.environ["HYDRA_FULL_ERROR"]

    return run


class Jobs(Callback):
    """A Hydra callback that explains why a job failed, lets a sweep go on, and ends it with a table."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if job_return.status is not JobStatus.FAILED or os.environ.get("HYDRA_FULL_ERROR") != "1":
            return
        error: Exception = job_return._return_value
        code = explain(error, Path(config.paths.root, f"{config.hydra.job.name}.py").resolve())
        folder = Path(config.hydra.runtime.output_dir)
        if config.hydra.mode is RunMode.MULTIRUN:
            text = "".join(traceback.format_exception(error))
            Path(folder, "error.txt").write_text(text, encoding="utf-8")
            job_return.status, job_return.return_value = JobStatus.COMPLETED, math.nan
            return
        if code == 2 and config.hydra.output_subdir:
            remove_empty_run(folder)
        sys.exit(code)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from .results import report  # here, as a single run needs no tables

        if report(Path(config.hydra.sweep.dir), config.monitor, config.mode):
            sys.exit(1)


def explain(error: BaseException, file: Path) -> int:
    """Print one line for a mistake of the user, else the traceback, and return the exit code: 2 or 1."""
    if line := mistake(error, file):
        print(f"{file.name}: {line}", file=sys.stderr)
        return 2
    while error.__cause__:
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    own = [number for number, frame in enumerate(frames) if Path(frame.filename).resolve() == file]
    print("Traceback (most recent call last):", file=sys.stderr)
    shown = traceback.format_list(frames[own[0] :] if own else frames) + traceback.format_exception_only(error)
    print("".join(shown), end="", file=sys.stderr)
    return 1


def mistake(error: BaseException, file: Path) -> str | None:
    """Return one line for the user if `error` is a mistake on the command line or in the input, else None."""
    key = ""  # of the object in the config that could not be built
    for cause in _causes(error):
        message = " ".join(str(cause).split())
        if isinstance(cause, UsageError):
            return message
        if isinstance(cause, InterpolationResolutionError) and message.startswith("UsageError"):
            return message.split(": ", 1)[1].split(" full_key: ")[0]
        if isinstance(cause, MissingMandatoryValue):
            return f"{cause.full_key}: a value is missing; add {cause.full_key}=... to the command"
        if isinstance(cause, OverrideParseException):
            return f"{cause.override}: not of the form key=value"
        if isinstance(cause, InstantiationException) and "full_key: " in message:
            key = message.rpartition("full_key: ")[2] + ": "
        if type(cause).__name__ in REFUSALS and (
            _raised_by_a_library(cause, file) or _is_about_an_added_option(message)
        ):
            return f"{key}{message}"
        if isinstance(cause, HydraException | OmegaConfBaseException) and not (cause.__cause__ or cause.__context__):
            return message
    return None


def check_arguments(file: Path, arguments: list[str]) -> None:
    """Check names and types of what the command line overrides, before anything is written.

    Raises:
        UsageError: A group has no such choice, there is no such option, or its value is not of the default's type.
    """
    configs = file.parent / "configs"
    parsed = OverridesParser.create().parse_overrides(list(filter(_is_override, arguments)))
    overrides = [override for override in parsed if override.type is OverrideType.CHANGE]
    if not {"-m", "--multirun"} & set(arguments):
        for override in overrides:
            if override.is_sweep_override():
                raise UsageError(f"{override.input_line}: several values make a sweep; add -m")
    groups = {o.key_or_group: list(_values(o)) for o in overrides if Path(configs, o.key_or_group).is_dir()}
    for group, values in groups.items():
        known = {path.stem for path in Path(configs, group).glob("*.yaml")}
        for choice in itertools.chain.from_iterable(v if isinstance(v, list) else [v] for v in values):
            if str(choice) not in known:
                raise UsageError(f"{group}={choice}: there is no such {group}{did_you_mean(str(choice), known)}")
    options = [o for o in overrides if o.key_or_group not in groups and not o.key_or_group.startswith("hydra")]
    if not options:
        return
    for choices in itertools.product(*groups.values()):
        chosen = [f"{group}={_quote(choice)}" for group, choice in zip(groups, choices, strict=True)]
        defaults = _compose(file, chosen)
        for option in options:
            _check_option(option, defaults, configs)


def _check_option(option: Override, defaults: DictConfig, configs: Path) -> None:
    key = option.key_or_group
    if key not in _keys(defaults):
        raise UsageError(_unknown_option(option.input_line or key, key, defaults, configs))
    default = OmegaConf.select(defaults, key, throw_on_missing=False) if _is_plain(defaults, key) else None
    for value in _values(option):
        if expected := _expected(default, value):
            raise UsageError(f"{key}={value!s}: expected {expected}, such as {default}")


def _quote(choice: Any) -> str:
    return f"[{','.join(choice)}]" if isinstance(choice, list) else str(choice)


def remove_empty_run(folder: Path) -> None:
    """Remove the folder of a run that failed before it began: it holds only what Hydra writes at the start."""
    if any(path.name != ".hydra" and path.suffix != ".log" for path in folder.iterdir()):
        return
    shutil.rmtree(folder)
    for parent in list(folder.parents)[:2]:  # the day's folder and runs/, if they are empty now
        if any(parent.iterdir()):
            break
        parent.rmdir()


def _is_override(argument: str) -> bool:
    return ("=" in argument and not argument.startswith("-")) or argument.startswith("~")


def _compose(file: Path, overrides: list[str]) -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(file.parent / "configs")):
        return compose(file.stem, overrides)


def _values(override: Override) -> Iterator[Any]:
    value = override.value()
    if isinstance(value, Sweep):
        yield from override.sweep_iterator() if override.is_discrete_sweep() else ()
    else:
        yield value


def _expected(default: Any, value: Any) -> str | None:
    """Return what a value of the default's type is called if `value` is not one."""
    if value is None or "${" in str(value):
        return None
    for kind, accepted, name in [
        (bool, bool, "true or false"),
        (int, int, "a whole number"),
        (float, int | float, "a number"),
    ]:
        if isinstance(default, kind):
            return None if isinstance(value, accepted) and isinstance(value, bool) == (kind is bool) else name
    return None


def _unknown_option(given: str, key: str, config: DictConfig, configs: Path) -> str:
    parent, _, last = key.rpartition(".")
    value = given.partition("=")[2].split(",")[0]
    elsewhere = [known for known in _keys(config) if known.endswith(f".{last}")]
    groups = sorted(path.parent.name for path in configs.glob(f"*/{value}.yaml"))
    siblings = {k.rpartition(".")[2]: k for k in _keys(config) if k.rpartition(".")[0] == parent}
    close = [siblings[name] for name in get_close_matches(last, siblings, n=1)]
    # modle=bert means the group that has a bert, and lr=1e-3 means optimizer.lr
    guesses = close + elsewhere if parent else groups + elsewhere + close
    return f"{given}: there is no option {key}" + (f"; did you mean {guesses[0]}?" if guesses else "")


def _is_plain(config: DictConfig, key: str) -> bool:
    """Whether the value is written in the config, not interpolated: some interpolations work in a running job only."""
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and not OmegaConf.is_interpolation(node, last)


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for name in config:
        yield prefix + str(name)
        node = config._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none():
            yield from _keys(node, f"{prefix}{name!s}.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _raised_by_a_library(error: BaseException, file: Path) -> bool:
    """Whether a library refused what the command or the config gave it, and no code of the project stood between."""
    frames = [Path(frame.filename).resolve() for frame in traceback.extract_tb(error.__traceback__)]
    after_command = frames[len(frames) - frames[::-1].index(file) :] if file in frames else frames
    own = Path(__file__).resolve().parent
    standard_library = sysconfig.get_path("stdlib")
    return all(
        ("site-packages" in path.parts or path.is_relative_to(standard_library)) and not path.is_relative_to(own)
        for path in after_command
    )


def _is_about_an_added_option(message: str) -> bool:
    """Whether a constructor, maybe that of a base class, does not know what +group.name=value adds."""
    name = message.partition("unexpected keyword argument ")[2].strip("'")
    return any(arg.startswith("+") and arg.partition("=")[0].rpartition(".")[2] == name for arg in sys.argv)
