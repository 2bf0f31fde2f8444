"""A job whose process was killed is started again, as it is not its code that has failed."""

import signal
from pathlib import Path
from typing import ClassVar

import pytest
from kindling.sweeps.jobs import Job, Listed
from kindling.sweeps.launchers import local
from kindling.sweeps.launchers.local import Local
from kindling.sweeps.launchers.worker import Work

KILLED, STOPPED = -signal.SIGKILL, -signal.SIGTERM


@pytest.mark.parametrize(
    ("codes", "stops", "attempts", "failed"),
    [
        ([KILLED, KILLED, 0], False, 3, False),
        ([KILLED, KILLED, KILLED], False, 3, True),
        ([-signal.SIGSEGV, STOPPED, 0], False, 3, False),  # the second was just starting
        ([137, 137, 0], False, 3, False),  # one of several processes was killed, and the others ended
        ([1], False, 1, True),
        ([2], False, 1, True),
        ([143, 130, 143, 143, 0], False, 5, False),  # it has saved each time
        ([STOPPED] * 4 + [0], True, 5, False),  # with the sweep
    ],
)
def test_only_its_code_fails_a_job(codes: list[int], stops: bool, attempts: int, failed: bool, tmp_path: Path) -> None:
    taken = 0
    for code in codes:
        jobs = Listed(tmp_path, [["seed=1"]], again=False)  # each in another process
        job = jobs.take()
        assert job
        taken += 1
        if code in (1, 137):
            (tmp_path / "0").mkdir(exist_ok=True)
            (tmp_path / "0/error.txt").write_text("ProcessFailed: process 1 of 2\n")
        if jobs.end(job, code, stops):
            break
    assert taken == attempts
    assert (tmp_path / "0/error.txt").exists() == failed
    if failed and KILLED in codes:
        assert "was there enough memory?" in (tmp_path / "0/error.txt").read_text()
    again = Listed(tmp_path, [["seed=1"]], again=True)
    job = again.take()  # by the same command, which begins to count anew
    assert job
    assert not again.end(job, KILLED)


class Dying:
    """A process that ends at once, with the next of its exit codes."""

    codes: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.exitcode = self.codes.pop(0)

    def is_alive(self) -> bool:
        return False

    def join(self) -> None: ...

    def close(self) -> None: ...


def test_a_worker_that_does_one_job_does_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def start(file: Path, arguments: list[str], output: Path | None, environment: dict[str, str]) -> Dying:
        begun.append(int(arguments[0].removeprefix("seed=")))
        return Dying()

    monkeypatch.setattr(local, "_start", start)
    monkeypatch.setattr(Dying, "codes", [KILLED, KILLED, 1])
    jobs = Listed(tmp_path, [["seed=1"], ["seed=2"]], again=False)
    work = Work([], 2, tmp_path, 1, 1, 0, jobs.left, jobs)
    assert Local(workers=1, jobs=1).launch(work) == 0
    assert begun == [1, 1, 1]
    assert isinstance(jobs.take(), Job)
