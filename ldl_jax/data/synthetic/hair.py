"""Paints the hair of a drawn face, the beard and the hat, as groups of layers."""

import numpy as np

from ldl_jax.data.synthetic.canvas import Layer, Patch, Size
from ldl_jax.data.synthetic.shapes import blob, ellipse, negative, positive, wave


def _curls(p: Patch, size: float) -> Size:
    if not p.f.curl.any():
        return 0.0
    return p.f.curl * 0.012 * (wave(p.x / size) + wave(p.y / size + 0.3))


def _dome(p: Patch, grow: Size) -> np.ndarray:
    """Returns the hair's outline, an ellipse over the head, straight down from its middle."""
    f = p.f
    up = negative(p.y - f.middle)
    return ellipse(p.x, up, f.half_width + grow, f.middle - f.crown + grow)


def _strands(p: Patch, flow: np.ndarray) -> np.ndarray:
    """Returns the light on hair, with fine strands and a soft gloss."""
    return 1 + 0.07 * wave(9 * flow) + 0.05 * wave(23 * flow + p.y)


def _back_hair(p: Patch) -> None:
    f = p.f
    tail = positive(p.y - f.length + 0.2)
    edge = ellipse(p.x, tail, f.half_width + f.volume + 0.03, 0.2)
    edge = np.maximum(edge, _dome(p, f.volume + 0.03)) + _curls(p, 0.16)
    p.paint(f.hair * 0.72 * _strands(p, p.x), p.cover(edge))


def _bun(p: Patch) -> None:
    f = p.f
    y = p.y - f.crown + 0.09 + f.volume
    p.paint(f.hair * 0.85 * _strands(p, y), p.cover(ellipse(p.x, y, 0.2, 0.15)))


def _beard(p: Patch) -> None:
    f = p.f
    x = p.x - f.yaw
    ax = np.abs(x)
    out = positive(ax - 0.12)
    cheek = 0.45 * f.mouth_y + 0.55 * f.nose_y + 0.55 * out - 4.2 * np.square(out)
    area = np.clip((p.y - cheek) / 0.07, 0, 1)
    lips = p.cover(ellipse(x, p.y - f.mouth_y - 0.01, f.mouth_w * 0.8, f.lip * 0.7))
    area = positive(area - lips) * p.head * f.beard
    p.paint(f.hair * 0.8 * _strands(p, x + 0.3 * p.y), area)


def _front_hair(p: Patch) -> None:
    """Paints hair inside the outline and outside an arched opening for the face."""
    f = p.f
    x, base = p.x - 0.5 * f.yaw, f.eye_y + 0.06
    # Short hair hugs the head towards its ends, long hair falls straight.
    hug = np.clip((p.y - f.middle + 0.35) / 0.5, 0, 1)
    hug = np.square(hug) * (3 - 2 * hug) * (1 - f.long)
    outline = _dome(p, f.volume * (1 - hug)) + _curls(p, 0.14)
    a = np.square(x / (f.half_width * f.opening))
    b = np.square(negative(p.y - base + f.part * x) / (base - f.hairline))
    a = a * (1 - f.square - f.point) + f.square * np.square(a) + f.point * np.sqrt(a)
    ragged = 0.008 * (wave(x * 7 + f.mole_y) + wave(x * 17))
    if f.curl.any():
        ragged += 0.02 * f.curl * wave(x * 6)
    ragged *= np.clip((f.hairline - f.crown - 0.03) / 0.15, 0, 1)  # a bald head has no specks
    inner = 0.22 * (1 - a - b) + ragged * (b > 0)
    ends = p.y - f.side - 0.02 * wave(x * 16)
    mask = p.cover(np.maximum(np.maximum(outline, inner), ends))
    gloss = 0.22 * blob(p.x + 0.12, p.y - f.crown - 0.16, 0.36, 0.13)
    edge = 0.86 + 1.2 * np.clip(-outline, 0, 0.12)
    p.paint(f.hair * (edge * _strands(p, x / (1.1 + p.y * 0.4)) + gloss), mask)


def _hat(p: Patch) -> None:
    """Paints a knitted cap with a turned-up rim."""
    f = p.f
    rim = f.eye_y - 0.25 + 0.16 * np.square(p.x)
    grow = np.maximum(f.volume, 0.05) + 0.03
    dome = _dome(p, grow)
    ribs = 1 + 0.08 * wave(p.x / (1.05 + 0.5 * p.y) * 9)
    p.paint(f.hat_colour * ribs * (1 - 0.2 * np.square(p.x)), p.cover(np.maximum(dome, p.y - rim)))
    a, b = np.abs(p.y - rim + 0.07) - 0.03, dome + 0.02
    band = np.sqrt(np.square(positive(a)) + np.square(positive(b))) - 0.045
    p.paint(f.hat_colour * 0.78 * (1 + 0.1 * wave(p.x * 14)), p.cover(band))


BEHIND: tuple[Layer, ...] = (
    (_back_hair, (-0.9, -1.1, 0.9, 1.3), "long"),
    (_bun, (-0.3, -1.2, 0.3, -0.4), "bun"),
)
BEARD: tuple[Layer, ...] = ((_beard, (-0.65, -0.3, 0.65, 0.85), "beard"),)
FRONT: tuple[Layer, ...] = (
    (_front_hair, (-0.9, -1.1, 0.9, 0.3), "short"),
    (_front_hair, (-0.9, -1.1, 0.9, 1.2), "long"),
)
HAT: tuple[Layer, ...] = ((_hat, (-0.9, -1.1, 0.9, 0.1), "hat"),)
