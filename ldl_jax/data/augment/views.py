"""Draws among views of a picture whose features were computed before."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Views:
    """Says which views are stored of each picture, beside the picture itself, and what is drawn.

    The views are in the order: the picture, its mirror image where it has a chance, and `count`
    augmented views.

    Attributes:
      mirror: the probability of the mirror image, where the picture is drawn.
      count: the number of augmented views. Each is drawn as often as the picture.
    """

    mirror: float = 0.5
    count: int = 0


def draw(key: jax.Array, stored: jax.Array, views: Views) -> jax.Array:
    """Draws one view of each picture.

    Args:
      key: the same key draws the same views.
      stored: [B, W, D], the views of each picture.
      views: which they are.

    Returns: [B, 1, D].
    """
    view_key, mirror_key = jax.random.split(key)
    batch = stored.shape[0]
    chosen = jax.random.randint(view_key, (batch,), 0, views.count + 1)
    mirrored = jax.random.bernoulli(mirror_key, views.mirror, (batch,)).astype(jnp.int32)
    places = (1 if views.mirror else 0) + chosen
    index = jnp.where(chosen == 0, mirrored if views.mirror else 0, places)
    return jnp.take_along_axis(stored, index[:, None, None], axis=1, mode="clip")
