import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from commands import ROOT, Command, Result, run, write_reviews
from filelock import FileLock

os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the network, whoever is logged in
os.environ |= {"WANDB_MODE": "offline", "COMET_START_ONLINE": "0", "MLFLOW_TRACKING_URI": "local"}
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["KINDLING_STRICT"] = "1"  # a report that fails ends the run
torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell; the tests send it
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Files that take longest: they begin first, so that no process has to wait for one of them at the end.
LONGEST = ("test_processes.py", "test_sweep.py", "test_testing.py", "test_tune.py", "test_resume.py", "test_style.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture
def command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command as a user does, but in this process and with its data and runs in a temporary folder."""

    def call(name: str, *overrides: str) -> Result:
        capfd.readouterr()
        code = run(tmp_path, name, *overrides)
        return Result(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("raw") / "reviews.csv", lambda name, told: name)


@pytest.fixture(scope="session")
def data_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Make a small dataset whose labels are "classes" or "numbers", and return the options that name it."""
    made: dict[str, list[str]] = {}
    folder = tmp_path_factory.mktemp("made")
    number = {"good": 5.0, "fair": 3.0, "bad": 1.0}

    def make(labels: str) -> list[str]:
        if labels not in made:
            path = folder / f"{labels}.csv"
            write_reviews(path, lambda name, told: name if labels == "classes" else str(number[name]))
            options = ["data=csv", f"data.path={path}", "data.text=review", "data.label=stars", "data.vocab_size=400"]
            options += [f"data.labels={labels}", f"data.dir={folder / labels}"]
            assert run(folder, "make_dataset", *options) == 0
            made[labels] = options
        return made[labels]

    return make


@pytest.fixture(scope="session")
def dataset(data_of: Callable[[str], list[str]]) -> list[str]:
    return data_of("classes")


@pytest.fixture(scope="session")
def trained(dataset: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on the small dataset."""
    folder = tmp_path_factory.mktemp("trained")
    overrides = ["model=bow", "trainer.max_epochs=3", "logger=[csv]", "callbacks=[checkpoint]"]
    assert run(folder, "train", *dataset, *overrides, f"paths.run={folder / 'run'}") == 0
    return folder / "run"


@pytest.fixture(scope="session")
def real_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An option that leads to the embedded datasets, made once for all processes of the tests."""
    shared = tmp_path_factory.getbasetemp()
    folder = Path(shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared, "real")
    with FileLock(f"{folder}.lock"):
        for name in ("docstrings", "docstring_lines"):
            assert run(folder, "make_dataset", f"data={name}") == 0
    return f"paths.data={folder / 'data'}"


@pytest.fixture(scope="session", autouse=True)
def nothing_is_written_into_the_project() -> Iterator[None]:
    def files() -> set[Path]:
        kept = (path for path in ROOT.rglob("*") if not {"data", "runs"} & set(path.relative_to(ROOT).parts[:1]))
        kept = (path for path in kept if not path.name.startswith("somebody_"))  # of test_user.py, in another process
        return {path for path in kept if not any(part.startswith((".", "__")) for part in path.relative_to(ROOT).parts)}

    before = files()
    yield
    assert files() == before
