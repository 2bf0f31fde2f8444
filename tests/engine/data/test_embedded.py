"""What needs no step of its own, and what happens where the network or the disk ends."""

import errno
import resource
import socket
from collections.abc import Iterator

import numpy as np
import pytest
from huggingface_hub import constants
from kindling import startup
from kindling.data.columns import write_numbers
from kindling.data.tokenizer import TextTokenizer, read_tokens, write_tokens
from kindling.training import preflight
from my_project.data.docstrings import Docstrings


class Few(Docstrings):
    """The first docstrings."""

    def samples(self) -> Iterator[tuple[str, dict]]:
        for number in range(120):
            yield f"{number}", {"text": f"word {number} of {number % 2}", "label": "ab"[number % 2]}


def test_training_makes_the_embedded_dataset(command, tmp_path) -> None:
    embedded = ["data._target_=test_embedded.Few", "data.vocab_size=300"]
    run = ["model=bow", "debug=fast", "logger=[]", "callbacks=[checkpoint]"]
    result = command("train", *embedded, *run, f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert len([line for line in result.err.splitlines() if "Making" in line]) == 1
    assert (tmp_path / "data" / "docstrings" / "dataset.json").exists()
    result = command("train", *embedded, *run)
    assert "Making" not in result.err


@pytest.fixture
def file_limit() -> Iterator[int]:
    """Files of this process can't be longer, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield 4096
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_while_numbers_are_written_is_said_as_such(tmp_path, file_limit) -> None:
    tokenizer = TextTokenizer.train([["some words"]], 300, 100)
    with pytest.raises(OSError) as error:
        write_tokens(tmp_path, tokenizer, [["some words " * 20] * 200], 200)
    assert error.value.errno == errno.EFBIG
    with pytest.raises(OSError) as error, open(tmp_path / "values", "wb") as file:
        write_numbers(file, np.arange(10_000))
    assert error.value.errno == errno.EFBIG


def test_tokens_are_read_as_they_were_written(tmp_path) -> None:
    tokenizer = TextTokenizer.train([["some words"]], 300, 100)
    write_tokens(tmp_path, tokenizer, [["some", "words"], ["some words"]], 3)
    tokens, offsets = read_tokens(tmp_path)
    assert offsets.tolist() == [0, *np.cumsum([len(cut) for cut in tokenizer(["some", "words", "some words"])])]
    assert tokens.tolist() == np.concatenate(tokenizer(["some", "words", "some words"])).tolist()


def test_without_a_network_the_hub_is_asked_for_nothing(monkeypatch, caplog, tmp_path) -> None:
    asked: list[tuple[str, int]] = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        asked.append(address)
        raise TimeoutError

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr(startup, "getproxies", dict)
    monkeypatch.setattr(socket, "create_connection", refuse)
    startup.reach_hub(str(tmp_path))
    assert not asked
    startup.reach_hub("stanfordnlp/imdb")
    startup.reach_hub("stanfordnlp/imdb")
    assert asked == [("hub.invalid", 443)]
    assert constants.HF_HUB_OFFLINE
    assert [line for line in caplog.messages if line.startswith("hub.invalid can't be reached")]


def test_a_proxy_is_asked_by_the_libraries_themselves(monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(startup, "getproxies", lambda: {"https": "http://proxy"})
    monkeypatch.setattr(socket, "create_connection", None)
    startup.reach_hub("stanfordnlp/imdb")
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(["1", "2", "5"], "use data.labels=numbers"), (["good", "bad"], "use task=classification")],
)
def test_classes_that_are_numbers_are_told_apart(classes: list[str], expected: str) -> None:
    assert preflight._remedy(classes).startswith(expected)
