"""Checks a user's own method against the contract before anything is trained."""

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax.heads import Features, Width
from ldl_jax.methods.contract import Batch, Knowledge, Method, Prediction

_B = 3


def check(method: Method, width: Width) -> None:
    """Puts one small batch through all of a method's functions, and checks the results.

    Args:
      method: the method.
      width: the number of features that its network gives, `Model.width`.

    Raises:
      ValueError: naming the function, what it returned and what was expected: a loss that is
        reduced over the batch, probabilities of another K or that do not sum to one, ...
    """
    K = method.space.size
    results = jax.jit(lambda: answers(method, width))()
    for name in ("loss", "taught loss"):
        _check(method, name, results[name], (_B,), "one a picture, not reduced over the batch")
    prediction, knowledge = results["predict"], results["teach"]
    if not isinstance(prediction, Prediction):
        raise _error(method, "predict", f"a {type(prediction).__name__}", "a Prediction")
    if not isinstance(knowledge, Knowledge):
        raise _error(method, "teach", f"a {type(knowledge).__name__}", "a Knowledge")
    _check(method, "predict's value", prediction.value, (_B,), "one a picture")
    _check(method, "teach's slack", knowledge.slack, (_B,), "one a picture")
    for name, probs in (("predict's probs", prediction.probs), ("teach's probs", knowledge.probs)):
        _check(method, name, probs, (_B, K), "a distribution a picture")
        totals = np.asarray(probs, np.float64).sum(axis=-1)
        if not (np.allclose(totals, 1, atol=1e-3) and (np.asarray(probs) >= 0).all()):
            raise _error(method, name, f"sums of {totals}", "no negative ones, and sums of 1")


def answers(method: Method, width: Width) -> dict[str, jax.Array | Prediction | Knowledge]:
    """Returns the results of all of a method's functions on one small batch; can be traced."""
    params = method.head.init(jax.random.key(0), width)
    outputs = method.head.apply(params, _features(width))
    labels = jnp.linspace(method.space.low, method.space.high, _B, dtype=jnp.float32)
    K = method.space.size
    batch: Batch = {
        "labels": labels,
        "sigma": jnp.full(_B, jnp.nan, jnp.float32),
        "votes": jnp.ones((_B, K), jnp.float32),
    }
    knowledge = Knowledge(jnp.full((_B, K), 1 / K, jnp.float32), jnp.zeros(_B, jnp.float32))
    return {
        "loss": method.loss(outputs, batch),
        "taught loss": method.loss(outputs, batch, knowledge),
        "predict": method.predict(outputs),
        "teach": method.teach(outputs, batch),
    }


def _features(width: Width) -> Features:
    if isinstance(width, int):
        return jax.random.normal(jax.random.key(1), (_B, width), jnp.float32)
    return {name: _features(part) for name, part in width.items()}  # type: ignore[misc]


def _check(method: Method, name: str, x: object, shape: tuple[int, ...], meaning: str) -> None:
    """Checks one result's shape and dtype, and that it is finite."""
    actual = getattr(x, "shape", type(x).__name__)
    if actual != shape or not isinstance(x, jax.Array):
        expected = f"{list(shape)} for a batch of {_B}: {meaning}"
        raise _error(method, name, f"shape {actual}", expected)
    if x.dtype != jnp.float32:
        raise _error(method, name, str(x.dtype), "float32")
    if not np.isfinite(x).all():
        raise _error(method, name, str(np.asarray(x)), "finite numbers")


def _error(method: Method, name: str, actual: str, expected: str) -> ValueError:
    return ValueError(
        f"method.name: {method.name!r}: its {name}: expected {expected}, got {actual}"
    )
