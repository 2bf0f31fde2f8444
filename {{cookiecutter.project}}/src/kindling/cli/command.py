"""Around every command: the project's folder, and one line for a mistake of the user."""

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..addresses import hidden_options
from ..errors import Interrupted, Pruned, UsageError
from ..exits import HYDRA_ERRORS, PRUNED, ROOT, exit_code
from ..loggers.accounts import name_user
from ..overrides import is_override, name_positional
from ..project import home, run_own_code
from ..runs.end import end_job
from ..runs.rerun import repeated
from ..runs.resume import resumed
from ..startup import switch_on
from ..training.processes import be_process, is_process
from .check import check_additions, check_arguments, leaves_runs
from .form import check_form
from .hooks import JobHooks
from .mistakes import explain, explain_interruption, mistake
from .resolvers import register_resolvers


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
        os.environ[ROOT] = str(home(file))
        register_resolvers()
        # Without folders, whose names may hold anything: runs/lr=0.1
        typed = [argument for argument in sys.argv[1:] if not (positional and Path(argument).exists())]
        if positional:
            sys.argv[1:] = name_positional(sys.argv[1:], positional)
        sys.argv[1:] = sorted(sys.argv[1:], key=is_override)  # Hydra takes no flag among the overrides
        if leaves_runs(file):
            sys.argv[1:] = hidden_options(sys.argv[1:])
        switch_on()
        if is_process():
            be_process(main, lambda error: mistake(error, file))
        elif os.environ.get(HYDRA_ERRORS) == "1":
            sys.exit(_run(main, file))
        else:
            with _explaining(file):
                check_form(file.stem, typed, bool(positional))
                check_additions(file, typed)
                users = home(file) / "configs" / "user"
                sys.argv[1:] = resumed(file, name_user(sys.argv[1:], users))
                sys.argv[1:] = repeated(file, sys.argv[1:])
                sys.argv[1:] = check_arguments(file, sys.argv[1:])
                if code := _run(main, file):
                    sys.exit(code)

    return run


@contextmanager
def _explaining(file: Path) -> Iterator[None]:
    """End with one line and an exit code of the table in `exits` where the block raises."""
    os.environ[HYDRA_ERRORS] = "1"  # Hydra then raises what it would print
    JobHooks.explain = True
    try:
        yield
    except Interrupted as interrupted:
        sys.exit(explain_interruption(interrupted, file))
    except Pruned as pruned:
        print(f"{file.name}: {pruned}", file=sys.stderr)
        sys.exit(PRUNED)
    except KeyboardInterrupt:
        print(f"{file.name}: interrupted", file=sys.stderr)
        sys.exit(exit_code(signal.SIGINT))
    except Exception as error:  # whatever it is, the user sees it: as one line or with its traceback
        sys.exit(explain(error, file))
    finally:
        end_job(failed=True)  # unless it has ended
        JobHooks.explain = False
        os.environ.pop(HYDRA_ERRORS, None)


def _run(main: Callable[[], Any], file: Path) -> int:
    """Run the sweep that the command line asks for, or the single job, and return the exit code."""
    code = _sweep(file)
    if code is None:  # Hydra has all that it takes
        main()
        sys.stdout.flush()
    return code or 0


def _sweep(file: Path) -> int | None:
    """Run the sweep that the command line asks for and return its exit code; None if Hydra has all that it takes."""
    arguments = sys.argv[1:]
    if {"-m", "--multirun"} & set(arguments):
        from ..sweeps.start import run_sweep  # here, as --help does without

        return run_sweep(file, arguments, check_arguments)
    for group in ("sweep", "launcher"):
        if given := next(
            (line for line in arguments if line.startswith(f"{group}=") and line != f"{group}=null"), None
        ):
            raise UsageError(f"{given}: this is for a sweep; add -m")
    return None
