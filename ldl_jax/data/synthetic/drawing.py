"""Lists the layers of a drawn face, from the background to the hat, and paints what is on it."""

import numpy as np

from ldl_jax.data.synthetic import hair, skin
from ldl_jax.data.synthetic.canvas import Layer, Patch
from ldl_jax.data.synthetic.shapes import as_float, blob, ellipse, fade, negative, positive, rgb

_LIP = rgb(0.86, 0.62, 0.62)  # a lip has so much of the skin's colour
_LIPSTICK = rgb(0.72, 0.2, 0.26)


def _background(p: Patch) -> None:
    f = p.f
    glow = 1 + f.back_x * p.x + f.back_y * p.y + 0.1 * blob(p.x, p.y, 1.5, 1.5)
    np.multiply(f.back, glow, out=p.rgb)


def _body(p: Patch) -> None:
    """Paints the neck, with the chin's shadow and its rings, and clothes."""
    f = p.f
    flare = f.neck + 0.5 * np.square(positive(p.y - 0.62))
    shadow = np.clip(1 - (p.y - f.chin) / 0.2, 0, 1) * 0.3
    rings = p.stroke(np.abs(p.y - 0.78 + 0.15 * np.square(p.x)) - 0.035, 0.012)
    cords = fade((np.abs(p.x) - 0.08) / 0.05) * f.sag
    light = 0.95 - shadow - 0.14 * f.wrinkle * rings - 0.1 * cords
    p.paint(f.skin * light, p.cover(np.abs(p.x) - flare) * p.cover(0.3 - p.y))
    slope = 0.83 + 0.3 * np.square(p.x / f.shoulder) ** 2
    collar = ellipse(p.x, p.y - 0.8, f.neck + 0.04, 0.13)
    cloth = p.cover(np.maximum(slope - p.y, -collar))
    p.paint(f.cloth * (1.02 - 0.2 * np.square(p.x)), cloth)
    p.paint(f.cloth * 0.75, cloth * p.stroke(collar - 0.03, 0.022))


def _ears(p: Patch) -> None:
    f = p.f
    x, y = np.abs(p.x) - f.half_width - f.ear_out + 0.02, p.y - f.eye_y - 0.09
    x -= 0.15 * negative(y)
    p.paint(f.skin * 0.92, p.cover(ellipse(x, y, 0.06, f.ear_h)))
    p.paint(f.skin * 0.72, 0.7 * blob(x, y, 0.045, 0.75 * f.ear_h))


def _mouth(p: Patch) -> None:
    """Paints lips along the line y = mouth - smile (x / w)², parted over teeth in a broad smile."""
    f = p.f
    x = p.x - 1.1 * f.yaw
    u = np.clip(x / f.mouth_w, -1, 1)
    full = 1 - np.square(u)
    y = p.y - f.mouth_y + f.smile * (np.square(u) - 0.4)
    gap = f.teeth * 0.045 * full
    bow = 1 - 0.3 * fade(u / 0.22)
    upper, lower = -f.lip * 0.8 * full * bow - 0.002, gap + f.lip * 1.05 * full + 0.002
    inside = np.abs(x) < f.mouth_w
    lip = f.skin * _LIP
    lip = lip + f.rouge * (_LIPSTICK - lip)
    mask = p.cover(np.maximum(upper - y, y - lower)) * inside
    gloss = 0.12 * blob(x, y - 0.6 * lower, 0.08, 0.016)
    p.paint(lip * (1 + gloss - 0.12 * as_float(y < 0)), mask)
    teeth = p.cover(np.maximum(-y, y - gap)) * inside * (f.teeth > 0)
    p.paint(0.93 - 0.25 * np.square(u), teeth)
    line = p.stroke(y, 0.016) * (np.abs(x) < f.mouth_w + 0.012)
    p.paint(f.skin * 0.38, 0.8 * line)


def _eyes(p: Patch) -> None:
    """Paints almonds between two parabolas; age lowers the upper lid and folds the skin."""
    f = p.f
    side = p.x - f.yaw
    x = np.abs(side) - f.eye_x
    u = x / f.eye_w
    y = p.y - f.eye_y + f.tilt * x * 0.6
    full = 1 - np.square(u)
    upper, lower = y + f.eye_up * full, y - f.eye_low * full
    opening = p.cover(np.maximum(-upper, lower)) * (np.abs(u) < 1)
    p.paint(0.95 - 0.14 * (np.square(u) + 0.03 * f.sag), opening)
    look = np.sign(side) * x - f.gaze
    iris_y = p.y - f.eye_y + 0.008
    iris = ellipse(look, iris_y, f.iris_r, f.iris_r)
    p.paint(f.iris * 0.5, opening * p.cover(iris))
    p.paint(f.iris * (1 + 6 * positive(iris_y)), opening * p.cover(iris + 0.009))
    p.paint(0.06, opening * p.cover(iris + 0.56 * f.iris_r))
    shade = np.clip(1 - upper / 0.035, 0, 1) * opening
    p.rgb *= 1 - 0.35 * shade
    third = 0.3 * f.iris_r
    shine = ellipse(look + third, iris_y + third, third, third)
    p.paint(1.0, 0.9 * opening * p.cover(shine))
    near = np.abs(u) < 1.08
    p.paint(f.skin * 0.2, 0.9 * p.stroke(upper, 0.02 - 0.004 * f.sag) * near)
    p.paint(f.skin * 0.55, 0.5 * p.stroke(lower, 0.011) * near)
    crease = upper + 0.028 - 0.012 * f.sag
    p.paint(f.skin * 0.6, (0.45 + 0.25 * f.sag) * p.stroke(crease, 0.012) * fade(u / 1.1))


def _brows(p: Patch) -> None:
    f = p.f
    u = (np.abs(p.x - f.yaw) - f.eye_x - 0.01) / f.brow_w
    bend = np.square(u - 0.2)
    y = p.y - f.brow_y - f.brow_arch * ((1.1 - 0.7 * as_float(u < 0.2)) * bend - 0.3)
    thick = f.brow_h * (1 - 0.35 * u) * np.sqrt(fade(u))
    p.paint(f.brows, 0.85 * p.cover(np.abs(y) - thick) * (np.abs(u) < 1))


def _glasses(p: Patch) -> None:
    f = p.f
    side = p.x - f.yaw
    ax, y = np.abs(side), p.y - f.eye_y - 0.015
    x = ax - f.eye_x - 0.005
    a, b = np.square(x / (f.rim + 0.005)), np.square(y / (0.82 * f.rim))
    square = np.sqrt(np.square(a) + np.square(b))
    lens = (np.sqrt((1 - f.rim_square) * (a + b) + f.rim_square * square) - 1) * f.rim
    streak = as_float(np.abs(np.sign(side) * x + y) < 0.035)
    p.paint(0.95, p.cover(lens) * (0.1 + 0.16 * streak))
    p.paint(f.frame, p.stroke(lens, 0.03))
    bridge = p.stroke(y + 0.035 - 0.6 * np.square(ax), 0.026) * (ax < f.eye_x - f.rim)
    arm = p.stroke(y + 0.04, 0.026) * (ax > f.eye_x + f.rim) * (np.abs(p.x) < f.half_width)
    p.paint(f.frame, np.maximum(bridge, arm))


LAYERS: tuple[Layer, ...] = (
    (_background, (-9, -9, 9, 9), ""),
    *hair.BEHIND,
    (_body, (-9, 0.3, 9, 9), ""),
    (_ears, (-0.75, -0.2, 0.75, 0.5), ""),
    *skin.LAYERS,
    *hair.BEARD,
    (_mouth, (-0.35, 0.25, 0.35, 0.7), ""),
    (_eyes, (-0.5, -0.2, 0.5, 0.35), ""),
    (_brows, (-0.5, -0.35, 0.5, 0.2), ""),
    *hair.FRONT,
    (_glasses, (-0.7, -0.3, 0.7, 0.45), "glasses"),
    *hair.HAT,
)
