"""What has to happen when a job ends, however it does: one job after another may run in a process."""

from collections.abc import Callable

_todo: list[Callable[[bool], None]] = []


def at_job_end(function: Callable[[bool], None]) -> None:
    """Have `function` called at the end of the job, with whether the job failed."""
    _todo.append(function)


def end_job(failed: bool) -> None:
    """Call what was asked for, the latest first."""
    while _todo:
        _todo.pop()(failed)
