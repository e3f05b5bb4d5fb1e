"""Imports Flax's NNX, also where Optax is not installed: a model that only answers needs none.

NNX imports Optax for its optimizers, which nothing here uses, and needs its names in annotations
alone. So for the time of the import a module without content stands in for an Optax that is
missing; afterwards it is missing as before. `ldl_jax.models` imports this module before the others.
"""

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator


class _Annotations(types.ModuleType):
    """Has every name, as something that only an annotation can use."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # something forbids the import
        return False


@contextlib.contextmanager
def _without_optax() -> Iterator[None]:
    if _is_there("optax"):
        yield
        return
    before = {name: module for name, module in sys.modules.items() if name == "optax"}
    sys.modules["optax"] = _Annotations("optax")
    try:
        yield
    finally:
        del sys.modules["optax"]
        sys.modules.update(before)


with _without_optax():
    from flax import nnx  # noqa: F401  (the import is what it is for)
