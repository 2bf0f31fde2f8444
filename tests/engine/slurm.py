"""A real Slurm of two nodes on this machine, for tests.

A test that asks for `slurm` finds sbatch, squeue and scancel working, in this process and in those that it starts:

    pytest_plugins = ["slurm"]

    @pytest.mark.slurm
    def test_something(slurm): subprocess.run(["sbatch", ...])

The nodes n1 and n2 have two CPUs each; the partition is called debug. A job that is requeued starts after some seconds
instead of two minutes. Several processes of pytest have one each. Needs: root, and apt-get install slurm-wlm munge.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel"]
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])  # where daemons are
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=1
ReturnToService=2
KillWait=5
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=1000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=1000
PartitionName=debug Nodes=ALL Default=YES MaxTime=60 State=UP
"""


@pytest.fixture(scope="session")
def cluster() -> Iterator[dict[str, str]]:
    """Environment variables of a Slurm that runs as long as the tests do."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
    if missing:
        pytest.skip(f"no {', '.join(missing)} on this machine; apt-get install slurm-wlm munge")
    if os.getuid() != 0:
        pytest.skip("only root can start a Slurm that runs the jobs of its user")
    with ExitStack() as stack:
        # Not pytest's folder: munge wants one that everybody may enter, and a short name for its socket.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp")))
        folder.chmod(0o755)
        yield _start(folder, stack)


@pytest.fixture
def slurm(cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Environment variables of a Slurm, also set in this process; no job of the test outlives it."""
    for name, value in cluster.items():
        monkeypatch.setenv(name, value)
    yield cluster
    subprocess.run(["scancel", "--user=root"], check=True)
    _until(lambda: not subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout)


def _start(folder: Path, stack: ExitStack) -> dict[str, str]:
    for name in ("state", "spool.n1", "spool.n2"):
        (folder / name).mkdir()
    (folder / "munge").mkdir(mode=0o755)
    key = folder / "munge/key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    munge = [
        f"--{name}={folder}/munge/{name.split('-')[0]}" for name in ("socket", "key-file", "pid-file", "seed-file")
    ]
    munge.append(f"--log-file={folder}/munge/log")
    config = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    config.write_text(CONFIG.format(folder=folder, host=host, ports=_free_ports(3)))
    environment = {"SLURM_CONF": str(config), "MUNGE_SOCKET": f"{folder}/munge/socket"}
    # A variable of a surrounding job would be taken for this one's.
    daemons = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")} | environment
    for command in (
        ["munged", "--foreground", *munge],
        ["slurmctld", "-D", "-c", "-f", str(config)],
        ["slurmd", "-D", "-N", "n1", "-f", str(config)],
        ["slurmd", "-D", "-N", "n2", "-f", str(config)],
    ):
        _run(command, daemons, folder, stack)
        if command[0] == "munged":
            _until((folder / "munge/socket").exists)
    _until(lambda: _idle(daemons) == 2, folder)
    return environment


def _run(command: list[str], environment: dict[str, str], folder: Path, stack: ExitStack) -> None:
    """Run a daemon until the tests are over."""
    program = shutil.which(command[0], path=PATH)
    output = stack.enter_context((folder / "daemons.log").open("a"))
    process = subprocess.Popen(
        [program, *command[1:]], env=environment, stdout=output, stderr=output, start_new_session=True
    )

    def end() -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)


def _idle(environment: dict[str, str]) -> int:
    answer = subprocess.run(
        ["sinfo", "-h", "-N", "-t", "idle"], env=environment, capture_output=True, text=True, check=False
    )
    return len(answer.stdout.splitlines())


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _until(happened, folder: Path | None = None, seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            logs = folder.glob("*.log") if folder else ()
            pytest.fail("\n".join(["Slurm does not start or end", *(log.read_text()[-3000:] for log in logs)]))
        time.sleep(0.1)
