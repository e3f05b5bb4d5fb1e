"""Packages that only some uses need, imported when such a use comes."""

import importlib
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
        raise ValueError(
            f"{use} needs {name.partition('.')[0]}, which is not installed ({error}): "
            f"pip install 'ldl_jax[{extra}]'"
        ) from None
