"""How numbers are printed, for a person to read. Files keep them in full.

A metric has four decimals, a setting four digits, a time the unit that fits.
"""

import json
import math
import re
from typing import Any

SMALL, LARGE = 1e-3, 1e4  # a metric outside of them has three digits instead
SMALL_IN_NAME, LARGE_IN_NAME = 1e-2, 1e6  # outside of them a name has an exponent


def metric(value: float | None, scale: float | None = None) -> str:
    """Return a metric with four decimals, or with three digits where they say more; "-" if there is none.

    Args:
        value: The metric.
        scale: The number that it stands beside and shares its digits with, such as the mean beside a deviation.
    """
    if value is None or math.isnan(value):
        return "-" if value is None else "nan"
    if scale is None and float(value).is_integer() and abs(value) >= LARGE:  # parameters, say
        return count(value)
    size = abs(value if scale is None else scale)
    return f"{value:.4f}" if size == 0 or SMALL <= size < LARGE else f"{value:.3g}"


def setting(value: Any) -> str:
    """Return the value of an option with four digits, as the command line takes it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def count(value: float) -> str:
    """Return a whole number with commas: 1,234,567."""
    return f"{value:,.0f}"


def counted(number: int, noun: str) -> str:
    """Return a number of things: "1 worker", "2 workers"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def probability(value: float) -> str:
    """Return a p-value with four decimals; "-" if there is none."""
    return "-" if math.isnan(value) else "<0.0001" if value < 1e-4 else f"{value:.4f}"


def duration(seconds: float) -> str:
    """Return a time in the unit that fits: "4.2 s", "12 min" or "3.1 h"; "-" if it is not known."""
    if math.isnan(seconds):
        return "-"
    for unit, name in [(60, "s"), (60, "min"), (24, "h")]:
        if seconds < unit:
            return f"{seconds:.{1 if seconds < 10 else 0}f} {name}"
        seconds /= unit
    return f"{seconds:.1f} days"


def in_name(value: float) -> str:
    """Return a number in as few characters as a name has room for: 2e-4, .975, 1000."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if SMALL_IN_NAME <= abs(value) < LARGE_IN_NAME:
        return re.sub(r"^(-?)0\.", r"\1.", f"{value:.4g}" if abs(value) < 1000 else f"{value:.6g}")
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
