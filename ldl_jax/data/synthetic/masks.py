"""Says where a drawn face shows what its age is told by: the drawing's own masks."""

import dataclasses

import numpy as np

from ldl_jax.data.lazy import LazyImages
from ldl_jax.data.records import Records
from ldl_jax.data.synthetic.people import Look

_SEEN = 2  # steps of 255 by which a pixel changes where a wrinkle is


def wrinkles(records: Records) -> np.ndarray:
    """Returns where the wrinkles of lazily drawn faces are, bool [N, S, S].

    Those are the pixels that change when the same faces are drawn without them.

    Args:
      records: of `faces(..., lazy=True)`, with no corruption.

    Raises:
      ValueError: they are of other pictures.

    Examples:
      >>> from ldl_jax.data.synthetic import faces
      >>> from ldl_jax.data.synthetic.masks import wrinkles
      >>> wrinkles(faces.faces(8, 32, lazy=True)).shape
      (8, 32, 32)
    """
    plain = without_wrinkles(records)
    assert records.images is not None
    changed = np.abs(records.images[:].astype(np.int16) - plain)
    return np.asarray(changed.max(axis=-1) >= _SEEN)


def without_wrinkles(records: Records) -> np.ndarray:
    """Returns the same faces, drawn without wrinkles: uint8 [N, S, S, 3]; see `wrinkles`."""
    images = records.images
    source = images.source if isinstance(images, LazyImages) else None
    look = getattr(source, "look", None)
    if not isinstance(images, LazyImages) or not isinstance(look, Look):
        raise ValueError("records: expected faces that are drawn lazily, as faces(..., lazy=True)")
    smooth = Look(**vars(look))
    smooth.wrinkle = np.zeros_like(look.wrinkle)
    drawn = dataclasses.replace(source, look=smooth)  # type: ignore[type-var]
    return np.asarray(drawn.draw(np.arange(len(images))))  # type: ignore[union-attr]
