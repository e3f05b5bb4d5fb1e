"""The looks at a picture that an answer is the mean over: crops of it, and their mirror images."""

import jax
import jax.numpy as jnp

from ldl_jax.data.augment.resize import crop_and_resize

Crops = tuple[float, ...]  # shares of a picture's width and height; () is the picture alone
LEAST = 0.1  # a smaller share of a face tells nothing
MOST = 16  # crops of a picture; each costs a pass of the network


def check_crops(key: str, crops: Crops) -> None:
    """Raises ValueError where crops are too many, twice the same, or no shares of a picture."""
    if len(crops) > MOST or len(set(crops)) < len(crops):
        raise ValueError(f"{key}: expected at most {MOST} different shares, got {crops}")
    if not all(LEAST <= share <= 1 for share in crops):
        raise ValueError(f"{key}: expected shares from {LEAST} to 1, got {crops}")


def shares(crops: Crops) -> Crops:
    """Returns the shares that are looked at, one or more."""
    return crops or (1.0,)


def middle(images: jax.Array, share: float) -> jax.Array:
    """Returns the middle of each picture, enlarged to the picture's own size, bilinear.

    Args:
      images: [B, H, W, C].
      share: of the width and of the height that is kept, above 0; 1 gives the pictures themselves.

    Returns: float32 [B, H, W, C].
    """
    if share == 1.0:
        return images
    batch, height, width, _ = images.shape
    sides = jnp.asarray([height, width], jnp.float32)
    box = jnp.concatenate([sides * (1 - share) / 2, sides * share])
    boxes = jnp.broadcast_to(box, (batch, 4))
    return crop_and_resize(images, boxes, jnp.zeros((batch,), bool), (height, width))


def looks_at(images: jax.Array, flip: bool, crops: Crops) -> list[jax.Array]:
    """Returns the looks at pictures: each crop, followed by its mirror image with `flip`.

    Args:
      images: network inputs [B, H, W, C].
      flip: whether mirror images are among them.
      crops: shares of the pictures, as of `middle`; () for the pictures alone.

    Returns: arrays [B, H, W, C].
    """
    cut = [middle(images, share) for share in shares(crops)]
    return [look for crop in cut for look in ((crop, crop[:, :, ::-1]) if flip else (crop,))]
