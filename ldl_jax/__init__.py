"""Label distribution learning for ages and other ordered labels of a face, in JAX."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldl_jax.predict.loading import load
    from ldl_jax.predict.predictor import Predictor

_MODULES = {"Predictor": "ldl_jax.predict.predictor", "load": "ldl_jax.predict.loading"}
__all__ = ["Predictor", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Late, so that `import ldl_jax.losses` costs no Flax, Orbax or Pillow.
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'ldl_jax' has no attribute {name!r}")
