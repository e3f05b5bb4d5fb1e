"""A search for the best settings: ranges of keys, and trials that a sampler of Optuna proposes."""

from ldl_jax.search.ranges import FORMS, Range, parse
from ldl_jax.search.tried import PRUNERS, SAMPLERS, Tried

__all__ = ["FORMS", "PRUNERS", "SAMPLERS", "Range", "Tried", "parse"]
