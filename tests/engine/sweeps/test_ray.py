"""Workers as tasks of a real Ray."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from commands import ROOT
from kindling.sweeps.launchers.ray import answers
from launching import Jobs, finish, make_jobs, told, until
from launching import search as run_search

pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
LAUNCHER = ["+launcher=ray", "launcher.workers=2"]


@pytest.fixture
def jobs_of(tmp_path):
    return lambda *seconds: make_jobs(tmp_path / "a sweep", list(seconds))


def logs(jobs: Jobs) -> str:
    return "\n".join(path.read_text() for path in sorted(jobs.folder.glob("ray/*.log")))


def processes(word: str) -> list[str]:
    lines = subprocess.run(
        ["ps", "-eww", "-o", "pid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [line for line in lines if word in line and "ps -eww" not in line]


def test_short_jobs_run_while_a_long_one_does(jobs_of) -> None:
    jobs = jobs_of(6, 1, 1, 1)
    before = processes("raylet")
    code, out, err = jobs.launch(*LAUNCHER)
    assert code == 0, err
    assert err == f"4 workers in Ray, logs in {jobs.folder}/ray\n"
    assert out.splitlines() == [f"job {number} has ended" for number in (1, 2, 3, 0)]
    done = [times for (times,) in jobs.done().values()]
    assert all(one["ended"] < done[0]["ended"] for one in done[1:])
    assert all(first["ended"] <= second["began"] for first, second in pairwise(done[1:]))
    assert Path(done[0]["cwd"]) == ROOT
    assert logs(jobs).count("begins") == 4
    assert processes("raylet") == before


def test_an_interrupted_launcher_waits_until_the_workers_have_saved(jobs_of) -> None:
    jobs = jobs_of(6, 6, 6)
    launch = jobs.start(*LAUNCHER)
    until(lambda: logs(jobs).count("begins") == 2, launch, 120)
    assert len(processes(str(jobs.folder))) == 3  # the launcher and two workers
    time.sleep(1)
    os.killpg(launch.pid, signal.SIGINT)
    code, _, err = finish(launch)
    assert code == -signal.SIGINT, err  # `command` makes that 130
    assert "2 workers are told to save and to end" in err
    assert not processes(str(jobs.folder))
    assert len(list(jobs.folder.glob("*.progress0"))) == 2
    code, _, err = jobs.launch(*LAUNCHER)
    assert code == 0, err
    assert [len(done["past"]) for (done,) in jobs.done().values()] == [1, 1, 0]


@pytest.fixture(scope="module")
def running_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Jobs], str]]:
    """A Ray that was running before, with a token; called, it lets jobs use it and returns the option that does."""
    port, client_port = free_port(), free_port()
    options = [f"--port={port}", f"--ray-client-server-port={client_port}"]
    options += ["--head", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats", "--block"]
    # Ray's client server, without which `--block` ends, does not start by a Python in a folder with a space.
    python = tmp_path_factory.mktemp("bin") / "python"
    python.symlink_to(sys.executable)
    command = [str(python), "-m", "ray.scripts.scripts", "start", *options]
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment |= {"RAY_gcs_rpc_server_connect_timeout_s": "60"}  # 5 are too few where other tests have the cores
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    packages = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ray = subprocess.Popen(command, env=os.environ | environment | packages, **quiet)

    def use(jobs: Jobs) -> str:
        jobs.environment.update(environment)
        return f"launcher.address=127.0.0.1:{port}"

    try:
        until(lambda: answers(f"127.0.0.1:{port}"), ray, 120)
        yield use
    finally:
        ray.terminate()
        ray.wait(60)


def test_a_ray_that_runs_is_used_and_workers_that_die_are_told_of(jobs_of, running_ray) -> None:
    jobs = jobs_of(-signal.SIGKILL, -1001, 0.1)  # the second one says itself that it failed
    code, out, err = jobs.launch("+launcher=ray", running_ray(jobs))
    assert code == 0, err
    (line,) = err.splitlines()[1:]
    file = line.removeprefix("1 worker died, killed by SIGKILL: out of luck (").removesuffix(")")
    assert Path(file).read_text() == "job 0 begins\nout of luck\n"
    assert out == "job 2 has ended\n"
    assert processes("gcs_server")


def test_a_launcher_that_is_terminated_leaves_no_worker_behind(jobs_of, running_ray) -> None:
    jobs = jobs_of(30)
    launch = jobs.start("+launcher=ray", running_ray(jobs))
    until(lambda: "begins" in logs(jobs), launch)
    launch.terminate()
    code, _, err = finish(launch)
    assert code == 128 + signal.SIGTERM, err
    assert (jobs.folder / "0.progress0").exists()
    assert not processes(str(jobs.folder))


def test_jobs_that_no_node_has_room_for_are_told_of(jobs_of, running_ray) -> None:
    jobs = jobs_of(1)
    launch = jobs.start("+launcher=ray", running_ray(jobs), gpus=99)
    line = launch.stderr.readline()
    launch.terminate()
    finish(launch)
    assert line == ("launcher.gpus_per_job=99: no node of this Ray has more than 0 GPUs; jobs wait for one that has\n")
    assert not jobs.done()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize(
    ("options", "work", "expected"),
    [
        (
            ["launcher.address=ray://127.0.0.1:{port}"],
            {},
            "launcher.address=ray://127.0.0.1:{port}: no Ray answers there",
        ),
        (["launcher.address=127.0.0.1:{port}"], {}, "launcher.address=127.0.0.1:{port}: no Ray answers there"),
        (
            [],
            {"nodes": 2},
            "trainer.num_nodes=2: with launcher=ray a job runs on one node; use torchrun",
        ),
        ([], {"gpus": 99}, "launcher.gpus_per_job=99: no node of this Ray has more than"),
        (["launcher.workers=0"], {}, "launcher.workers=0: expected null or a whole number from 1"),
        (["launcher.cpus_per_job=-1"], {}, "launcher.cpus_per_job=-1: expected null or a number from 0"),
    ],
)
def test_what_ray_cannot_do_is_one_line(jobs_of, options: list[str], work: dict[str, int], expected: str) -> None:
    jobs, port = jobs_of(1), free_port()
    code, _, err = jobs.launch(*LAUNCHER, *(option.format(port=port) for option in options), **work)
    assert code == 2, err
    assert err.startswith(f"launch.py: {expected.format(port=port)}")
    assert err.count("\n") == 1


def test_a_search_finds_in_ray_what_it_finds_here(dataset, tmp_path) -> None:
    options = ["sweep=search", "optimizer.lr=tag(log,interval(1e-3,1e-1))", "model.hidden_size=8,16", "sweep.trials=3"]
    here = run_search(tmp_path / "here", dataset, *options)
    there = run_search(tmp_path / "there", dataset, *options, "launcher=ray", "launcher.workers=2")
    assert (here.code, there.code) == (0, 0), there.err
    assert told(tmp_path / "there/runs/sweeps/search") == told(tmp_path / "here/runs/sweeps/search")
    assert "3 workers in Ray" in there.err
    assert (tmp_path / "there/runs/sweeps/search/report.html").exists()
