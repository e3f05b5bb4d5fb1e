"""Networks: images to features, as pure functions. `build(name, **options)` makes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ldl_jax.models import resnet
from ldl_jax.models.functional import Model

__all__ = ["MODELS", "Model", "build"]

MODELS: dict[str, Callable[..., Model]] = {
    "resnet10": resnet.resnet10,
    "resnet18": resnet.resnet18,
    "resnet10_tiny": resnet.resnet10_tiny,
    "resnet18_tiny": resnet.resnet18_tiny,
}
DTYPES = ("float32", "bfloat16")


def build(name: str, **options: Any) -> Model:
    """The network of that name; `dtype` is what it computes in, parameters stay float32.

    Raises:
      ValueError: the name or the dtype is unknown; the message lists the known ones.
    """
    if name not in MODELS:
        raise ValueError(f"model.name: unknown network {name!r}; known: {', '.join(MODELS)}")
    dtype = options.get("dtype", "float32")
    if dtype not in DTYPES:
        raise ValueError(f"model.dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    return MODELS[name](**options)
