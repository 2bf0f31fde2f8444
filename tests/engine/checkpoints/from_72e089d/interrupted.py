"""train.py, which receives SIGTERM in its 22nd step, the seventh of the second epoch."""

import os
import runpy
import signal
import sys
from itertools import count

from my_project.tasks import Task

original, steps = Task.training_step, count(1)


def training_step(self, *args):
    if next(steps) == 22:
        os.kill(os.getpid(), signal.SIGTERM)
    return original(self, *args)


Task.training_step = training_step
sys.argv[0] = "train.py"
runpy.run_path("train.py", run_name="__main__")
