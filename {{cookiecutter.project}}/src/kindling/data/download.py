"""Files that are not there yet."""

import hashlib
import http.client
import logging
import re
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPPasswordMgrWithPriorAuth,
    OpenerDirector,
    Request,
    build_opener,
)

from tqdm import tqdm

from ..addresses import revealed, without_password
from ..errors import UsageError
from ..files import new_file

log = logging.getLogger(__name__)

SCHEMES = ("https", "http", "ftp", "file")
BLOCK = 1 << 20  # bytes that are read at once
DIGEST = re.compile(r"[0-9a-f]{8,64}")


def check_digest(sha256: object) -> str | None:
    """Return what `data.sha256` says in lower case; None if it says nothing.

    Raises:
        UsageError: It is no SHA-256, nor the first eight digits of one or more.
    """
    if sha256 is None:
        return None
    digest = str(sha256).lower()
    if not isinstance(sha256, str | int) or not DIGEST.fullmatch(digest):
        raise UsageError(
            f"data.sha256={sha256}: expected the 64 hexadecimal digits that sha256sum prints, or the first 8 or more; "
            "in quotes if they are all decimal"
        )
    return digest


def download(url: str, path: Path, sha256: str | None = None) -> None:
    """Write what `url` gives to `path`, whole or not at all.

    Args:
        url: https, http, ftp or file. A user and a password in it are sent as a header, and stand in no message.
        path: Its folder is made.
        sha256: The first digits of the SHA-256 that it has to have.

    Raises:
        UsageError: It can't be had, or is another file.
    """
    url = revealed(str(url))
    shown = f"data.url={without_password(url)}"
    try:
        parts = urlsplit(url)
        known = parts.scheme in SCHEMES and parts.port != 0
    except ValueError:  # http://[
        known = False
    if not known:
        raise UsageError(f"{shown}: no address of a file; expected one that begins with {', '.join(SCHEMES)}")
    had_folder = path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("Downloading %s", without_password(url))
    try:
        with new_file(path) as new:
            found = _fetch(url, new)
            if not found.startswith(sha256 or ""):
                raise UsageError(f"{shown}: its SHA-256 is {found}; it is another file than data.sha256={sha256} says")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = without_password(str(error))
        raise UsageError(f"{shown}: {reason}; put the file at {path} yourself, or mend the address") from None
    finally:
        if not had_folder:
            with suppress(OSError):  # a download that failed leaves no empty folder
                path.parent.rmdir()


def _fetch(url: str, path: Path) -> str:
    """Write what an address gives to a file, and return its SHA-256."""
    opener, url = _opener(url)
    digest, done = hashlib.sha256(), 0
    with opener.open(Request(url, headers={"User-Agent": "kindling"})) as response, path.open("wb") as file:
        size = int(response.headers.get("Content-Length") or 0)
        with tqdm(total=size or None, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
            while block := response.read(BLOCK):
                file.write(block)
                digest.update(block)
                bar.update(len(block))
                done += len(block)
    if done < size:
        raise OSError(f"the connection ended after {done} of {size} bytes")
    return digest.hexdigest()


def _opener(url: str) -> tuple[OpenerDirector, str]:
    """Return what opens an address, and the address without the password, which goes into a header of its own."""
    parts = urlsplit(url)
    if parts.username is None or parts.scheme not in ("http", "https"):
        return build_opener(), url
    address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    passwords = HTTPPasswordMgrWithPriorAuth()
    user, password = unquote(parts.username), unquote(parts.password or "")
    passwords.add_password(None, address, user, password, is_authenticated=True)
    return build_opener(HTTPBasicAuthHandler(passwords)), address
