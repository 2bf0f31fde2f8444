"""Files that are not there yet."""

import http.client
import logging
import re
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlparse

import torch

from ..errors import UsageError

log = logging.getLogger(__name__)

SCHEMES = ("https", "http", "ftp", "file")
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
        url: https, http, ftp or file.
        path: Its folder is made.
        sha256: The first digits of the SHA-256 that it has to have.

    Raises:
        UsageError: It can't be had, or is another file.
    """
    try:
        known = urlparse(str(url)).scheme in SCHEMES
    except ValueError:  # http://[
        known = False
    if not known:
        raise UsageError(f"data.url={url}: no address of a file; expected one that begins with {', '.join(SCHEMES)}")
    had_folder = path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("Downloading %s", url)
    try:
        torch.hub.download_url_to_file(url, str(path), sha256, progress=sys.stderr.isatty())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UsageError(f"data.url={url}: {error}; put the file at {path} yourself, or mend the address") from None
    except RuntimeError as error:  # torch's words for another hash
        raise UsageError(f"data.url={url}: {error}; it is another file than data.sha256 says") from None
    finally:
        if not had_folder:
            with suppress(OSError):  # a download that failed leaves no empty folder
                path.parent.rmdir()
