"""Packages that only some uses need: they are extras, imported when such a use comes."""

import importlib
import importlib.util
from types import ModuleType


def needed(name: str, use: str, extra: str = "export") -> ModuleType:
    """Imports a package of an extra.

    Args:
      name: the module.
      use: what needs it, for the message.
      extra: the extra of this package that brings it.

    Raises:
      ValueError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(_message(name, use, extra, f" ({error})")) from None


def missing(name: str, use: str, extra: str) -> str:
    """Says what a use needs and what installs it; "" where the package is installed.

    The package is not imported, as where another process is to do that.
    """
    try:
        spec = importlib.util.find_spec(name)
    except ImportError:
        spec = None
    return "" if spec is not None else _message(name, use, extra)


def check(name: str, use: str, extra: str) -> None:
    """Raises ValueError where a package is not installed, with the message of `missing`."""
    if message := missing(name, use, extra):
        raise ValueError(message)


def _message(name: str, use: str, extra: str, reason: str = "") -> str:
    package = name.partition(".")[0]
    install = f"pip install 'ldl_jax[{extra}]'"
    return f"{use} needs {package}, which is not installed{reason}: {install}"
