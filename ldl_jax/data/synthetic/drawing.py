"""The layers of a drawn face, from the background to the hat."""

from __future__ import annotations

import numpy as np

from ldl_jax.data.synthetic.canvas import (
    Layer,
    Patch,
    Size,
    as_float,
    blob,
    ellipse,
    fade,
    negative,
    positive,
    wave,
)


def _rgb(red: float, green: float, blue: float) -> np.ndarray:
    return np.array([red, green, blue], np.float32)[:, None, None, None]


_SHADOW = _rgb(0.78, 1.0, 1.08)  # what a shadow takes: red least, as skin is warm
_BLUSH = _rgb(0.2, -0.45, -0.4)  # what a blush adds
_LIP = _rgb(0.86, 0.62, 0.62)  # a lip's part of the skin's colour
_LIPSTICK = _rgb(0.72, 0.2, 0.26)
_SPOTS = ((0.3, -0.27, 0.05), (-0.24, -0.36, 0.04), (-0.35, 0.2, 0.05), (0.33, 0.14, 0.035))


def _background(p: Patch) -> None:
    f = p.f
    glow = 1 + f.back_x * p.x + f.back_y * p.y + 0.1 * blob(p.x, p.y, 1.5, 1.5)
    np.multiply(f.back, glow, out=p.rgb)


def _curls(p: Patch, size: float) -> Size:
    if not p.f.curl.any():
        return 0.0
    return p.f.curl * 0.012 * (wave(p.x / size) + wave(p.y / size + 0.3))


def _dome(p: Patch, grow: Size) -> np.ndarray:
    """The hair's outline: an ellipse over the head, straight down from its middle."""
    f = p.f
    up = negative(p.y - f.middle)
    return ellipse(p.x, up, f.half_width + grow, f.middle - f.crown + grow)


def _strands(p: Patch, flow: np.ndarray) -> np.ndarray:
    """Light on hair: fine strands and a soft gloss."""
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


def _body(p: Patch) -> None:
    """Neck, with the chin's shadow and its own rings, and clothes."""
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


def _head(p: Patch) -> None:
    """The head's outline and its round form; a baby's is round, an old one's has jowls."""
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
    """Cheeks sink and the corners of the mouth sag with age."""
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
    """Wrinkles across the forehead and between the brows."""
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
    """Crow's feet, and wrinkles under the eyes."""
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
    """Folds from the nose to the mouth, and from there to the jaw."""
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
    """A spot of age."""

    def paint(p: Patch) -> None:
        f = p.f
        x, y = p.x - f.yaw, p.y
        p.dark += f.spots * blob(x - at_x, y - at_y - 0.1 * f.mole_y, r, 0.8 * r)

    reach = r + 0.1  # by as much a face is turned, or the mole's place moves it
    return paint, (at_x - reach, at_y - reach, at_x + reach, at_y + reach), "spots"


def _expose(p: Patch) -> None:
    p.rgb *= 1 - _SHADOW * np.clip(p.dark * p.head, -0.2, 0.85)


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


def _mouth(p: Patch) -> None:
    """Lips along the line y = mouth - smile (x / w)², parted over teeth in a broad smile."""
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
    """Almonds between two parabolas; age lowers the upper lid and folds the skin above it."""
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


def _front_hair(p: Patch) -> None:
    """Hair inside the outline and outside an arched opening for the face."""
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
    ragged *= np.clip((f.hairline - f.crown - 0.03) / 0.15, 0, 1)  # no specks on a bald head
    inner = 0.22 * (1 - a - b) + ragged * (b > 0)
    ends = p.y - f.side - 0.02 * wave(x * 16)
    mask = p.cover(np.maximum(np.maximum(outline, inner), ends))
    gloss = 0.22 * blob(p.x + 0.12, p.y - f.crown - 0.16, 0.36, 0.13)
    edge = 0.86 + 1.2 * np.clip(-outline, 0, 0.12)
    p.paint(f.hair * (edge * _strands(p, x / (1.1 + p.y * 0.4)) + gloss), mask)


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


def _hat(p: Patch) -> None:
    """A knitted cap with a turned-up rim."""
    f = p.f
    rim = f.eye_y - 0.25 + 0.16 * np.square(p.x)
    grow = np.maximum(f.volume, 0.05) + 0.03
    dome = _dome(p, grow)
    ribs = 1 + 0.08 * wave(p.x / (1.05 + 0.5 * p.y) * 9)
    p.paint(f.hat_colour * ribs * (1 - 0.2 * np.square(p.x)), p.cover(np.maximum(dome, p.y - rim)))
    a, b = np.abs(p.y - rim + 0.07) - 0.03, dome + 0.02
    band = np.sqrt(np.square(positive(a)) + np.square(positive(b))) - 0.045
    p.paint(f.hat_colour * 0.78 * (1 + 0.1 * wave(p.x * 14)), p.cover(band))


LAYERS: tuple[Layer, ...] = (
    (_background, (-9, -9, 9, 9), ""),
    (_back_hair, (-0.9, -1.1, 0.9, 1.3), "long"),
    (_bun, (-0.3, -1.2, 0.3, -0.4), "bun"),
    (_body, (-9, 0.3, 9, 9), ""),
    (_ears, (-0.75, -0.2, 0.75, 0.5), ""),
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
    (_beard, (-0.65, -0.3, 0.65, 0.85), "beard"),
    (_mouth, (-0.35, 0.25, 0.35, 0.7), ""),
    (_eyes, (-0.5, -0.2, 0.5, 0.35), ""),
    (_brows, (-0.5, -0.35, 0.5, 0.2), ""),
    (_front_hair, (-0.9, -1.1, 0.9, 0.3), "short"),
    (_front_hair, (-0.9, -1.1, 0.9, 1.2), "long"),
    (_glasses, (-0.7, -0.3, 0.7, 0.45), "glasses"),
    (_hat, (-0.9, -1.1, 0.9, 0.1), "hat"),
)
