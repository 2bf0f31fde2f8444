"""A value of a sample against the type that its column is stated to have."""

import math
from typing import Any

import numpy as np
import pyarrow as pa


def convert(value: Any, kind: pa.DataType, is_name: bool = False) -> Any:
    """Return a value as its column holds it: text, bytes, a number, a list of texts, or an array.

    Args:
        value: What a sample has there. A number may come as text, as it does from CSV.
        kind: The column's type. A list of a fixed size, maybe of such lists, takes an array of that shape.
        is_name: Whether texts are names of classes, which may come as numbers.

    Raises:
        ValueError: It is none; the message goes on behind the name of the column, as in "is empty".
    """
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        raise ValueError("is empty")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _text(value, is_name)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        if not isinstance(value, bytes):
            raise ValueError(f"{_brief(value)}, not bytes")
        return value
    if is_list(kind):
        return _list(value, kind, is_name)
    return _number(value, kind)


def canonical(value: Any, kind: pa.DataType) -> bytes:
    """Return bytes that are the same for equal values, which `convert` returned."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return b"\0".join(item.encode() for item in value)
    return np.ascontiguousarray(value, number_type(kind)).tobytes()


def to_arrow(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Return values that `convert` returned as a column."""
    if not pa.types.is_fixed_size_list(kind) or not values:
        return pa.array(values, kind)
    column = pa.array(np.stack(values).reshape(-1), innermost(kind))
    for size in reversed(shape_of(kind)):
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column.cast(kind)  # which gives the items the names that the schema has


def is_list(kind: pa.DataType) -> bool:
    """Whether a value is a list, of a fixed size or of any."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether a value is text, or a list of texts."""
    return bool(pa.types.is_string(innermost(kind)) or pa.types.is_large_string(innermost(kind)))


def innermost(kind: pa.DataType) -> pa.DataType:
    """Return the type of the items of a list, at last; of anything else the type itself."""
    return innermost(kind.value_type) if is_list(kind) else kind


def shape_of(kind: pa.DataType) -> tuple[int, ...]:
    """Return the shape of a list of a fixed size; of anything else ()."""
    return (kind.list_size, *shape_of(kind.value_type)) if pa.types.is_fixed_size_list(kind) else ()


def number_type(kind: pa.DataType) -> np.dtype[Any]:
    """Return NumPy's type for the numbers that a column holds."""
    found: np.dtype[Any] = np.dtype(innermost(kind).to_pandas_dtype())
    return found


def _text(value: Any, is_name: bool) -> str:
    if is_name and not isinstance(value, list | dict):
        value = str(value).strip()
    if not isinstance(value, str):
        raise ValueError(f"{_brief(value)}, not text")
    if not value or value.isspace():
        raise ValueError("is empty")
    return value


def _number(value: Any, kind: pa.DataType) -> int | float | bool:
    if not isinstance(value, str | int | float | bool | np.generic):
        raise ValueError(f"{_brief(value)}, not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    if pa.types.is_floating(kind):
        return number
    whole = int(value) if isinstance(value, int | np.integer) else int(number)
    limits = None if pa.types.is_boolean(kind) else np.iinfo(number_type(kind))
    low, high = (limits.min, limits.max) if limits else (0, 1)
    if whole != number or not low <= whole <= high:
        raise ValueError(f"{str(value)[:40]!r} is not a whole number from {low} to {high}")
    return bool(whole) if pa.types.is_boolean(kind) else whole


def _list(value: Any, kind: pa.DataType, is_name: bool) -> Any:
    if isinstance(value, str | bytes | dict) or not hasattr(value, "__len__"):
        raise ValueError(f"{_brief(value)}, not a list")
    if not len(value):
        raise ValueError("is empty")
    if is_text(kind):
        return [_text(item, is_name) for item in value]
    wanted = number_type(kind)
    try:
        array = np.asarray(value)
        is_number = array.dtype.kind in "biuf"
        fits = is_number and (wanted.kind == "f" or np.array_equal(array.astype(wanted), array))
    except (ValueError, TypeError, OverflowError):
        fits = False
    if not fits:
        raise ValueError(f"{_brief(value)}, not of numbers that are {wanted}")
    shape = shape_of(kind)
    if array.shape != shape if shape else array.ndim != 1:
        raise ValueError(f"is of shape {array.shape}, not {shape or '(any length,)'}")
    return np.ascontiguousarray(array, wanted)


def _brief(value: Any) -> str:
    return f"{value!s:.40} is of type {type(value).__name__}".replace("\n", " ")
