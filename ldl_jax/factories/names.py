"""Tells and imports what a user brings along by the name of its factory."""

import importlib
import re
import sys
from collections.abc import Callable
from typing import Any

_PYTHON = re.compile(r"(site|dist)-packages|lib/python|\.zip$")  # where no user has own modules


def is_own(name: str) -> bool:
    """Returns whether a name is that of a user's own factory, "package.module:factory".

    Examples:
      >>> is_own("my_loss:factory"), is_own("cen")
      (True, False)
    """
    return ":" in name


def imported(key: str, name: str, expected: str) -> Callable[..., Any]:
    """Returns the factory of the name "package.module:factory".

    Importing a module runs it: the name must come from who runs the program, or be trusted.

    Args:
      key: the config's key or the flag that has the name, for messages.
      name: the name.
      expected: how the factory is called, for messages.

    Raises:
      ValueError: the module cannot be imported, or has no such callable; the message says where it
        was looked for.
    """
    module, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a user's file is a program, and may raise anything
        looked = ""
        if isinstance(error, ModuleNotFoundError) and error.name in (module, module.split(".")[0]):
            folders = dict.fromkeys(path or "." for path in sys.path if not _PYTHON.search(path))
            looked = f"; looked for it in {', '.join(folders)}; PYTHONPATH adds a folder"
        raise ValueError(
            f"{key}: cannot import {name!r}: {type(error).__name__}: {error}{looked}"
        ) from error
    if not callable(factory):
        raise ValueError(f"{key}: {name!r} is not callable, expected {expected}")
    return factory
