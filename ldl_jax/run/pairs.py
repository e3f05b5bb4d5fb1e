"""Reads flags of the form NAME=VALUE, for the options of what a user brings along."""

import json
from collections.abc import Sequence


def pairs(flag: str, texts: Sequence[str]) -> dict[str, object]:
    """Returns the values by name: numbers, true and false are read as such, all else is text.

    Raises:
      ValueError: a text has another form; the message names the flag.

    Examples:
      >>> pairs("option", ["least=0.5", "kind=soft"])
      {'least': 0.5, 'kind': 'soft'}
    """
    return dict(_pair(flag, text) for text in texts)


def _pair(flag: str, text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"--{flag}: expected NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value)  # a number, true or false
    except ValueError:
        return name, value
