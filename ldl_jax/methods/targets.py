"""The `encode` functions of methods: labels and each picture's sigma -> the loss's target."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ldl_jax import encodings
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import check_number

# `encode(labels [B], sigma [B]) -> target`; that of votes takes them too, [B, K].
Encoder = Callable[..., jax.Array]


def of_labels(encode: Callable[[jax.Array], jax.Array]) -> Encoder:
    """Returns an encoder whose target is `encode(labels)`, whatever a picture's σ."""

    def ignoring_sigma(labels: jax.Array, sigma: jax.Array) -> jax.Array:
        del sigma
        return encode(labels)

    return ignoring_sigma


def one_hot_encoder(space: LabelSpace) -> Encoder:
    """Returns the encoder of methods that take the label as it is."""
    return of_labels(lambda labels: encodings.one_hot(labels, space))


def rank_encoder(space: LabelSpace) -> Encoder:
    """Returns the encoder of methods that compare the label with each value."""
    return of_labels(lambda labels: encodings.rank(labels, space))


def gaussian_encoder(space: LabelSpace, sigma: float) -> Encoder:
    """Returns an encoder by a Gaussian of the picture's own σ, or of `sigma` where it has none.

    Raises: ValueError if sigma is negative.
    """
    check_number("sigma", sigma, low=0.0)

    def encode(labels: jax.Array, known: jax.Array) -> jax.Array:
        return encodings.gaussian(labels, space, known_or(known, sigma))

    return encode


def known_or(sigma: jax.Array, default: float) -> jax.Array:
    """Returns each picture's own σ [B], and the default where it has none (NaN)."""
    return jnp.where(jnp.isnan(sigma), default, sigma)


def normalised_error(value: jax.Array, labels: jax.Array, space: LabelSpace) -> jax.Array:
    """Returns |ŷ - y| on the normalised scale, [...] (CEN Eq. 10)."""
    return jnp.abs(encodings.normalised(value, space) - encodings.normalised(labels, space))
