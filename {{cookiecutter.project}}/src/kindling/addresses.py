"""Addresses with passwords: what is used to reach something, and is to stand in no file."""

import json
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, read_write

from .exits import ADDRESSES
from .overrides import is_override, option_name, value_of

# scheme://user:password@host, https://token@host, and ?password= or another word for a key
WORDS = """password passwd pwd token access_token auth_token private_token api_key apikey api-key key secret
    client_secret auth authorization sig signature x-amz-signature x-amz-credential x-amz-security-token
    x-goog-signature x-goog-credential awsaccesskeyid"""
PASSWORD = re.compile(
    rf"(?<=://)([^:/?#@\s]*):[^@/\s]+@|(?<=http://)[^:/?#@\s]+@|(?<=https://)[^:/?#@\s]+@"
    rf"|([?&;](?:{'|'.join(WORDS.split())}))=[^&\s'\"]+",
    re.IGNORECASE,
)
ADDRESS = re.compile(r"[a-z][\w+.-]*://[^\s'\",\[\]{}]+", re.IGNORECASE)  # in what nothing has parsed
APART = ("sweep.storage",)  # which has a variable of its own


def without_password(text: str) -> str:
    """Return a text with stars for the passwords of the addresses in it."""
    return PASSWORD.sub(lambda match: _starred(match, "***"), text)


def holds_password(address: str) -> bool:
    """Whether a password stands there itself, and not from where it is taken."""
    return "://" in address and any(
        "${" not in match[0] and "***" not in match[0] for match in PASSWORD.finditer(address)
    )


def hidden_options(arguments: Sequence[str]) -> list[str]:
    """Return a command line with stars for the passwords in it, which `reveal` makes what they were."""
    return [
        _hidden_option(line) if is_override(line) and option_name(line) not in APART else line for line in arguments
    ]


def hidden(node: Any) -> Any:
    """Return plain containers and texts with stars for the passwords in them; `reveal` makes them what they were."""
    if isinstance(node, dict):
        return {name: hidden(value) for name, value in node.items()}
    if isinstance(node, list):
        return [hidden(value) for value in node]
    return _hidden_text(node) if isinstance(node, str) else node


def hide(config: DictConfig | ListConfig) -> None:
    """Put stars in the place of the passwords in a configuration, whose interpolations stay."""
    _change(config, _hidden_text)


def reveal(config: DictConfig | ListConfig) -> None:
    """Give a configuration its passwords, as this process or the one that started it knows them."""
    _change(config, revealed)


def revealed(address: str) -> str:
    """Return the address that was meant by one with stars."""
    return _known().get(address, address)


def _hidden_option(line: str) -> str:
    name, _, text = line.partition("=")
    if option_name(line) in APART or not holds_password(text):
        return line
    try:
        value = value_of(line)
    except HydraException:  # which says what is wrong with it
        return line
    texts = list(_texts(value)) or ADDRESS.findall(text)  # none in the several values of a sweep
    for address in sorted(filter(holds_password, texts), key=len, reverse=True):
        text = text.replace(address, _hidden_text(address))
    return f"{name}={text}"


def _hidden_text(text: str) -> str:
    """Return an address with stars, and remember in the environment, which all processes share, what it was."""
    if not holds_password(text):
        return text
    known, stars = _known(), "***"
    while known.setdefault(starred := _with_stars(text, stars), text) != text:
        stars += "*"  # another password for the same
    os.environ[ADDRESSES] = json.dumps(known)
    return starred


def _with_stars(text: str, stars: str) -> str:
    """Put stars in the place of each password that stands there itself."""
    return PASSWORD.sub(lambda match: match[0] if "${" in match[0] else _starred(match, stars), text)


def _starred(match: re.Match[str], stars: str) -> str:
    return f"{match[2]}={stars}" if match[2] else f"{match[1]}:{stars}@" if match[1] is not None else f"{stars}@"


def _known() -> dict[str, str]:
    found: dict[str, str] = json.loads(os.environ.get(ADDRESSES) or "{}")
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [str(value)] if isinstance(value, str) else []


def _change(config: DictConfig | ListConfig, change: Callable[[str], str]) -> None:
    """Change the texts in a configuration as they are written there."""
    with read_write(config):
        for key in list(config) if isinstance(config, DictConfig) else range(len(config)):
            node: Any = config._get_node(key)
            if isinstance(node, DictConfig | ListConfig):
                if not (node._is_none() or node._is_missing() or node._is_interpolation()):
                    _change(node, change)
            elif isinstance(text := node._value(), str) and (other := change(text)) != text:
                node._set_value(other)
