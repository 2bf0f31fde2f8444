"""A mistake of the user, as opposed to a fault of the program, and how messages name things."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

# Control characters, and those that reverse the direction of a text.
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class UsageError(Exception):
    """A wrong option, file or value. Commands print its message, one line, and no traceback."""


class Interrupted(BaseException):
    """A signal ended training after a whole step.

    Args:
        signal: Number of the signal.
        checkpoint: Where training goes on from.
    """

    def __init__(self, signal: int, checkpoint: str) -> None:
        super().__init__(f"signal {signal}; {checkpoint}")
        self.signal = signal
        self.checkpoint = checkpoint


class Pruned(BaseException):
    """A trial of a sweep was ended early, as others had got further by then."""


class ProcessFailed(Exception):
    """One of several processes failed.

    Args:
        line: Which, and how.
        text: Its traceback; none if it died.
        signal: Number of the signal that killed it, if one did.
    """

    def __init__(self, line: str, text: str = "", signal: int = 0) -> None:
        super().__init__(line)
        self.text = text
        self.signal = signal


def did_you_mean(name: str, choices: Iterable[str], most: int = 12) -> str:
    """Return "; did you mean X?" for the choice most like `name`, else at most so many choices, else nothing."""
    choices = sorted(set(choices))
    if close := get_close_matches(name, choices, n=1):
        return f"; did you mean {close[0]}?"
    return f"; choose from {', '.join(choices)}" if 0 < len(choices) <= most else ""


def short(path: str | Path) -> str:
    """Return the path relative to the current folder if it lies there."""
    path = Path(path).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def visible(text: str) -> str:
    r"""Return a text whose control characters, which would steer a terminal, are written out, such as \x1b."""
    return UNSEEN.sub(lambda match: repr(match[0])[1:-1], text)
