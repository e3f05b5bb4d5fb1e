"""Draws among views of a picture whose features were computed before."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Views:
    """Says which views are stored of each picture, beside the picture itself, and what is drawn.

    The views are in the order: the picture, its mirror image where it has a chance, other crops of
    it likewise, and `count` augmented views.

    Attributes:
      mirror: the probability of the mirror image, where the picture or another crop is drawn.
      count: the number of augmented views. Each is drawn as often as the picture.
      crops: the number of crops, the picture itself among them. Each is drawn as often.
    """

    mirror: float = 0.5
    count: int = 0
    crops: int = 1


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
    chosen = jax.random.randint(view_key, (batch,), 0, views.count + views.crops)
    mirrored = jax.random.bernoulli(mirror_key, views.mirror, (batch,)).astype(jnp.int32)
    looks = 2 if views.mirror else 1  # of each crop
    crop = looks * chosen + (mirrored if views.mirror else 0)
    index = jnp.where(chosen < views.crops, crop, (looks - 1) * views.crops + chosen)
    return jnp.take_along_axis(stored, index[:, None, None], axis=1, mode="clip")
