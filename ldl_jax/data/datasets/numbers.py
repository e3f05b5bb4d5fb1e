"""Reads numbers and ranges in texts, by one strict rule for all files that people write."""

import math
import re
from typing import NamedTuple

_DIGITS = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_NUMBER = re.compile(rf"[+-]?{_DIGITS}(?:[eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_RANGE = re.compile(rf"({_DIGITS})\s*[-_–,]\s*({_DIGITS})")
_OPEN = re.compile(rf"({_DIGITS})\s*\+")
_OPEN_ENDS = (100.0, 130.0)  # years; "60+" ends where Adience's last group does


class Bounds(NamedTuple):
    """Holds the least and the greatest value of a group, both inclusive."""

    low: float
    high: float


def number(text: str) -> float:
    """Returns a finite number in decimal notation, as 30, -0.5 or 3.5e1.

    Python's own `float` also takes "4_6" (as 46), "nan", "inf" and digits of all scripts.

    Raises:
      ValueError: the text is anything else; the message says what it looks like.
    """
    stripped = text.strip(" \t")
    if _NUMBER.fullmatch(stripped) and math.isfinite(result := float(stripped)):
        return result
    hint = ""
    if _COMMA.fullmatch(stripped):
        hint = f", with a decimal comma; write {stripped.replace(',', '.')}"
    elif group(text) is not None:
        hint = ", a range"
    raise ValueError(f"must be a finite number, got {text!r}{hint}")


def whole_number(text: str) -> int:
    """Returns a whole number in decimal digits; raises ValueError for anything else."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip(" \t")) is None:
        raise ValueError(f"must be a whole number, got {text!r}")
    return int(text)


def value(item: object) -> float:
    """Returns a number of JSON, or a text of one, as a float; NaN stays NaN.

    Raises:
      ValueError: it is another thing, as true, or an infinity.
    """
    if isinstance(item, str):
        return number(item)
    if isinstance(item, bool) or not isinstance(item, int | float):
        raise ValueError(f"expected a number, got {item!r}"[:120])
    try:
        result = float(item)
    except OverflowError:
        result = math.inf
    if math.isinf(result):
        raise ValueError("expected a finite number, got one too large")
    return result


def group(text: str) -> Bounds | None:
    """Returns the group of values that a text names, as (4, 6), 4-6, 4_6 or 60+; None if none.

    A group without an end ends at 100, or where it starts there, at 130 (years). A low bound above
    the high one is no group.

    Examples:
      >>> group("(4, 6)"), group("60+")
      (Bounds(low=4.0, high=6.0), Bounds(low=60.0, high=100.0))
    """
    stripped = text.strip()
    if stripped[:1] + stripped[-1:] in ("()", "[]"):
        stripped = stripped[1:-1].strip()
    if match := _OPEN.fullmatch(stripped):
        low = float(match[1])
        high = next((end for end in _OPEN_ENDS if low < end), low)
        return Bounds(low, high)
    if (match := _RANGE.fullmatch(stripped)) is None:
        return None
    low, high = float(match[1]), float(match[2])
    return Bounds(low, high) if low <= high else None
