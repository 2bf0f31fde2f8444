"""A password in the address of a search's database is in no file, and jobs reach the database all the same."""

import os

import pytest
import yaml
from commands import Command
from kindling.addresses import without_password
from kindling.errors import UsageError
from kindling.sweeps.password import INSTEAD, STORAGE, kept_address, kept_overrides
from kindling.sweeps.storage import running_trial

SECRET = "s3cret.Word"
SHORT = ["model=bow", "data.batch_size=24", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "logger=[csv]"]
SHORT += ["callbacks=[checkpoint,pruning]", "optimizer.lr=0.1,0.2"]


@pytest.fixture(autouse=True)
def environment(monkeypatch) -> None:
    monkeypatch.setenv(STORAGE, "")  # which the tests change, and is put back
    monkeypatch.delenv(STORAGE)


def test_no_file_holds_the_password_and_the_jobs_use_the_database(command: Command, dataset, tmp_path) -> None:
    # SQLite takes no password; what looks like one is an option that it ignores.
    address = f"sqlite:///file:{tmp_path / 'study.db'}?uri=true&password={SECRET}"
    sweep = tmp_path / "sweep"
    options = ["-m", *dataset, *SHORT, "sweep=search", "sweep.trials=1", f"sweep.storage='{address}'"]
    options += [f"paths.run={sweep}", f"sweep.experiments={tmp_path}", "pruner=median"]
    result = command("train", *options)
    assert result.code == 0, result.err
    assert (tmp_path / "study.db").is_file()
    assert (sweep / "report.html").is_file()
    files = [path for path in sweep.rglob("*") if path.is_file()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert SECRET not in result.out + result.err
    assert yaml.safe_load((sweep / "sweep.yaml").read_text())["storage"] == INSTEAD
    assert command("train", *options, "sweep.trials=2").code == 0  # it goes on with what the user gives
    assert sorted(path.name for path in sweep.iterdir() if path.name.isdigit()) == ["0", "1"]
    assert running_trial(sweep / "1") is None  # it has ended
    del os.environ[STORAGE]
    with pytest.raises(UsageError, match=f"a password is kept in no file; set {STORAGE} to the address"):
        running_trial(sweep / "1")


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        (None, None),
        ("sqlite:///study.db", "sqlite:///study.db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://me:${oc.env:PW}@host/db", "postgresql://me:${oc.env:PW}@host/db"),
        (f"postgresql+psycopg://me:{SECRET}@host:5432/db", INSTEAD),
        (f"mysql://:{SECRET}@host/db", INSTEAD),
        (f"postgresql://host/db?user=me&password={SECRET}", INSTEAD),
    ],
)
def test_what_is_kept_of_an_address(address: str | None, kept: str | None) -> None:
    assert kept_address(address) == kept
    assert os.environ.get(STORAGE) == (address if kept == INSTEAD else None)
    if address:
        assert kept_overrides(["seed=1", f"++sweep.storage='{address}'"])[1] == (
            f"++sweep.storage={INSTEAD}" if kept == INSTEAD else f"++sweep.storage='{address}'"
        )
        assert SECRET not in without_password(f"can't open {address}: refused")
