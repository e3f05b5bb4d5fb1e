"""Label distribution learning for ages and other ordered labels of a face, in JAX."""

from ldl_jax.predictor import Predictor, load

__all__ = ["Predictor", "load"]
__version__ = "0.1.0"
