"""Mixes each picture of a batch with another one whose label is near (C-Mixup)."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class CMixup:
    """Mixes pictures and their labels, the oftener the nearer the labels are.

    Picture i gets a partner j of its batch by the rate exp(-(y_i - y_j)^2 / 2σ^2) over the sum of
    all, itself among them. With one λ of Beta(α, α) for the batch, the picture becomes
    λ x_i + (1 - λ) x_j and its label λ y_i + (1 - λ) y_j, and so do its σ and the shares of its
    votes.

    Source: Yao et al., "C-Mixup: Improving Generalization in Regression" (NeurIPS 2022), in the
    form of the authors' code that draws partners from the batch, which is drawn at random itself.

    Attributes:
      alpha: α; 0 mixes nothing.
      sigma: σ, the bandwidth, in the label's unit.
    """

    alpha: float = 0.0
    sigma: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < float("inf"):
            raise ValueError(f"augment.mixup.alpha: expected 0 or more, got {self.alpha}")
        if not 0 < self.sigma < float("inf"):
            raise ValueError(f"augment.mixup.sigma: expected more than 0, got {self.sigma}")

    @property
    def still(self) -> bool:
        """True if nothing is ever mixed."""
        return self.alpha == 0


def mixed(key: jax.Array, batch: Mapping[str, jax.Array], recipe: CMixup) -> dict[str, jax.Array]:
    """Returns the batch with its rows mixed.

    Args:
      key: of the draws.
      batch: the network's inputs "images" [B, H, W, C], "labels" [B], and other columns [B, ...],
        as "sigma" and "votes".
      recipe: how.
    """
    if recipe.still:
        return dict(batch)
    partner_key, share_key = jax.random.split(key)
    partners = jax.random.categorical(partner_key, rates(batch["labels"], recipe), axis=-1)
    share = jax.random.beta(share_key, recipe.alpha, recipe.alpha, dtype=jnp.float32)
    return {name: _between(_shares(name, x), partners, share) for name, x in batch.items()}


def rates(labels: jax.Array, recipe: CMixup) -> jax.Array:
    """Returns the logarithms of the rates [B, B] by which rows take partners, but for a constant.

    Examples:
      >>> jnp.exp(rates(jnp.array([20.0, 22.0]), CMixup(1.0, 2.0))).round(3).tolist()
      [[1.0, 0.607...], [0.607..., 1.0]]
    """
    return -jnp.square((labels[:, None] - labels[None, :]) / recipe.sigma) / 2


def _shares(name: str, x: jax.Array) -> jax.Array:
    """Returns votes as shares, so that many votes weigh no more than a few; other columns stay."""
    if name != "votes":
        return x
    total = jnp.sum(x, axis=-1, keepdims=True)
    return x / jnp.where(total > 0, total, 1.0)


def _between(x: jax.Array, partners: jax.Array, share: jax.Array) -> jax.Array:
    """Returns λ x_i + (1 - λ) x_j."""
    return share * x + (1 - share) * jnp.take(x, partners, axis=0)
