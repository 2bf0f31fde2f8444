"""The formats that pictures are drawn in."""

from pathlib import Path
from typing import Any

from .errors import UsageError

FORMATS = ("png", "svg", "pdf")


def check_format(name: Any, option: str) -> str:
    """Return the name of a format.

    Args:
        name: What may be one.
        option: Where it was given, for the message.

    Raises:
        UsageError: There is no such format.
    """
    if name not in FORMATS:
        raise UsageError(f"{option}={name}: choose from {', '.join(FORMATS)}")
    return str(name)


def as_picture(name: str, link: str) -> str:
    """Return Markdown that shows the picture at `link`, or leads to it where a page can't show its format."""
    return f"[{Path(link).name}]({link})" if link.endswith(".pdf") else f"![{name}]({link})"
