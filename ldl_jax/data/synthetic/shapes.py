"""Computes the shapes, waves and colours that the layers of a drawn face are made of."""

import numpy as np

from ldl_jax.data.synthetic.canvas import Size


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    """Returns a colour as float32 [3, 1, 1, 1], to be multiplied with pictures."""
    return np.array([red, green, blue], np.float32)[:, None, None, None]


def positive(t: np.ndarray) -> np.ndarray:
    """Returns t where it is positive, else 0, in a third of the time of `np.maximum`."""
    return np.clip(t, 0, np.inf)


def negative(t: np.ndarray) -> np.ndarray:
    """Returns t where it is negative, else 0."""
    return np.clip(t, -np.inf, 0)


def ellipse(x: np.ndarray, y: np.ndarray, rx: Size, ry: Size) -> np.ndarray:
    """Returns the distance to an ellipse's edge to first order.

    It is f / |grad f| of f = (x/rx)² + (y/ry)² - 1.
    """
    a, b = np.square(x / rx), np.square(y / ry)
    return (a + b - 1) * 0.5 / np.sqrt(a / rx / rx + b / ry / ry + 1e-6)


def blob(x: np.ndarray, y: np.ndarray, rx: Size, ry: Size) -> np.ndarray:
    """Returns a soft spot of height 1 that is exactly 0 outside the ellipse."""
    return np.square(positive(1 - np.square(x / rx) - np.square(y / ry)))


def wave(t: np.ndarray) -> np.ndarray:
    """Returns a smooth wave of period 1 in [-1, 1], made of two parabolas."""
    t = 2 * (t - np.floor(t)) - 1
    return 4 * t * (1 - np.abs(t))


def as_float(where: np.ndarray) -> np.ndarray:
    """Returns float32 1 where true, else 0: a boolean times a number would be float64."""
    return where.astype(np.float32)


def fade(t: np.ndarray) -> np.ndarray:
    """Returns 1 at t = 0, falling to exactly 0 at |t| = 1."""
    return positive(1 - np.square(t))
