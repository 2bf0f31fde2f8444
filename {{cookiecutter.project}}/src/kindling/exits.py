"""How a process ends and is told to: the one table of exit codes, signals and environment variables.

0 done, 1 failed, 2 a mistake of the user, 3 pruned; 128 + n: saved after signal n, and can go on.
"""

import os
import signal

FAILED = 1
MISTAKE = 2
PRUNED = 3  # a trial of a search that was ended early

# Windows has no SIGUSR1, and no Slurm.
SIGUSR1 = getattr(signal, "SIGUSR1", 10)
# Slurm sends this one before it stops a job, if `sbatch --signal=USR1@60` asks for it.
SIGNALS = (signal.SIGINT, signal.SIGTERM, SIGUSR1)
# Exit codes of a process that has saved, and is to go on later.
INTERRUPTED = tuple(128 + number for number in SIGNALS)

# Variables that the engine sets for its own processes.
ROOT = "PROJECT_ROOT"  # the folder of the command
JOB = "JOB_OF_A_SWEEP"  # the folder of a job, in its process
PROCESS = "PROCESS_FOLDER"  # where one of several processes finds its config, and leaves how it ended
STORAGE = "SWEEP_STORAGE"  # the address of a search's database, if it has a password
ADDRESSES = "ADDRESSES_WITH_PASSWORDS"  # other addresses, by what stands for them in files
STRICT = "KINDLING_STRICT"  # set in tests: a report that fails ends the run
HYDRA_ERRORS = "HYDRA_FULL_ERROR"  # Hydra's own: "1" makes it raise what it would print
SLURM = "SLURM_JOB_ID"  # Slurm's own


def stopping_signals() -> list[signal.Signals]:
    """Return the signals that end training after a step: Ctrl-C, SIGTERM and, under Slurm, SIGUSR1."""
    return [signal.Signals(number) for number in SIGNALS if number != SIGUSR1 or SLURM in os.environ]


def exit_code(number: int) -> int:
    """Return the exit code after signal `number`, as shells have it."""
    return 128 + number


def describe_code(code: int) -> str:
    """Return how a process ended, from its exit code: "killed by SIGKILL" or "exit code 7".

    Args:
        code: Negative, or above 128, if a signal ended the process.
    """
    number = -code if code < 0 else code - 128
    if number in set(signal.Signals):
        return f"killed by {signal.Signals(number).name}"
    return f"exit code {code}"
