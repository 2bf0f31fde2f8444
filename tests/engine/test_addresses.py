"""A password in an address is in no file of a run and in nothing that a logger sends; it is used all the same."""

import base64
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commands import Command
from kindling.addresses import hidden, hidden_options, hide, holds_password, reveal, without_password
from kindling.data.download import download
from kindling.errors import UsageError
from kindling.exits import ADDRESSES
from kindling.project import trust
from omegaconf import OmegaConf
from pytorch_lightning import Callback

SECRET = "s3cret-Word"
TOKEN = "t0ken-0f-mine"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESSES, "")


@pytest.fixture
def server(reviews: Path) -> Iterator[str]:
    """A server that gives the reviews to whoever has user, password and token; without a scheme."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
            allowed = self.headers["Authorization"] == wanted and self.path == f"/reviews.csv?token={TOKEN}"
            content = reviews.read_bytes() if allowed else b""
            self.send_response(200 if allowed else 403)
            self.send_header("Content-Length", str(len(content) + 10 * ("cut" in self.path)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_no_file_and_no_logger_gets_the_password(command: Command, server: str, tmp_path: Path, monkeypatch) -> None:
    trust("test_addresses")
    data = ["data=csv", f"data.path={tmp_path / 'raw.csv'}", "data.text=review", "data.label=stars"]
    data += [f"data.url='http://me:{SECRET}@{server}/reviews.csv?token={TOKEN}'", "data.vocab_size=400"]
    made = command("make_dataset", *data)
    assert made.code == 0 and (tmp_path / "raw.csv").is_file(), made.err
    short = ["model=bow", "debug=fast", "logger=[csv,tensorboard,wandb]", "callbacks=[record,checkpoint]"]
    short += ["+callbacks.a={_target_:test_addresses.Reader,url:'https://me:" + SECRET + "@host/a'}"]
    run = tmp_path / "runs/a"
    trained = command("train", *data, *short, f"paths.run={run}")
    assert trained.code == 0, trained.err
    assert Reader.read == f"https://me:{SECRET}@host/a"
    monkeypatch.setenv(ADDRESSES, "")  # in another shell
    resumed = command("train", f"resume={run}", "trainer.max_epochs=2")
    assert resumed.code == 0, resumed.err
    files = [path for folder in (run, tmp_path / "data", tmp_path / "runs") for path in folder.rglob("*")]
    for path in (path for path in files if path.is_file()):
        content = path.read_bytes()
        assert SECRET.encode() not in content and TOKEN.encode() not in content, path
    for ended in (made, trained, resumed):
        assert SECRET not in ended.out + ended.err and TOKEN not in ended.out + ended.err
    assert f"http://me:***@{server}/reviews.csv?token=***" in (run / "config.yaml").read_text()


class Reader(Callback):
    """A callback that needs an address with its password."""

    read = ""

    def __init__(self, url: str) -> None:
        Reader.read = url


def test_a_password_in_a_config_or_from_the_environment_is_in_no_file_either(monkeypatch) -> None:
    config = OmegaConf.create({"a": {"url": f"https://me:{SECRET}@host/a"}, "b": ["${a.url}"], "c": "???"})
    hide(config)
    assert config.b[0] == "https://me:***@host/a" and OmegaConf.is_missing(config, "c")
    reveal(config)
    assert config.b[0] == f"https://me:{SECRET}@host/a"
    monkeypatch.setenv("PW", SECRET)
    config = OmegaConf.create({"url": "https://me:${oc.env:PW}@host/a"})
    hide(config)
    assert "oc.env" in OmegaConf.to_yaml(config)
    assert hidden(OmegaConf.to_container(config, resolve=True)) == {"url": "https://me:***@host/a"}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"https://me:{SECRET}@host:80/a.csv", "https://me:***@host:80/a.csv"),
        (f"https://{TOKEN}@host/a.csv", "https://***@host/a.csv"),
        (f"ftp://me:{SECRET}@host/a", "ftp://me:***@host/a"),
        (f"https://host/a?x=1&access_token={TOKEN}&y=2", "https://host/a?x=1&access_token=***&y=2"),
        (f"https://b.s3/a?X-Amz-Credential={TOKEN}&X-Amz-Signature={SECRET}", None),
        (f"https://b.blob/a?sv=2024&sig={TOKEN}", "https://b.blob/a?sv=2024&sig=***"),
        ("https://host/a@b.csv", "https://host/a@b.csv"),
        ("https://host/a.csv?page=2", "https://host/a.csv?page=2"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("a.csv?token=x", "a.csv?token=x"),
    ],
)
def test_what_is_shown_of_an_address(address: str, shown: str | None) -> None:
    found = hidden(address)
    assert SECRET not in found and TOKEN not in found and (shown is None or found == shown)
    assert holds_password(address) == (found != address)
    config = OmegaConf.create({"a": found})
    reveal(config)
    assert config.a == address
    (line,) = hidden_options([f"data.url='{address}'"])
    assert line == f"data.url='{found}'"


def test_two_passwords_for_the_same_are_both_known() -> None:
    first, second = (hidden(f"https://me:{word}@host") for word in ("a1", "b2"))
    config = OmegaConf.create([first, second])
    reveal(config)
    assert list(config) == ["https://me:a1@host", "https://me:b2@host"] and first != second
    lines = hidden_options(["a='https://me:a1@host','https://me:b2@host'", "sweep.storage=db://me:a1@h", "-m"])
    assert "a1" not in lines[0] and "b2" not in lines[0] and lines[1:] == ["sweep.storage=db://me:a1@h", "-m"]


def test_messages_of_a_download_hold_no_password(server: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="403") as caught:
        download(f"http://me:{SECRET}@{server}/other.csv?token={TOKEN}", tmp_path / "a.csv")
    assert SECRET not in str(caught.value) and TOKEN not in str(caught.value)
    good = f"http://me:{SECRET}@{server}/reviews.csv?token={TOKEN}"
    with pytest.raises(UsageError, match=r"is another file than data\.sha256=00000000 says"):
        download(good, tmp_path / "a.csv", "00000000")
    assert list(tmp_path.iterdir()) == []
    download(good, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").stat().st_size > 1000
    assert SECRET not in without_password(f"can't open {good}: refused")


def test_a_process_knows_the_passwords_of_the_one_that_started_it() -> None:
    text = hidden(f"https://me:{SECRET}@host")
    assert SECRET in os.environ[ADDRESSES] and SECRET not in text
