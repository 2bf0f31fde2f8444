"""Checks for your own models, tasks and data: what only they can break, tried on a few batches.

>>> def test_my_model(tmp_path):
...     check_resumes(["model=bert", "data=csv", "data.path=tests/few.csv"], tmp_path)

A check takes options as `train.py` does, and a folder. In it, it makes the dataset, unless the options lead to one that
is there, and trains for two epochs of four batches on the CPU. Checks that are given the same folder share both. Each
command runs as a user would run it, in a process of its own. A check that fails says what to change.
"""

from .checks import check_predicts_alone, check_processes_agree, check_resumes, check_trains
from .command import Ended, run_command

__all__ = [
    "Ended",
    "check_predicts_alone",
    "check_processes_agree",
    "check_resumes",
    "check_trains",
    "run_command",
]
