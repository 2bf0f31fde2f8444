"""dvc.yaml and params.yaml name files, keys and options that exist."""

import re
import shlex

import pytest
import yaml
from choices import ROOT

from kindling.cli.check import check_arguments

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def filled(text: str) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: str(PARAMS[match[1]]), text)


def listed(*kinds: str) -> list:
    return [entry for stage in PIPELINE["stages"].values() for kind in kinds for entry in stage.get(kind, [])]


def commands() -> list[str]:
    found = [stage["cmd"] for stage in PIPELINE["stages"].values()]
    lines = [filled(line) for lines in found for line in (lines if isinstance(lines, list) else [lines])]
    return [line for line in lines if re.match(r"python \w+\.py", line)]


def test_every_file_that_a_stage_depends_on_exists_or_comes_from_another() -> None:
    outs = {filled(next(iter(out)) if isinstance(out, dict) else out) for out in listed("outs", "metrics")}
    for dep in {filled(dep) for dep in listed("deps")} - outs:
        assert (ROOT / dep).exists() or (ROOT / f"{dep}.dvc").exists(), dep


def test_every_key_that_a_stage_watches_exists() -> None:
    for entry in listed("params"):
        for file, keys in entry.items():
            config = yaml.safe_load((ROOT / filled(file)).read_text(encoding="utf-8"))
            assert [key for key in keys or [] if key not in config] == [], file


def test_every_parameter_is_used() -> None:
    assert PARAMS.keys() <= set(re.findall(r"\$\{(\w+)\}", (ROOT / "dvc.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("line", commands())
def test_every_command_takes_its_options(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    check_arguments(ROOT / name, arguments)
