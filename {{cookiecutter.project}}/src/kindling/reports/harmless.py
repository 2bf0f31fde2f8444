"""A training that has ended is worth more than its pictures: what goes wrong with them does not end it."""

import functools
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import UsageError
from ..exits import STRICT

log = logging.getLogger(__name__)

Hook = TypeVar("Hook", bound=Callable[..., None])


def without_harm(hook: Hook) -> Hook:
    """Let a hook of the report fail without ending the run.

    A full disk, a folder that can't be written to, a font or a checkpoint that can't be read are one line. Anything
    else is a fault of the program: it is logged with its traceback, and raised where `KINDLING_STRICT` is set, as it is
    in tests.
    """

    @functools.wraps(hook)
    def call(*args: Any) -> None:
        try:
            hook(*args)
        except (OSError, UsageError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            log.warning("No report: %s", " ".join(f"{reason} {getattr(error, 'filename', None) or ''}".split()))
        except Exception as error:
            if STRICT in os.environ:
                raise
            log.exception("No report, by a fault of it: %s", type(error).__name__)

    return call  # type: ignore[return-value]
