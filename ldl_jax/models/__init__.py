"""Networks: images to features, as pure functions. `build(name, **options)` makes one.

`from_nnx`, `from_linen` and `from_equinox` make one of a module of one's own.
"""

from ldl_jax.models import bare_flax  # noqa: F401  (first, so that the others find NNX)
from ldl_jax.models.check import check
from ldl_jax.models.equinox_module import from_equinox
from ldl_jax.models.functional import Model, folded
from ldl_jax.models.linen_module import from_linen
from ldl_jax.models.nnx_module import from_nnx
from ldl_jax.models.registry import DTYPES, MODELS, build, known_options

__all__ = [
    "DTYPES",
    "MODELS",
    "Model",
    "build",
    "check",
    "folded",
    "from_equinox",
    "from_linen",
    "from_nnx",
    "known_options",
]
