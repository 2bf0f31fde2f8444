"""Workers as an array of a real Slurm."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commands import ROOT
from interruption import same
from launching import Jobs, finish, make_jobs, start_search, told, until, weights
from launching import search as run_search

pytest.importorskip("submitit", reason="submitit is not installed: pip install submitit")
pytest_plugins = ["slurm"]
pytestmark = pytest.mark.slurm
LAUNCHER = ["+launcher=slurm", "launcher.partition=debug", "launcher.minutes=3"]


@pytest.fixture
def jobs_of(slurm, tmp_path):
    """Make jobs that take so many seconds, in a folder whose name has a space."""
    return lambda *seconds: make_jobs(tmp_path / "a sweep", list(seconds), slurm)


def logs(jobs: Jobs) -> str:
    return "\n".join(path.read_text() for path in sorted(jobs.folder.glob("slurm/*.out")))


def array(jobs: Jobs) -> str:
    (script,) = jobs.folder.glob("slurm/[0-9]*_submission.sh")
    return script.name.partition("_")[0]


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def at_once(jobs: Jobs) -> int:
    """Return how many jobs ran at the same time."""
    times = [time for (time,) in jobs.done().values()]
    return max(sum(other["began"] <= time["began"] < other["ended"] for other in times) for time in times)


def test_an_array_does_every_job_once_and_as_many_at_once_as_asked(jobs_of) -> None:
    jobs = jobs_of(3, 3, 3, 3)
    setup = "launcher.setup=['export GREETING=\"well met\"']"
    code, out, err = jobs.launch(
        *LAUNCHER, "launcher.workers=2", "launcher.cpus_per_task=2", "launcher.memory=300M", setup
    )
    assert code == 0, err
    assert sorted(out.splitlines()) == [f"job {number} has ended" for number in range(4)]
    assert err == f"4 workers in Slurm: job {array(jobs)}, logs in {jobs.folder}/slurm\n"
    assert [len(times) for times in jobs.done().values()] == [1, 1, 1, 1], logs(jobs)
    assert at_once(jobs) == 2
    (one,) = jobs.done()["0"]
    assert one["GREETING"] == "well met"
    assert one["SLURM_CPUS_PER_TASK"] == "2"
    assert Path(one["cwd"]) == ROOT
    for number in range(4):  # a log each, with what the worker said and nothing else
        assert (jobs.folder / f"slurm/{array(jobs)}_{number}_0_log.out").read_text().endswith("begins\n")


def test_jobs_that_have_to_stop_save_and_go_on_and_are_done_once(jobs_of) -> None:
    jobs = jobs_of(6, 6, 6)
    launch = jobs.start(*LAUNCHER)
    until(lambda: logs(jobs).count("begins") == 3, launch)
    time.sleep(2)
    ask("scontrol", "requeue", f"{array(jobs)}_0")
    ask("scancel", "--signal=USR2", f"{array(jobs)}_1")  # as when the time is nearly over
    ask("scancel", "--signal=TERM", f"{array(jobs)}_2")  # as when another job needs the room
    code, _, err = finish(launch)
    assert code == 0, err
    assert [len(times) for times in jobs.done().values()] == [1, 1, 1], logs(jobs)
    assert all(len(done["past"]) == 1 and done["past"][0] > 1.5 for (done,) in jobs.done().values())
    assert logs(jobs).count("begins") == logs(jobs).count("goes on after") == 3
    assert "submitit" not in logs(jobs)
    assert "died" not in err


def test_a_job_that_has_to_stop_too_often_is_told_of(jobs_of) -> None:
    jobs = jobs_of(20)
    launch = jobs.start(*LAUNCHER, "launcher.requeues=0")
    until(lambda: "begins" in logs(jobs), launch)
    ask("scancel", "--signal=USR2", array(jobs))
    code, _, err = finish(launch)
    assert code == 0, err
    assert err.splitlines()[1:] == ["1 worker had to make room once; launcher.requeues=1 queues them more often"]


def test_a_job_whose_time_is_over_is_told_to_save(jobs_of) -> None:
    jobs = jobs_of(500)
    launch = jobs.start(*LAUNCHER, "launcher.minutes=1", "launcher.grace=10", "launcher.requeues=0")
    code, _, err = finish(launch)
    assert code == 0, err
    assert err.splitlines()[1:] == ["1 worker ran out of time (launcher.minutes=1) once; give more minutes"]
    assert (jobs.folder / "0.progress0").exists()


def test_a_job_that_is_cancelled_is_not_queued_again(jobs_of) -> None:
    jobs = jobs_of(60)
    launch = jobs.start(*LAUNCHER)
    until(lambda: "begins" in logs(jobs), launch)
    ask("scancel", array(jobs))
    code, _, err = finish(launch)
    assert code == 0, err
    assert err.splitlines()[1:] == ["1 worker cancelled"]
    assert not jobs.done()


def test_processes_of_a_job_run_on_both_nodes_and_all_of_them_are_told_to_save(jobs_of) -> None:
    jobs = jobs_of(6)
    launch = jobs.start(*LAUNCHER, nodes=2, processes=2)
    until(lambda: logs(jobs).count("begins") == 4, launch)
    time.sleep(2)
    ask("scancel", "--signal=USR2", array(jobs))
    code, _, err = finish(launch)
    assert code == 0, err
    (processes,) = jobs.done().values()
    assert sorted((one["rank"], one["SLURMD_NODENAME"]) for one in processes) == [
        (0, "n1"), (1, "n1"), (2, "n2"), (3, "n2"),
    ]  # fmt: skip
    assert all(one["SLURM_NTASKS"] == "4" and len(one["past"]) == 1 for one in processes)


def test_ctrl_c_leaves_the_jobs_in_slurm_and_the_same_command_waits_for_them_again(jobs_of) -> None:
    jobs = jobs_of(8, 1)
    launch = jobs.start(*LAUNCHER, "launcher.workers=1")
    until(lambda: "begins" in logs(jobs), launch)
    os.killpg(launch.pid, signal.SIGINT)
    code, _, err = finish(launch)
    number = array(jobs)
    assert code == 130
    assert err.splitlines()[1:] == [
        f"the jobs go on in Slurm: squeue -j {number}; scancel {number} ends them; "
        "the same command waits for them again"
    ]
    (jobs.folder / "2.job").write_text("1")  # the sweep has grown
    code, _, err = jobs.launch(*LAUNCHER)
    assert code == 0, err
    assert f"2 workers of this sweep are in Slurm already: job {number}\n1 worker in Slurm: job" in err
    assert [len(times) for times in jobs.done().values()] == [1, 1, 1]


def test_how_long_and_what_for_jobs_wait_is_said_once(jobs_of) -> None:
    jobs = jobs_of(1, 1)
    ask("scontrol", "update", "PartitionName=debug", "State=DOWN")
    try:
        launch = jobs.start(*LAUNCHER)
        lines = [launch.stderr.readline() for _ in range(2)]
    finally:
        ask("scontrol", "update", "PartitionName=debug", "State=UP")
    code, _, err = finish(launch)
    assert code == 0, err
    assert lines[1] == "2 jobs wait in partition debug: PartitionDown\n"
    assert "wait" not in err


def test_workers_that_die_are_told_of_in_a_line_each_way(jobs_of) -> None:
    jobs = jobs_of(-signal.SIGKILL, -signal.SIGKILL, -1005, -1001)  # the last one says itself that it failed
    code, _, err = jobs.launch(*LAUNCHER)
    assert code == 0, err
    lines = sorted(err.splitlines()[1:])
    assert lines[0].startswith("1 worker died, exit code 5: out of luck (")
    assert lines[1].startswith("2 workers died, killed by SIGKILL: out of luck (")
    assert all(Path(line.partition("(")[2].rstrip(")")).is_file() for line in lines)
    assert len(lines) == 2


def test_a_step_that_slurm_kills_is_told_of(jobs_of) -> None:
    jobs = jobs_of(30)
    launch = jobs.start(*LAUNCHER)
    until(lambda: "begins" in logs(jobs), launch)
    ask("scancel", "--signal=KILL", f"{array(jobs)}.0")
    code, _, err = finish(launch)
    assert code == 0, err
    assert err.splitlines()[1].startswith("1 worker died, FAILED: srun: ")
    until((jobs.folder / "0.progress0").exists)  # the worker has saved and does not go on without it


def test_jobs_that_wait_when_nothing_is_left_are_taken_back(jobs_of) -> None:
    jobs = jobs_of(1)
    code, _, err = jobs.launch(*LAUNCHER, "launcher.workers=1", count=30)
    assert code == 0, err
    assert len(err.splitlines()) == 1
    assert len(list(jobs.folder.glob("slurm/*.out"))) < 10


def test_a_machine_without_slurm_is_told_of_in_one_line(tmp_path) -> None:
    jobs = make_jobs(tmp_path / "a sweep", [1], {"PATH": str(tmp_path)})
    code, _, err = jobs.launch(*LAUNCHER)
    assert code == 2
    assert err == (
        "launch.py: launcher=slurm: there is no sbatch on this machine; "
        "start it on the login node of the cluster, or use launcher=local\n"
    )


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("launcher.partition=nope", "launcher=slurm: invalid partition specified: nope; Batch job submission failed"),
        ("+launcher.more.nonsense=1", "launcher=slurm: unrecognized option '--nonsense=1'"),
        ("+launcher.more.nodelist=n9", "launcher=slurm: Batch job submission failed: Invalid node name specified"),
        ("launcher.minutes=0", "launcher.minutes=0: expected a whole number from 1"),
        ("launcher.workers=many", "launcher.workers=many: expected null or a whole number from 1"),
        ("launcher.grace=180", "launcher.grace=180: expected fewer seconds than launcher.minutes=3 have"),
        ("launcher.setup=pwd", "launcher.setup=pwd: expected a list; use 'launcher.setup=[pwd]'"),
    ],
)
def test_what_sbatch_refuses_is_one_line_with_its_words(jobs_of, option: str, expected: str) -> None:
    jobs = jobs_of(1)
    code, _, err = jobs.launch(*LAUNCHER, option)
    assert code == 2
    assert err.startswith(f"launch.py: {expected}")
    assert err.count("\n") == 1


# Sweeps


SEARCH = ["sweep=search", "optimizer.lr=tag(log,interval(1e-3,1e-1))", "model.hidden_size=8,16", "sweep.trials=4"]
CLUSTER = ["launcher=slurm", "launcher.partition=debug", "launcher.minutes=3", "launcher.workers=2"]


def test_a_search_is_an_array_and_finds_what_it_finds_here(slurm, dataset, tmp_path) -> None:
    here = run_search(tmp_path / "here", dataset, *SEARCH)
    there = run_search(tmp_path / "there", dataset, *SEARCH, *CLUSTER)
    assert (here.code, there.code) == (0, 0), there.err
    assert told(tmp_path / "there/runs/sweeps/search") == told(tmp_path / "here/runs/sweeps/search")
    assert "4 workers in Slurm: job " in there.err
    assert there.err.count("val/accuracy") >= 4
    assert "Train it: python train.py experiment=best_of_search" in there.out
    assert (tmp_path / "there/runs/sweeps/search/report.html").exists()
    assert len(list(tmp_path.glob("there/runs/sweeps/search/slurm/*_0_log.out"))) == 4


def test_a_job_that_has_to_make_room_is_queued_again_and_ends_as_if_it_had_not(slurm, dataset, tmp_path) -> None:
    slow = ["trainer.max_epochs=8", "+callbacks.slow={_target_:launching.Slow,seconds:0.1}"]
    options = ["seed=1", *slow, "callbacks.last_checkpoint.every_n_steps=1"]
    alone = run_search(tmp_path / "alone", dataset, *options, "launcher=local")
    assert alone.code == 0, alone.err
    launch = start_search(tmp_path / "cut", dataset, *options, *CLUSTER)
    folder = tmp_path / "cut/runs"
    until(lambda: any(folder.glob("*/*/0/checkpoints/last.ckpt")), launch, 200)
    (script,) = folder.glob("*/*/slurm/[0-9]*_submission.sh")
    ask("scancel", "--signal=TERM", script.name.partition("_")[0])
    code, _, err = finish(launch)
    assert code == 0, err
    (run,), (other,) = folder.glob("*/*/0"), tmp_path.glob("alone/runs/*/*/0")
    assert same(weights(run), weights(other))
    assert json.loads((run / "run.json").read_text())["resumed"] == 1


def test_a_job_takes_two_nodes(slurm, dataset, tmp_path) -> None:
    exact = ["model.dropout=0", "trainer.precision=64-true", "data.batch_size=31", "seed=1"]
    alone = run_search(tmp_path / "alone", dataset, *exact, "launcher=local")
    assert alone.code == 0, alone.err
    one_machine = "launcher.setup=['export MASTER_ADDR=127.0.0.1','export GLOO_SOCKET_IFNAME=lo']"
    two = [*CLUSTER, one_machine, "trainer=ddp_cpu", "trainer.devices=1", "trainer.num_nodes=2"]
    done = run_search(tmp_path / "two", dataset, *exact, *two)
    assert done.code == 0, done.err
    (run,), (other,) = (list(tmp_path.glob(f"{name}/runs/*/*/0")) for name in ("two", "alone"))
    found, expected = (json.loads((path / "metrics.json").read_text()) for path in (run, other))
    assert found == pytest.approx(expected, rel=5e-7, abs=5e-7)
    assert "on 2 x cpu" in (run / "train.log").read_text()
    assert len(list(run.parent.glob("slurm/*_log.out"))) == 2


def test_nodes_that_cannot_find_each_other_say_so_at_once(slurm, dataset, tmp_path) -> None:
    two = [*CLUSTER, "trainer=ddp_cpu", "trainer.devices=1", "trainer.num_nodes=2"]
    lost = "launcher.setup=['export MASTER_ADDR=n1.invalid']"
    done = run_search(tmp_path / "two", dataset, *two, lost)
    assert done.code == 1
    assert "trainer.num_nodes=2: no address of the first node, n1.invalid, is known here" in done.err
