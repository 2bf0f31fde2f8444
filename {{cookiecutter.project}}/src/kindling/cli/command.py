"""Around every command: the project's folder, and a user's mistake told in one line."""

import functools
import gc
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ..errors import PRUNED, Interrupted, Pruned, UsageError
from ..loggers.accounts import name_user
from ..overrides import is_override, name_positional
from ..project import run_own_code
from ..runs.end import end_job
from ..runs.rerun import repeated
from ..runs.resume import resumed
from ..training.processes import be_process, is_process
from .check import check_arguments
from .hooks import Jobs
from .mistakes import end, explain
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
        from ..sweeps.sweep import run_sweep  # here, as --help does without

        return run_sweep(file, arguments)
    for group in ("sweep", "launcher"):
        if given := next(
            (line for line in arguments if line.startswith(f"{group}=") and line != f"{group}=null"), None
        ):
            raise UsageError(f"{given}: this is for a sweep; add -m")
    return None
