import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from choices import ROOT, datasets, default, options

from kindling.testing import check_predicts_alone, check_processes_agree, check_resumes, check_trains, run_command

os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the network, whoever is logged in
os.environ["KINDLING_STRICT"] = "1"  # a report that fails ends the run
CHECKS = [check_trains, check_resumes, check_predicts_alone, check_processes_agree]

Make = Callable[[str], Path]


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    """As many threads as there are cores, each of which waits for a command while other tests run."""
    pool = ThreadPoolExecutor(os.cpu_count())
    yield pool
    pool.shutdown(cancel_futures=True)  # after pytest -x, say


@pytest.fixture(scope="session")
def made_again(pool: ThreadPoolExecutor, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[Any]]:
    """Make each dataset by a process in which sets have another order."""

    def again(name: str) -> tuple[subprocess.CompletedProcess[str], Path]:
        folder = tmp_path_factory.mktemp("again")
        command = [sys.executable, "make_dataset.py", f"data={name}", f"paths.data={folder / 'data'}"]
        environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT / "src")}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True), folder

    return {name: pool.submit(again, name) for name in datasets()}


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Make a dataset of configs/data/, once, and return the folder for `paths.data`."""
    folder, lock, made = tmp_path_factory.mktemp("made"), threading.Lock(), set[str]()

    def make_once(name: str) -> Path:
        with lock:
            if name not in made:
                ended = run_command("make_dataset", [f"data={name}"], folder)
                assert ended.code == 0, ended.said
                made.add(name)
        return folder / "data"

    return make_once


@pytest.fixture(scope="session")
def folder_with_data(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], Path]:
    """Return a new folder in which the dataset that the options of train.py name lies already."""

    def new(overrides: list[str]) -> Path:
        named = (override.removeprefix("data=") for override in overrides if override.startswith("data="))
        folder, name = tmp_path_factory.mktemp("run"), next(named, default("data"))
        if name in datasets():
            shutil.copytree(make(name), folder / "data", copy_function=os.link)
        return folder

    return new


@pytest.fixture(scope="session", autouse=True)
def checked(
    request: pytest.FixtureRequest, pool: ThreadPoolExecutor, folder_with_data: Callable[[list[str]], Path]
) -> Iterator[dict[str, dict[Callable[..., object], Future[None]]]]:
    """Check the models of test_train.py, several at a time, while other tests run."""
    found = [getattr(item, "callspec", None) for item in request.session.items if "test_train" in item.nodeid]
    wanted = dict.fromkeys((call.params["model"], call.params["check"]) for call in found if call)
    results = {model: {check: Future[None]() for of, check in wanted if of == model} for model, _ in wanted}

    stopped = threading.Event()

    def check_model(model: str) -> None:
        overrides = options("model", model)
        folder = None
        for check, result in results[model].items():
            if stopped.is_set():
                return
            try:
                folder = folder or folder_with_data(overrides)
                check(overrides, folder)
            except BaseException as error:
                result.set_exception(error)
            else:
                result.set_result(None)

    for model in results:
        pool.submit(check_model, model)
    if any("test_data" in item.nodeid for item in request.session.items):
        request.getfixturevalue("made_again")
    yield results
    stopped.set()
