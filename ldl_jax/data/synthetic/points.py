"""Locates the eyes, the nose and the mouth of a drawn face."""

import numpy as np

from ldl_jax.data.synthetic.people import Look


def points(look: Look, size: int) -> np.ndarray:
    """Returns the five points of N faces, float32 [N, 5, 2], in pixels of pictures of that size.

    As `ldl_jax.data.align.Face` has them: the eye on the left, the other eye, the tip of the nose,
    the corners of the mouth; each where the layers paint it.
    """
    f = look
    corner_y = f.mouth_y - 0.6 * f.smile  # the end of the line y = mouth - smile ((x / w)² - 0.4)
    x = np.stack(
        [f.yaw - f.eye_x, f.yaw + f.eye_x, 1.6 * f.yaw, 1.1 * f.yaw - f.mouth_w,
         1.1 * f.yaw + f.mouth_w], axis=-1
    )  # fmt: skip
    y = np.stack([f.eye_y, f.eye_y, f.nose_y, corner_y, corner_y], axis=-1)
    cos, sin = (f.scale * f.cos)[:, None], (f.scale * f.sin)[:, None]
    u = f.shift_x[:, None] + cos * x - sin * y
    v = f.shift_y[:, None] + sin * x + cos * y
    return ((np.stack([u, v], axis=-1) + 1) * (size / 2)).astype(np.float32)
