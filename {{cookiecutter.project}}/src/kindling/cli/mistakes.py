"""How an error reaches the user: one line for a mistake, a traceback for a fault of the program."""

import errno
import os
import re
import signal
import subprocess
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

import yaml
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException

from ..addresses import without_password
from ..errors import Interrupted, ProcessFailed, UsageError, did_you_mean, short, visible
from ..exits import FAILED, JOB, MISTAKE, SIGUSR1, exit_code
from ..files import new_file
from ..project import SOURCE
from ..runs.folder import outer_rank

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
READ_ONLY = (errno.EACCES, errno.EROFS, errno.ENOTDIR)
TOO_LONG = (errno.ENAMETOOLONG, errno.EINVAL)
# How libraries refuse an argument; the last is Lightning's, by name so that --help need not import it.
REFUSALS = ("TypeError", "ValueError", "MisconfigurationException")


def explain(error: BaseException, file: Path) -> int:
    """Print one line for a mistake of the user, else the traceback, and return the exit code: 2 or 1.

    A job of a sweep leaves the traceback in its folder, too.
    """
    if JOB in os.environ:
        keep_traceback(error, Path(os.environ[JOB]))
    if isinstance(error, BrokenPipeError):  # python train.py --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if line := mistake(error, file):
        which = f" (process {rank})" if (rank := outer_rank()) else ""
        print(f"{file.name}{which}: {visible(without_password(line))}", file=sys.stderr)
        return MISTAKE
    if isinstance(error, ProcessFailed):
        print(f"{error.text}{file.name}: {error}", file=sys.stderr)
        return exit_code(error.signal) if error.signal and JOB in os.environ else FAILED  # its sweep starts it again
    while error.__cause__:
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    own = [number for number, frame in enumerate(frames) if Path(frame.filename).resolve() == file]
    print("Traceback (most recent call last):", file=sys.stderr)
    lines = traceback.format_list(frames[own[0] :] if own else frames) + traceback.format_exception_only(error)
    print("".join(lines), end="", file=sys.stderr)
    return FAILED


def traceback_of(error: BaseException) -> str:
    """Return the whole traceback, that of the process which failed where it was one of several."""
    own = error.text if isinstance(error, ProcessFailed) else ""
    return without_password(own or "".join(traceback.format_exception(error)))


def keep_traceback(error: BaseException, folder: Path) -> None:
    """Write the traceback into the folder of a job."""
    with new_file(folder / "error.txt") as new:
        new.write_text(traceback_of(error), encoding="utf-8")


def explain_interruption(interrupted: Interrupted, file: Path) -> int:
    """Print how an interrupted run goes on, ask Slurm to start it again if it is about to stop it, return the code."""
    if outer_rank() or JOB in os.environ:  # the first process speaks for all, and a sweep for its jobs
        return exit_code(interrupted.signal)
    name, run = signal.Signals(interrupted.signal).name, Path(interrupted.checkpoint).parent.parent
    print(f"{file.name}: interrupted by {name}; go on with: python {file.name} resume={short(run)}", file=sys.stderr)
    if interrupted.signal == SIGUSR1:
        job = os.environ.get("SLURM_ARRAY_JOB_ID", os.environ["SLURM_JOB_ID"])
        task = os.environ.get("SLURM_ARRAY_TASK_ID")
        subprocess.run(["scontrol", "requeue", f"{job}_{task}" if task else job], check=False)
    return exit_code(interrupted.signal)


def mistake(error: BaseException, file: Path) -> str | None:
    """Return one line for the user if `error` is a mistake on the command line or in the input, else None."""
    option = ""  # of the object in the config that could not be built
    for cause in _causes(error):
        message = " ".join(str(cause).split())
        if isinstance(cause, UsageError):
            return message
        if isinstance(cause, OSError) and cause.errno in DISK_FULL:
            return f"{message}; make room, then resume"
        if isinstance(cause, PermissionError) and cause.filename:
            return f"{message}; choose a folder that you may write to, or change its permissions"
        if isinstance(cause, OSError) and cause.errno in READ_ONLY and cause.filename:
            return f"{cause.filename}: {cause.strerror}; choose a folder that can be written to"
        if isinstance(cause, OSError) and cause.filename and (cause.errno in TOO_LONG or _made_a_folder(cause)):
            return f"{cause.filename}: {cause.strerror}; choose another place"
        if isinstance(cause, InterpolationResolutionError) and not _is_own(cause.__cause__):
            return message.split("raised while resolving interpolation: ")[-1].split(" full_key: ")[0]
        if isinstance(cause, yaml.MarkedYAMLError) and (mark := cause.problem_mark):
            return f"{short(mark.name)}, line {mark.line + 1}, column {mark.column + 1}: {cause.problem}"
        if isinstance(cause, yaml.YAMLError):
            return message
        if isinstance(cause, UnicodeDecodeError) and (config := _config_with(cause.object, file)):
            return f"{short(config)}: not in UTF-8 ({cause.reason} at byte {cause.start}); save it in UTF-8"
        if isinstance(cause, MissingMandatoryValue):
            return f"{cause.full_key}: a value is missing; add {cause.full_key}=... to the command"
        if isinstance(cause, OverrideParseException):
            return f"{cause.override}: not of the form key=value"
        if isinstance(cause, InstantiationException) and "full_key: " in message:
            option = message.rpartition("full_key: ")[2] + ": "
        if isinstance(cause, ImportError) and (line := _names_nothing(cause)):
            return f"{option.removesuffix(': ')}._target_={line}"
        if type(cause).__name__ in REFUSALS and (
            _raised_by_a_library(cause, file) or _is_about_an_added_option(message)
        ):
            return f"{option}{message}"
        # model.dropout=7, and model.hidden_size=-3
        if option and isinstance(cause, ValueError | RuntimeError) and _raised_in_a_library(cause):
            return f"{option}{message}"
        if isinstance(cause, HydraException | OmegaConfBaseException):
            inner = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
            if inner is None or (isinstance(cause, OmegaConfBaseException) and _raised_by_a_library(cause, file)):
                return message.split(" object_type=")[0].replace(" full_key: ", ": ")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _config_with(content: bytes, file: Path) -> Path | None:
    """Return the config that holds these bytes; the message about them does not name it."""
    folders = [file.parent / "configs"]
    for argument, value in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        option, _, attached = argument.partition("=")
        if option in ("--config-dir", "-cd"):
            folders.append(Path(attached or value))
    configs = (path for folder in folders for path in folder.rglob("*.yaml"))
    return next((path for path in configs if content in path.read_bytes()), None)


def _made_a_folder(error: OSError) -> bool:
    """Whether a folder could not be made, whose name is the user's."""
    return any(frame.name in ("mkdir", "makedirs") for frame in traceback.extract_tb(error.__traceback__))


def _is_own(error: BaseException | None) -> bool:
    """Whether code of the project's own packages raised this, a resolver say; its mistakes are no options."""
    frames = traceback.extract_tb(error.__traceback__) if error and not isinstance(error, UsageError) else []
    last = Path(frames[-1].filename) if frames else Path()
    return last.is_relative_to(SOURCE) and not last.is_relative_to(SOURCE / "kindling")


def _raised_by_a_library(error: BaseException, file: Path) -> bool:
    """Whether a library refused what the command or the config gave it, and no code of the project stood between."""
    frames = [Path(frame.filename).resolve() for frame in traceback.extract_tb(error.__traceback__)]
    after_command = frames[len(frames) - frames[::-1].index(file) :] if file in frames else frames
    standard_library = sysconfig.get_path("stdlib")
    return all(
        ({"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(standard_library))
        and not path.is_relative_to(SOURCE)
        for path in after_command
    )


def _raised_in_a_library(error: BaseException) -> bool:
    """Whether the last frame of the traceback is a library's: it was given a value that it does not take."""
    last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return bool({"site-packages", "dist-packages"} & set(last.parts))


def _names_nothing(error: ImportError) -> str | None:
    """Return what a `_target_` names that is not there; None if something that it imports is missing."""
    match = re.match(r"Error loading '([\w.]+)'", str(error))
    if not match or not isinstance(error.__cause__, ModuleNotFoundError):
        return None
    target, missing = match[1], error.__cause__.name or ""
    where, _, name = missing.rpartition(".")
    if missing == target and where in sys.modules:
        names = [known for known in dir(sys.modules[where]) if not known.startswith("_")]
        return f"{target}: {where} has no {name}{did_you_mean(name, names)}"
    return f"{target}: there is no module {missing}" if f"{target}.".startswith(f"{missing}.") else None


def _is_about_an_added_option(message: str) -> bool:
    """Whether a constructor, maybe that of a base class, does not know what +group.name=value adds."""
    name = message.partition("unexpected keyword argument ")[2].strip("'")
    return any(arg.startswith("+") and arg.partition("=")[0].rpartition(".")[2] == name for arg in sys.argv)
