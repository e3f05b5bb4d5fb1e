"""Paints the head of a drawn face: its form, its nose, and its lines, spots and shadows."""

import numpy as np

from ldl_jax.data.synthetic.canvas import Layer, Patch
from ldl_jax.data.synthetic.shapes import as_float, blob, ellipse, fade, positive, rgb, wave

_SHADOW = rgb(0.78, 1.0, 1.08)  # the light that a shadow takes: least of red, as skin is warm
_BLUSH = rgb(0.2, -0.45, -0.4)  # the colour that a blush adds
_SPOTS = ((0.3, -0.27, 0.05), (-0.24, -0.36, 0.04), (-0.35, 0.2, 0.05), (0.33, 0.14, 0.035))


def _head(p: Patch) -> None:
    """Paints the head's outline and form; a baby's is round, an old one's has jowls."""
    f = p.f
    y = p.y - f.middle
    above = as_float(y < 0)
    height = above * (f.middle - f.crown) + (1 - above) * (f.chin - f.middle)
    low = np.square(np.clip(y / height, 0, 1))
    width = f.half_width * (1 - f.taper * low + 4 * f.jowl * low * (1 - low))
    p.head[:] = p.cover(ellipse(p.x, y, width, height))
    p.paint(f.skin, p.head)
    round_ = np.square(p.x / width) + 0.6 * np.square(y / height)
    p.dark += 0.2 * np.square(round_) * (1 + 2.0 * f.light_x * p.x)


def _forehead(p: Patch) -> None:
    p.dark -= 0.06 * blob(p.x, p.y - p.f.brow_y + 0.16, 0.3, 0.2)


def _sockets(p: Patch) -> None:
    f = p.f
    ax = np.abs(p.x - f.yaw)
    p.dark += (0.13 + 0.08 * f.sag) * blob(ax - f.eye_x, p.y - f.eye_y + 0.03, 0.17, 0.15)


def _cheekbones(p: Patch) -> None:
    f = p.f
    ax = np.abs(p.x - f.yaw)
    p.dark -= 0.07 * blob(ax - f.eye_x - 0.03, p.y - f.nose_y + 0.06, 0.16, 0.13)
    blush = f.blush * blob(ax - 0.29, p.y - f.nose_y + 0.03, 0.18, 0.14)
    p.rgb += _BLUSH * (p.head * blush)


def _chin(p: Patch) -> None:
    f = p.f
    x = p.x - f.yaw
    p.dark += 0.1 * blob(x, p.y - f.mouth_y - 0.1, 0.12, 0.05)
    p.dark -= 0.05 * blob(x, p.y - f.chin + 0.08, 0.1, 0.07)


def _hollows(p: Patch) -> None:
    """Sinks the cheeks and lets the corners of the mouth sag with age."""
    f = p.f
    ax = np.abs(p.x - f.yaw)
    hollow = f.sag * 0.2 + 0.05 * (1 - f.young)
    p.dark += hollow * blob(ax - 0.34, p.y - 0.34 + 0.5 * (ax - 0.3), 0.13, 0.2)
    p.dark += 0.14 * f.sag * blob(ax - 0.26, p.y - f.mouth_y - 0.12, 0.1, 0.1)


def _nose(p: Patch) -> None:
    f = p.f
    x, y = p.x - 1.6 * f.yaw, p.y - f.nose_y
    ax, t = np.abs(x), np.clip((p.y - f.eye_y) / (f.nose_y - f.eye_y), 0, 1)
    side = ax - f.nose_w * (0.45 + 0.4 * np.square(t))
    p.dark += 0.16 * fade(side / 0.05) * fade(y / (f.nose_y - f.eye_y)) * (y < 0)
    p.dark -= 0.1 * blob(x, y + 0.11, 0.035, 0.2) + 0.08 * blob(x, y + 0.03, 0.05, 0.05)
    p.dark += 0.2 * blob(x, y - 0.035, 1.2 * f.nose_w, 0.04)
    wing = p.stroke(ellipse(ax - 0.72 * f.nose_w, y, 0.36 * f.nose_w, 0.034), 0.014)
    p.dark += 0.26 * wing * (ax > 0.72 * f.nose_w)
    p.dark += 0.5 * p.cover(ellipse(ax - 0.45 * f.nose_w, y - 0.024, 0.26 * f.nose_w, 0.012))


def _forehead_lines(p: Patch) -> None:
    """Paints wrinkles across the forehead and between the brows."""
    f = p.f
    x = p.x - f.yaw
    ax, w = np.abs(x), f.wrinkle
    row = (p.y - f.brow_y + 0.19 - 0.1 * np.square(x) + 0.006 * wave(2.5 * x + f.mole_y)) / 0.065
    near = (row - np.clip(np.round(row), -1, 1)) * 0.065
    across = fade(x / (0.18 + 0.14 * w)) * w
    p.dark += across * (0.3 * p.stroke(near, 0.014) + 0.12 * fade(near / 0.03))
    frown = p.stroke(ax - 0.035 - 0.1 * (p.y - f.brow_y), 0.014)
    p.dark += 0.26 * w * frown * fade((p.y - f.brow_y - 0.01) / 0.07)


def _eye_lines(p: Patch) -> None:
    """Paints crow's feet, and wrinkles under the eyes."""
    f = p.f
    ax, w = np.abs(p.x - f.yaw), f.wrinkle
    out, rise = ax - f.eye_x - f.eye_w, p.y - f.eye_y
    spread = 0.36 * positive(out) + 0.012
    fan = (rise / spread - np.clip(np.round(rise / spread), -2, 2)) * spread
    p.dark += 0.34 * w * p.stroke(fan, 0.012) * fade((out - 0.075) / 0.07)
    for step, deep in ((0.045, 0.3), (0.09, 0.2)):
        bag = rise - f.eye_low - step * (0.6 + 0.4 * w) + 3.2 * np.square(ax - f.eye_x)
        along = fade((ax - f.eye_x) / (1.1 * f.eye_w))
        p.dark += deep * w * along * (p.stroke(bag, 0.012) + 0.5 * fade(bag / 0.035))


def _mouth_lines(p: Patch) -> None:
    """Paints folds from the nose to the mouth, and from there to the jaw."""
    f = p.f
    ax, w = np.abs(p.x - f.yaw), f.wrinkle
    t = (p.y - f.nose_y + 0.03) / (f.mouth_y - f.nose_y + 0.07)
    fold = ax - f.nose_w - 0.02 - (f.mouth_w + 0.03 - f.nose_w) * t * (1.4 - 0.4 * t)
    along = positive(4 * t * (1 - t))
    p.dark += w * along * (0.3 * p.stroke(fold, 0.016) + 0.2 * fade((fold - 0.02) / 0.05))
    t = (p.y - f.mouth_y - 0.02) / 0.15
    fold = ax - f.mouth_w - 0.015 - 0.05 * t
    p.dark += 0.3 * w * f.sag * positive(4 * t * (1 - t)) * p.stroke(fold, 0.018)


def _mole(p: Patch) -> None:
    f = p.f
    p.dark += f.mole * p.cover(ellipse(p.x - f.yaw - f.mole_x, p.y - f.mole_y, 0.016, 0.016))


def _freckles(p: Patch) -> None:
    f = p.f
    x, y = p.x - f.yaw, p.y
    grid_x, grid_y = wave(x / 0.075 + 0.3 * wave(y / 0.13)), wave(y / 0.07 + f.mole_y)
    dots = positive(grid_x * grid_y - 0.35)
    p.dark += f.freckles * dots * blob(np.abs(x) - 0.2, y - f.nose_y + 0.1, 0.22, 0.13)


def _spot(at_x: float, at_y: float, r: float) -> Layer:
    """Makes the layer of a spot of age."""

    def paint(p: Patch) -> None:
        f = p.f
        x, y = p.x - f.yaw, p.y
        p.dark += f.spots * blob(x - at_x, y - at_y - 0.1 * f.mole_y, r, 0.8 * r)

    reach = r + 0.1  # the turn of a face, or its mole, moves the spot by so much
    return paint, (at_x - reach, at_y - reach, at_x + reach, at_y + reach), "spots"


def _expose(p: Patch) -> None:
    p.rgb *= 1 - _SHADOW * np.clip(p.dark * p.head, -0.2, 0.85)


LAYERS: tuple[Layer, ...] = (
    (_head, (-0.75, -0.8, 0.75, 0.85), ""),
    (_forehead, (-0.35, -0.6, 0.35, 0.2), ""),
    (_sockets, (-0.55, -0.25, 0.55, 0.35), ""),
    (_cheekbones, (-0.6, 0, 0.6, 0.5), ""),
    (_chin, (-0.25, 0.4, 0.25, 0.8), ""),
    (_hollows, (-0.6, 0, 0.6, 0.75), ""),
    (_nose, (-0.3, -0.1, 0.3, 0.5), ""),
    (_forehead_lines, (-0.5, -0.5, 0.5, 0.2), "wrinkle"),
    (_eye_lines, (-0.6, -0.2, 0.6, 0.35), "wrinkle"),
    (_mouth_lines, (-0.4, 0.15, 0.4, 0.7), "wrinkle"),
    (_mole, (-0.4, 0.15, 0.4, 0.5), "mole"),
    (_freckles, (-0.5, 0, 0.5, 0.5), "freckles"),
    *(_spot(*spot) for spot in _SPOTS),
    (_expose, (-0.75, -0.8, 0.75, 0.85), ""),
)
