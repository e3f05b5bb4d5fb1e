"""Hides the squares of a regular grid (GridMask)."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class GridMask:
    """Hides the squares of a grid (Chen, Liu, Zhao and Jia, "GridMask Data Augmentation", 2020).

    A grid has units of d x d pixels and starts anywhere. In each unit a square with the side
    d - round(r d) is hidden, so that 1 - (1 - r)² of the picture is kept. The networks' inputs are
    multiplied by the mask, as in the authors' code: hidden pixels have the mean colour. The
    authors also rotate the grid; the Adience report, whose parameters these are, says nothing of
    that, and here it stays upright.

    Attributes:
      spacing: range of d as a share of the input's side; uniform, whole pixels: by default 96 to
        224 pixels of 224.
      keep: r, the share of a unit's side that is kept.
      probability: that a picture has a grid, at the beginning of training and at its end; linear
        in between.
    """

    spacing: tuple[float, float] = (3 / 7, 1.0)
    keep: float = 0.6
    probability: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not 0 < self.spacing[0] <= self.spacing[1]:
            problem = f"expected 0 < low <= high, got {self.spacing}"
            raise ValueError(f"augment.gridmask.spacing: {problem}")
        if not 0 <= self.keep <= 1:
            raise ValueError(f"augment.gridmask.keep: expected 0 to 1, got {self.keep}")
        if not all(0 <= p <= 1 for p in self.probability):
            problem = f"expected probabilities, got {self.probability}"
            raise ValueError(f"augment.gridmask.probability: {problem}")

    @property
    def still(self) -> bool:
        """True if there is never a grid."""
        return self.probability == (0, 0)


def random_masks(
    key: jax.Array, batch: int, size: int, recipe: GridMask, progress: jax.Array
) -> jax.Array:
    """Draws masks bool [B, size, size]: which pixels are kept.

    Args:
      key: of the draws.
      batch: how many.
      size: side in pixels.
      recipe: the grids.
      progress: float32 scalar, how much of the training is over, from 0 to 1.
    """
    unit_key, start_key, happens_key = jax.random.split(key, 3)
    first, last = recipe.probability
    happens = jax.random.bernoulli(happens_key, first + (last - first) * progress, (batch,))
    low, high = (max(1, round(share * size)) for share in recipe.spacing)
    units = jax.random.randint(unit_key, (batch,), low, high + 1)
    shift = jax.random.uniform(start_key, (batch, 2), jnp.float32)
    starts = jnp.floor(shift * units[:, None].astype(jnp.float32)).astype(jnp.int32)
    return masks(units, starts, size, recipe.keep) | ~happens[:, None, None]


def masks(units: jax.Array, starts: jax.Array, size: int, keep: float) -> jax.Array:
    """Makes masks bool [B, size, size] of grids: which pixels are kept.

    Args:
      units: int32 [B], d in pixels.
      starts: int32 [B, 2], from the top and from the left, where one of the units begins.
      size: side in pixels.
      keep: r, the share of d that is kept at the beginning of each unit.
    """
    units = units[:, None]
    side = jnp.floor(keep * units.astype(jnp.float32) + 0.5).astype(jnp.int32)
    pixel = jnp.arange(size, dtype=jnp.int32)[None, :]
    down = (pixel - starts[:, :1]) % units < side
    across = (pixel - starts[:, 1:]) % units < side
    return down[:, :, None] | across[:, None, :]
