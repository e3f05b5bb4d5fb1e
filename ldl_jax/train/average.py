"""An exponential moving average of the weights, for answers that the last few steps do not shake.

Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (SIAM J.
Control Optim. 1992); Tarvainen and Valpola, "Mean teachers are better role models" (NeurIPS 2017).
"""

import jax
import jax.numpy as jnp

from ldl_jax.train.state import Weights


def decay_at(decay: float, step: jax.Array) -> jax.Array:
    """Returns d_t = min(d, (1 + t) / (10 + t)), float32 [], of step t = 0, 1, ...

    The average starts as the first weights, so it is never biased towards 0; the smaller first
    decays (TensorFlow's `ExponentialMovingAverage` with its number of updates) let it forget them:
    0.1, 0.18, 0.25, ..., and d from t = (10 d - 1) / (1 - d) on, 8,990 of d = 0.999.
    """
    t = step.astype(jnp.float32)
    return jnp.minimum(jnp.float32(decay), (1 + t) / (10 + t))


def averaged(ema: Weights, weights: Weights, decay: float, step: jax.Array) -> Weights:
    """Returns ema + (1 - d_t) (weights - ema): the average after step t gave `weights`.

    The batch statistics are averaged alike (as timm does it): those in `weights` are of networks of
    the last steps, and the average is of networks of before, too.

    optax.incremental_update rounds otherwise, as share weights + (1 - share) ema: an average of
    weights that do not move would not stay as it is.
    """
    share = 1 - decay_at(decay, step)
    return jax.tree.map(lambda old, new: old + share * (new - old), ema, weights)
