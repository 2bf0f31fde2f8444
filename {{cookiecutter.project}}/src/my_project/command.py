"""Around every command: the project's folder, and a user's mistake told in one line."""

import functools
import math
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Sweep
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException

from .config import register_resolvers
from .errors import UsageError, did_you_mean


def command(main: Callable[[], Any]) -> Callable[[], None]:
    """Decorate a `hydra.main` function: a user's mistake prints one line, exits with 2 and leaves nothing behind.

    Any other exception shows its traceback, from the command's file on, and exits with 1. HYDRA_FULL_ERROR=1 shows all.
    """
    file = Path(sys.modules[main.__module__].__file__ or "").resolve()

    @functools.wraps(main)
    def run() -> None:
        os.environ["PROJECT_ROOT"] = str(file.parent)
        register_resolvers()
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            main()
            return
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print
        try:
            check_types(file, sys.argv[1:])
            main()
        except Exception as error:
            sys.exit(explain(error, file))
        finally:
            del os.environ["HYDRA_FULL_ERROR"]

    return run


class Jobs(Callback):
    """A Hydra callback that explains why a job failed; the other jobs of a sweep go on."""

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
    for cause in _causes(error):
        message = " ".join(str(cause).split())
        if isinstance(cause, UsageError):
            return message
        if isinstance(cause, InterpolationResolutionError) and message.startswith("UsageError"):
            return message.split(": ", 1)[1].split(" full_key: ")[0]
        if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
            group, _, choice = cause.missing_cfg_file.rpartition("/")
            return f"{group}={choice}: there is no such {group}{did_you_mean(choice, cause.options or [])}"
        if isinstance(cause, MissingMandatoryValue):
            return f"{cause.full_key}: a value is missing; add {cause.full_key}=... to the command"
        if isinstance(cause, OverrideParseException):
            return f"{cause.override}: not of the form key=value"
        if isinstance(cause, HydraException) and message.startswith("Could not override"):
            return _unknown_option(message.split("'")[1], file)
        if isinstance(cause, TypeError) and _raised_by_the_call_itself(cause):
            return message
        if isinstance(cause, HydraException | OmegaConfBaseException) and not (cause.__cause__ or cause.__context__):
            return message
    return None


def check_types(file: Path, arguments: list[str]) -> None:
    """Compare the values on the command line with the types of the defaults, before anything is written.

    Raises:
        UsageError: A number or a truth value is expected, and something else is given.
    """
    configs = file.parent / "configs"
    overrides = OverridesParser.create().parse_overrides([a for a in arguments if "=" in a and not a.startswith("-")])
    groups = [o for o in overrides if Path(configs, o.key_or_group).is_dir() and o.type is OverrideType.CHANGE]
    values = [o for o in overrides if o not in groups and o.type is OverrideType.CHANGE]
    if not values:
        return
    try:
        defaults = _compose(file, [f"{o.key_or_group}={next(_values(o))}" for o in groups])
    except (HydraException, OmegaConfBaseException):
        return  # Hydra says what is wrong
    for override in values:
        try:
            default = OmegaConf.select(defaults, override.key_or_group)
        except OmegaConfBaseException:
            continue
        for value in _values(override):
            if expected := _expected(default, value):
                raise UsageError(f"{override.key_or_group}={value}: expected {expected}, such as {default}")


def remove_empty_run(folder: Path) -> None:
    """Remove the folder of a run that failed before it began: it holds only what Hydra writes at the start."""
    if any(path.name != ".hydra" and path.suffix != ".log" for path in folder.iterdir()):
        return
    shutil.rmtree(folder)
    for parent in list(folder.parents)[:2]:  # the day's folder and runs/, if they are empty now
        if any(parent.iterdir()):
            break
        parent.rmdir()


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


def _unknown_option(key: str, file: Path) -> str:
    config = _compose(file, [])
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    known = [str(name) for name in node] if isinstance(node, DictConfig) else []
    given = next((argument for argument in sys.argv[1:] if argument.lstrip("+~").startswith(key)), key)
    if not parent:
        # `modle=bert` means the group that has a bert.
        value = given.partition("=")[2].split(",")[0]
        groups = {path.parent.name for path in (file.parent / "configs").glob(f"*/{value}.yaml")}
        known = list(groups) or known
    prefix = f"{parent}." if parent else ""
    return f"{given}: there is no option {key}{did_you_mean(key, [prefix + name for name in known])}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _raised_by_the_call_itself(error: BaseException) -> bool:
    """Whether the arguments did not fit the signature: the last frame is then Hydra's, not the target's."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "hydra" in Path(frames[-1].filename).parts
