"""Networks: images to features, as pure functions. `build(name, **options)` makes one."""

from ldl_jax.models import bare_flax  # noqa: F401  (first, so that the others find NNX)
from ldl_jax.models.functional import Model, folded
from ldl_jax.models.registry import DTYPES, MODELS, build, known_options

__all__ = ["DTYPES", "MODELS", "Model", "build", "folded", "known_options"]
