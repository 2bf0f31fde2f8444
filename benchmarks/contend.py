"""Let one contender do one job in this process, and print its record.

python benchmarks/contend.py raw text --work build/benchmarks --seed 1 --steps 500
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

from catalog import FOLDER
from jobs import JOBS


def main() -> None:
    """Start the clock, and run what the contender's `JOBS` has for this job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contender")
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--work", type=Path, required=True, help="what prepare.py made")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="by default the job's")
    parser.add_argument("--losses", type=int, default=0, help="without dropout, print so many losses, too")
    options = parser.parse_args()
    job = JOBS[options.job]
    if hasattr(os, "sched_setaffinity") and job.device == "cpu":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    # From here on imports count: the time to the first step is that of the process.
    from clock import Clock
    from work import Work

    steps = options.steps or job.steps
    record = {"contender": options.contender, "job": options.job, "seed": options.seed, "batch_size": job.batch_size}
    clock = Clock(record, steps, min(job.warmup, steps - 1), options.losses, job.whole)
    work = Work(options.work, job, options.seed, 0.0 if options.losses else 0.1)
    sys.path.append(str(FOLDER))
    importlib.import_module(options.contender).JOBS[options.job](work)
    if job.whole:
        clock.stop()
    sys.exit(f"{options.contender} ended after {clock.done} of {steps} steps")


if __name__ == "__main__":
    main()
