"""requirements.lock: the versions of requirements.txt with hashes, in a form that uv and pip take on any machine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TEMPLATE, run

LOCK = TEMPLATE / "requirements.lock"
SMALL = ("filelock", "packaging", "mdurl")


def entries() -> dict[str, str]:
    """Return the text of each entry, by the name, the version and the marker that it begins with."""
    parts = re.split(r"(?m)^(?=\w)", LOCK.read_text(encoding="utf-8"))
    return {part.partition(" \\\n")[0]: part for part in parts if part}


def test_it_has_the_versions_of_requirements_and_the_hashes_of_their_files() -> None:
    pins = set((TEMPLATE / "requirements.txt").read_text(encoding="utf-8").splitlines())
    assert pins <= entries().keys()
    more = entries().keys() - pins
    assert [pin for pin in more if not re.match("(cuda|nvidia|triton)", pin)] == []
    assert [pin for pin, text in entries().items() if not re.search(r"--hash=sha256:[0-9a-f]{64}", text)] == []


def test_it_names_no_address_and_no_path() -> None:
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    pin = r"[\w.-]+==[\w.+!]+( ; [^\\]+)? \\"
    assert [line for line in lines if not re.fullmatch(rf"{pin}|    --hash=sha256:\w{{64}}( \\)?", line)] == []


@pytest.mark.slow
@pytest.mark.parametrize("installer", ["pip", "uv pip"])
def test_files_that_fit_are_installed_and_others_refused(installer: str, tmp_path: Path) -> None:
    few = "".join(text for pin, text in entries().items() if pin.startswith(SMALL))
    (tmp_path / "few.lock").write_text(few, encoding="utf-8")
    (tmp_path / "other.lock").write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", few), encoding="utf-8")
    command = [sys.executable, "-m", *installer.split(), "install", "-q", "--no-deps", "--require-hashes"]
    run(*command, "--target", tmp_path / "fits", "-r", tmp_path / "few.lock", cwd=tmp_path)
    assert (tmp_path / "fits/filelock").is_dir()
    refused = [*command, "--target", str(tmp_path / "no"), "-r", str(tmp_path / "other.lock")]
    done = subprocess.run(refused, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and "hash" in done.stderr.lower()
