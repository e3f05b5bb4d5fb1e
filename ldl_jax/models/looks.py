"""The looks at a picture that an answer is the mean over: crops of it, and their mirror images."""

import jax
import jax.numpy as jnp

Crops = tuple[float, ...]  # shares of a picture's width and height; () is the picture alone
LEAST = 0.1  # a smaller share of a face tells nothing
MOST = 16  # crops of a picture; each costs a pass of the network


def check_crops(crops: Crops) -> None:
    """Raises ValueError where crops are too many, twice the same, or no shares of a picture."""
    if len(crops) > MOST or len(set(crops)) < len(crops):
        raise ValueError(f"crops: expected at most {MOST} different shares, got {crops}")
    if not all(LEAST <= share <= 1 for share in crops):
        raise ValueError(f"crops: expected shares from {LEAST} to 1, got {crops}")


def mirrored(images: jax.Array) -> jax.Array:
    """Returns the mirror images of pictures [B, H, W, C]."""
    return images[:, :, ::-1]


def middle(images: jax.Array, share: float) -> jax.Array:
    """Returns the middle of each picture, enlarged to the picture's own size, bilinear.

    Args:
      images: [B, H, W, C].
      share: of the width and of the height that is kept, above 0; 1 gives the pictures themselves.

    Returns: float32 [B, H, W, C].
    """
    if share == 1.0:
        return images
    sides = jnp.asarray(images.shape[1:3], jnp.float32)
    return jax.image.scale_and_translate(
        images.astype(jnp.float32),
        images.shape,
        spatial_dims=(1, 2),
        scale=jnp.full((2,), 1 / share, jnp.float32),
        translation=-sides * (1 - share) / 2 / share,
        method="linear",
        antialias=False,
    )


def looks_at(images: jax.Array, flip: bool, crops: Crops) -> list[jax.Array]:
    """Returns the looks at pictures: each crop, followed by its mirror image with `flip`.

    Args:
      images: network inputs [B, H, W, C].
      flip: whether mirror images are among them.
      crops: shares of the pictures, as of `middle`; () for the pictures alone.

    Returns: arrays [B, H, W, C].
    """
    cut = [middle(images, share) for share in crops or (1.0,)]
    return [look for crop in cut for look in ((crop, mirrored(crop)) if flip else (crop,))]
