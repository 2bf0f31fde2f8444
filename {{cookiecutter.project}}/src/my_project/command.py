"""Around every command: the project's folder, and a user's mistake told in one line."""

import errno
import functools
import gc
import inspect
import math
import os
import signal
import subprocess
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException

from .accounts import name_user
from .arguments import check_arguments, is_override, name_positional
from .config import register_resolvers
from .errors import JOB, PRUNED, Interrupted, ProcessFailed, Pruned, UsageError, short
from .job_end import end_job
from .lean import import_torchmetrics
from .processes import be_process, is_process
from .rerun import repeated
from .resume import resumed
from .run_folder import choose_folder, outer_rank, remove_run

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
READ_ONLY = (errno.EACCES, errno.EROFS, errno.ENOTDIR)

# How libraries refuse an argument; the last is Lightning's, by name so that --help need not import it.
REFUSALS = ("TypeError", "ValueError", "MisconfigurationException")


def command(main: Callable[[], Any], positional: str | None = None) -> Callable[[], None]:
    """Decorate a `hydra.main` function: a user's mistake prints one line, exits with 2 and leaves nothing behind.

    Any other exception shows its traceback, from the command's file on, and exits with 1. HYDRA_FULL_ERROR=1 shows all.

    Args:
        main: The function.
        positional: Option that takes the arguments without a name, as a list.
    """
    file = Path(inspect.unwrap(main).__code__.co_filename).resolve()

    @functools.wraps(main)
    def run() -> None:
        run_own_code(file)
        os.environ["PROJECT_ROOT"] = str(file.parent)
        register_resolvers()
        if positional:
            sys.argv[1:] = name_positional(sys.argv[1:], positional)
        sys.argv[1:] = sorted(sys.argv[1:], key=is_override)  # Hydra takes no flag among the overrides
        # Threads of GNU OpenMP spin while they wait, and starve each other on a busy machine: with one of two cores
        # taken, 60 steps of BERT took 111 s; with short spins 4.3 s, and on a quiet machine 2.1 s either way.
        # It is read when torch is imported, that is, later.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        # Python looks for garbage after every 700 new objects; imports make a million that are none. With this the
        # first step of training comes after 2.2 s of CPU time instead of 2.8 s.
        gc.set_threshold(100_000, 50, 100)
        # Hydra reads each file three times, with the loader of this name; libyaml's takes a ninth of the time.
        loaders: Any = yaml
        loaders.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        if is_process():
            be_process(main)
            return
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            if (code := sweep(file)) is None:
                main()
            sys.exit(code or 0)
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print
        Jobs.explain = True
        try:
            users = file.parent / "configs" / "user"
            sys.argv[1:] = resumed(file, name_user(sys.argv[1:], users))
            sys.argv[1:] = repeated(file, sys.argv[1:])
            check_arguments(file, sys.argv[1:])
            if (code := sweep(file)) is None:
                main()
            sys.stdout.flush()
            if code:
                sys.exit(code)
        except Interrupted as interrupted:
            sys.exit(end(interrupted, file))
        except Pruned as pruned:
            print(f"{file.name}: {pruned}", file=sys.stderr)
            sys.exit(PRUNED)
        except KeyboardInterrupt:
            print(f"{file.name}: interrupted", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
        except Exception as error:
            sys.exit(explain(error, file))
        finally:
            end_job(failed=True)  # unless it has ended
            Jobs.explain = False
            os.environ.pop("HYDRA_FULL_ERROR", None)

    return run


def sweep(file: Path) -> int | None:
    """Run the sweep that the command line asks for and return its exit code; None if Hydra has all that it takes."""
    arguments = sys.argv[1:]
    if {"-m", "--multirun"} & set(arguments):
        from .sweeps.sweep import run_sweep  # here, as --help does without

        return run_sweep(file, arguments)
    for group in ("sweep", "launcher"):
        if given := next(
            (line for line in arguments if line.startswith(f"{group}=") and line != f"{group}=null"), None
        ):
            raise UsageError(f"{given}: this is for a sweep; add -m")
    return None


def run_own_code(file: Path) -> None:
    """Start again with the package beside the command, if another copy of it was imported.

    An editable install leads to the folder where it was made; DVC runs queued experiments in a copy of the project, and
    git has worktrees.
    """
    source = file.parent / "src"
    package = Path(__file__).resolve().parent
    path = [str(source), *filter(None, [os.environ.get("PYTHONPATH")])]
    if Path(source, package.name).is_dir() and package.parent != source and path[0] not in sys.path:
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONPATH": os.pathsep.join(path)})


class Jobs(Callback):
    """A Hydra callback that explains why a job failed, lets a sweep go on, and ends it with a table.

    Args:
        needs_torch: Whether the job does.
    """

    explain = False  # whether `command` has not left it to Hydra

    def __init__(self, needs_torch: bool = True) -> None:
        self.needs_torch = needs_torch

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        choose_folder(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        choose_folder(config, "sweep")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if self.needs_torch:
            import_torchmetrics()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        end_job(failed=job_return.status is JobStatus.FAILED)
        if job_return.status is not JobStatus.FAILED or not self.explain:
            return
        error: Exception = job_return._return_value
        code = explain(error, Path(config.paths.root, f"{config.hydra.job.name}.py").resolve())
        folder = Path(config.hydra.runtime.output_dir)
        if config.hydra.mode is RunMode.MULTIRUN:
            Path(folder, "error.txt").write_text(traceback_of(error), encoding="utf-8")
            job_return.status, job_return.return_value = JobStatus.COMPLETED, math.nan
            return
        if (
            code == 2 and config.hydra.output_subdir and JOB not in os.environ
        ):  # which all but the first of several processes lack
            remove_empty_run(folder)
        sys.exit(code)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from .results.sweep import report  # here, as a single run needs no tables

        if report(Path(config.hydra.sweep.dir)):
            sys.exit(1)


def explain(error: BaseException, file: Path) -> int:
    """Print one line for a mistake of the user, else the traceback, and return the exit code: 2 or 1.

    A job of a sweep leaves the traceback in its folder, too.
    """
    if JOB in os.environ:
        Path(os.environ[JOB]).mkdir(parents=True, exist_ok=True)
        Path(os.environ[JOB], "error.txt").write_text(traceback_of(error), encoding="utf-8")
    if isinstance(error, BrokenPipeError):  # python train.py --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if line := mistake(error, file):
        which = f" (process {rank})" if (rank := outer_rank()) else ""
        print(f"{file.name}{which}: {line}", file=sys.stderr)
        return 2
    if isinstance(error, ProcessFailed):
        print(f"{error.text}{file.name}: {error}", file=sys.stderr)
        return 1
    while error.__cause__:
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    own = [number for number, frame in enumerate(frames) if Path(frame.filename).resolve() == file]
    print("Traceback (most recent call last):", file=sys.stderr)
    shown = traceback.format_list(frames[own[0] :] if own else frames) + traceback.format_exception_only(error)
    print("".join(shown), end="", file=sys.stderr)
    return 1


def traceback_of(error: BaseException) -> str:
    """Return the whole traceback, that of the process which failed where it was one of several."""
    own = error.text if isinstance(error, ProcessFailed) else ""
    return own or "".join(traceback.format_exception(error))


def end(interrupted: Interrupted, file: Path) -> int:
    """Print how an interrupted run goes on, ask Slurm to start it again if it is about to stop it, return the code."""
    if outer_rank():
        return 128 + interrupted.signal  # the first process speaks for all
    if JOB in os.environ:
        return 128 + interrupted.signal  # the sweep goes on, and not this job alone
    name, run = signal.Signals(interrupted.signal).name, Path(interrupted.checkpoint).parent.parent
    print(f"{file.name}: interrupted by {name}; go on with: python {file.name} resume={short(run)}", file=sys.stderr)
    if interrupted.signal == signal.SIGUSR1:
        job = os.environ.get("SLURM_ARRAY_JOB_ID", os.environ["SLURM_JOB_ID"])
        task = os.environ.get("SLURM_ARRAY_TASK_ID")
        subprocess.run(["scontrol", "requeue", f"{job}_{task}" if task else job], check=False)
    return 128 + interrupted.signal


def mistake(error: BaseException, file: Path) -> str | None:
    """Return one line for the user if `error` is a mistake on the command line or in the input, else None."""
    key = ""  # of the object in the config that could not be built
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
        if isinstance(cause, InterpolationResolutionError) and message.startswith("UsageError"):
            return message.split(": ", 1)[1].split(" full_key: ")[0]
        if isinstance(cause, yaml.MarkedYAMLError) and (mark := cause.problem_mark):
            return f"{short(mark.name)}, line {mark.line + 1}, column {mark.column + 1}: {cause.problem}"
        if isinstance(cause, yaml.YAMLError):
            return message
        if isinstance(cause, UnicodeDecodeError) and (config := _config_that_was_read(cause)):
            return f"{short(config)}: not in UTF-8 ({cause.reason} at byte {cause.start}); save it in UTF-8"
        if isinstance(cause, MissingMandatoryValue):
            return f"{cause.full_key}: a value is missing; add {cause.full_key}=... to the command"
        if isinstance(cause, OverrideParseException):
            return f"{cause.override}: not of the form key=value"
        if isinstance(cause, InstantiationException) and "full_key: " in message:
            key = message.rpartition("full_key: ")[2] + ": "
        if type(cause).__name__ in REFUSALS and (
            _raised_by_a_library(cause, file)
            or _is_about_an_added_option(message)
            or (key and isinstance(cause, ValueError) and _raised_in_a_library(cause))  # model.dropout=7
        ):
            return f"{key}{message}"
        if isinstance(cause, HydraException | OmegaConfBaseException) and not (cause.__cause__ or cause.__context__):
            return message
    return None


def remove_empty_run(folder: Path) -> None:
    """Remove the folder of a run that failed before it began: it holds only what Hydra writes at the start."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    if any(path.parent.name != ".hydra" and path.suffix != ".log" for path in files):
        return
    remove_run(folder)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _config_that_was_read(error: BaseException) -> str | None:
    """Return the file that Hydra was reading; its name is in no message."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return next(
        (f.f_locals["full_path"] for f in frames if f.f_code.co_name == "load_config" and "full_path" in f.f_locals),
        None,
    )


def _raised_by_a_library(error: BaseException, file: Path) -> bool:
    """Whether a library refused what the command or the config gave it, and no code of the project stood between."""
    frames = [Path(frame.filename).resolve() for frame in traceback.extract_tb(error.__traceback__)]
    after_command = frames[len(frames) - frames[::-1].index(file) :] if file in frames else frames
    own = Path(__file__).resolve().parent
    standard_library = sysconfig.get_path("stdlib")
    return all(
        ({"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(standard_library))
        and not path.is_relative_to(own)
        for path in after_command
    )


def _raised_in_a_library(error: BaseException) -> bool:
    """Whether the last frame of the traceback is a library's: it was given a value that it does not take."""
    last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return bool({"site-packages", "dist-packages"} & set(last.parts))


def _is_about_an_added_option(message: str) -> bool:
    """Whether a constructor, maybe that of a base class, does not know what +group.name=value adds."""
    name = message.partition("unexpected keyword argument ")[2].strip("'")
    return any(arg.startswith("+") and arg.partition("=")[0].rpartition(".")[2] == name for arg in sys.argv)
