"""Draws persons and pictures from seeds, and says how an age changes a face.

Every length is in face units: the picture spans 2 of them, x runs right, y down, and the origin is
between the eyes of an adult. Nothing here knows of pixels, so a face is the same at every size.
"""

from types import SimpleNamespace

import numpy as np

# These stay with a person, whatever the age; "age" sets where in the range the pictures lie.
PERSON = (
    "tone", "hair", "iris", "width", "jaw", "spacing", "eyes", "tilt", "nose", "nose_long",
    "lips", "mouth", "brow", "arch", "male", "style", "volume", "parting", "recede", "grey",
    "glasses", "rim", "frame", "beard", "ears", "mole", "mole_x", "mole_y", "freckles", "age",
)  # fmt: skip
# These change from picture to picture; only "age" says anything of the age.
PICTURE = (
    "age", "label", "x", "y", "scale", "angle", "yaw", "smile", "teeth", "gaze", "hat", "hat_r",
    "hat_g", "hat_b", "cloth_r", "cloth_g", "cloth_b", "back_r", "back_g", "back_b", "back_x",
    "back_y", "gain", "warm", "light_x", "light_y", "noise",
)  # fmt: skip

_SKIN = ((255, 226, 205), (244, 206, 176), (226, 178, 138), (180, 126, 90), (120, 80, 60))
_HAIR = ((36, 30, 32), (70, 46, 34), (112, 72, 44), (150, 78, 42), (204, 158, 92), (230, 200, 146))
_IRIS = ((74, 46, 30), (106, 72, 40), (112, 118, 66), (84, 134, 116), (84, 132, 178))
_RIMS = ((36, 34, 40), (112, 66, 40), (150, 40, 50), (44, 66, 116))

# Back hair ends at y; hair at the sides ends at y; hairline y; opening / head width; how square
# and how pointed the opening is; volume; curls; a bun.
_STYLES = np.array([
    # men and boys: side part, crew cut, curls, tousled
    (-0.3, 0.06, -0.36, 0.86, 0.5, 0.0, 0.075, 0.0, 0.0),
    (-0.3, 0.02, -0.41, 0.90, 0.6, 0.0, 0.030, 0.0, 0.0),
    (-0.3, 0.08, -0.36, 0.86, 0.3, 0.0, 0.110, 1.0, 0.0),
    (-0.3, 0.14, -0.27, 0.86, 0.7, 0.0, 0.090, 0.4, 0.0),
    # women and girls: bob with a fringe, long side part, long centre part, big curls, bun
    (0.50, 0.47, -0.22, 0.80, 0.9, 0.0, 0.095, 0.0, 0.0),
    (1.10, 1.10, -0.38, 0.84, 0.0, 0.2, 0.080, 0.0, 0.0),
    (0.88, 0.85, -0.46, 0.82, 0.0, 0.8, 0.085, 0.1, 0.0),
    (0.62, 0.60, -0.36, 0.84, 0.2, 0.0, 0.150, 1.0, 0.0),
    (-0.3, 0.04, -0.42, 0.88, 0.2, 0.2, 0.045, 0.0, 1.0),
])  # fmt: skip
_MEN = 4  # the first rows


class Look(SimpleNamespace):
    """Holds named columns, one row a face: float32 scalars [N] and colours [N, 3]."""

    def take(self, rows: slice | np.ndarray) -> "Look":
        """Returns the same columns of some rows."""
        return Look(**{name: column[rows] for name, column in vars(self).items()})


def draws(names: tuple[str, ...], seed: int, stream: int, rows: np.ndarray) -> Look:
    """Draws uniform numbers in [0, 1), a column a name; row i depends on (seed, stream, i) only."""
    table = [np.random.default_rng((seed, stream, int(i))).random(len(names)) for i in rows]
    return Look(**dict(zip(names, np.array(table).T, strict=True)))


def portray(person: Look, picture: Look, ages: np.ndarray) -> Look:
    """Returns how N pictures look, of these persons at these apparent ages [N]."""
    parts = (_pose(picture), _shape(person, ages), _skin(person, ages), _hair(person, ages))
    look = {name: column for part in parts for name, column in part.items()}
    hat = picture.hat < 0.14
    look |= {
        "hat": hat,
        "bun": look["bun"] * ~hat,
        # Glasses stay at home when there is a hat, so that no face has two such marks.
        "glasses": (person.glasses < 0.3) & ~hat & (ages > 5),
        "rim": _mix(0.14, 0.175, person.rim) - 0.01 * look["young"],
        "rim_square": _mix(0.0, 1.0, (person.rim * 7) % 1),
        "frame": np.array(_RIMS)[(person.frame * len(_RIMS)).astype(int)] / 255,
    }
    return Look(**{name: np.asarray(column, np.float32) for name, column in look.items()})


def _curve(ages: np.ndarray, *knots: tuple[float, float]) -> np.ndarray:
    """Interpolates linearly between the knots (age, value)."""
    at, values = zip(*knots, strict=True)
    return np.interp(ages, at, values)


def _palette(colours: tuple[tuple[int, ...], ...], where: np.ndarray) -> np.ndarray:
    """Returns colours [N, 3] along a list of colours; `where` [N] is in [0, 1]."""
    knots = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(where, knots, np.array(colours)[:, c]) for c in range(3)], -1) / 255


def _mix(low: float, high: float, part: np.ndarray) -> np.ndarray:
    return low + (high - low) * part


def _pose(v: Look) -> dict[str, np.ndarray]:
    """Sets framing, light, clothes and background, which the age does not touch."""

    def colour(name: str) -> np.ndarray:
        return np.stack([getattr(v, f"{name}_{channel}") for channel in "rgb"], -1)

    return {
        "shift_x": _mix(-0.06, 0.06, v.x),
        "shift_y": _mix(0.02, 0.1, v.y),
        "scale": _mix(1.0, 1.12, v.scale),
        "cos": np.cos(_mix(-0.1, 0.1, v.angle)),
        "sin": np.sin(_mix(-0.1, 0.1, v.angle)),
        "yaw": _mix(-0.05, 0.05, v.yaw),
        "smile": _mix(0.002, 0.06, v.smile),
        "teeth": np.clip(2.5 * v.teeth - 1.5, 0, 1) * (v.smile > 0.4),
        "gaze": _mix(-0.014, 0.014, v.gaze),
        "hat_colour": 0.15 + 0.65 * colour("hat"),
        "cloth": 0.15 + 0.7 * colour("cloth"),
        "back": 0.55 + 0.3 * colour("back") + 0.1 * v.back_g[:, None],
        "back_x": _mix(-0.15, 0.15, v.back_x),
        "back_y": _mix(-0.15, 0.15, v.back_y),
        "gain": _mix(0.85, 1.08, v.gain),
        "warm": _mix(-0.05, 0.05, v.warm),
        "light_x": _mix(-0.16, 0.16, v.light_x),
        "light_y": _mix(0.0, 0.1, v.light_y),
        "noise": _mix(0.005, 0.025, v.noise),
    }


def _shape(u: Look, ages: np.ndarray) -> dict[str, np.ndarray]:
    """Places and sizes the features: a baby's lie low, with large eyes and a small jaw."""
    young = _curve(ages, (0, 1), (3, 0.82), (7, 0.56), (12, 0.3), (18, 0.08), (25, 0))
    old = _curve(ages, (25, 0), (50, 0.35), (70, 0.8), (90, 1.1))
    male = np.where(u.male > 0.5, 0.2 + 0.8 * u.male, 0) * (1 - young) ** 2

    def own(column: np.ndarray, by: float) -> np.ndarray:
        return by * (1 - 0.5 * young) * (2 * column - 1)  # a child's features are less its own

    return {
        "young": young,
        "half_width": _mix(0.49, 0.56, young) + own(u.width, 0.048) + 0.012 * male,
        "middle": _mix(-0.03, 0.08, young),
        "crown": np.full_like(young, -0.66),
        "chin": _mix(0.69, 0.6, young) + own(u.jaw, 0.03) + 0.015 * male,
        "taper": _mix(0.31, 0.12, young) + own(u.jaw, 0.08) - 0.16 * male,
        "jowl": 0.09 * old + 0.06 * young,
        "eye_y": _mix(-0.01, 0.165, young) + 0.01 * old,
        "eye_x": _mix(0.2, 0.235, young) + own(u.spacing, 0.032),
        "eye_w": _mix(0.1, 0.118, young) + own(u.eyes, 0.013) - 0.006 * old,
        "eye_up": _mix(0.054, 0.092, young) + own(u.eyes, 0.011) - 0.018 * old,
        "eye_low": _mix(0.035, 0.054, young) - 0.002 * old,
        "iris_r": _mix(0.046, 0.069, young) + own(u.eyes, 0.004),
        "tilt": own(u.tilt, 0.14) - 0.07 * old,
        "brow_y": _mix(-0.155, -0.005, young) + own(u.arch, 0.018) + 0.014 * (male + old),
        "brow_w": _mix(0.135, 0.115, young),
        "brow_h": _mix(0.02, 0.01, young) + own(u.brow, 0.009) + 0.007 * male,
        "brow_arch": 0.035 + own(u.arch, 0.022) - 0.015 * male,
        "nose_y": _mix(0.25, 0.33, young) + own(u.nose_long, 0.03) + 0.02 * old,
        "nose_w": _mix(0.086, 0.064, young) + own(u.nose, 0.028) + 0.012 * old + 0.008 * male,
        "mouth_y": _mix(0.435, 0.452, young) + own(u.nose_long, 0.012) + 0.012 * old,
        "mouth_w": _mix(0.172, 0.118, young) + own(u.mouth, 0.026),
        "lip": _mix(0.047, 0.04, young) + own(u.lips, 0.015) - 0.02 * old - 0.006 * male,
        "ear_h": _mix(0.12, 0.125, young) + own(u.ears, 0.02) + 0.025 * old,
        "ear_out": 0.01 + 0.03 * u.ears,
        "neck": _mix(0.235, 0.2, young) + 0.05 * male,
        "shoulder": _mix(0.84, 0.58, young) + 0.08 * male,
    }


def _skin(u: Look, ages: np.ndarray) -> dict[str, np.ndarray]:
    """Sets the skin: smooth and rosy, then lined, folded, spotted and paler."""
    skin = _palette(_SKIN, u.tone)
    pale = _curve(ages, (30, 0), (80, 0.22))[:, None] * (skin.mean(-1, keepdims=True) - skin)
    return {
        "skin": skin + pale,
        "wrinkle": _curve(ages, (17, 0), (28, 0.14), (40, 0.4), (55, 0.7), (70, 0.95), (90, 1.15)),
        "sag": _curve(ages, (28, 0), (50, 0.35), (70, 0.8), (90, 1.1)),
        "blush": _curve(ages, (0, 0.3), (10, 0.22), (20, 0.12), (45, 0.07))
        * (1.05 - 0.65 * u.tone),
        "rouge": np.where(u.male < 0.5, _curve(ages, (14, 0), (20, 0.5)) * u.lips, 0),
        "spots": _curve(ages, (45, 0), (80, 0.28)),
        "freckles": np.where((u.freckles > 0.75) & (u.tone < 0.5), 0.22, 0)
        * np.clip(ages / 8, 0, 1),
        "mole": np.where(u.mole > 0.65, 0.6, 0) * _curve(ages, (3, 0), (12, 1)),
        "mole_x": np.where(u.mole_x > 0.5, 1, -1) * _mix(0.19, 0.3, (2 * u.mole_x) % 1),
        "mole_y": _mix(0.2, 0.42, u.mole_y),
        "iris": _palette(_IRIS, u.iris * np.clip(1.3 - 1.6 * u.tone, 0, 1)),
    }


def _hair(u: Look, ages: np.ndarray) -> dict[str, np.ndarray]:
    """Sets the hair: thin on a baby, full, then grey at some time, receding on some men."""
    man = u.male > 0.5
    row = np.where(man, u.style * _MEN, _MEN + u.style * (len(_STYLES) - _MEN)).astype(int)
    length, side, hairline, opening, square, point, volume, curl, bun = _STYLES[row].T
    grown = _curve(ages, (0, 0.1), (2, 0.3), (4, 0.65), (8, 1))
    long = np.where(length > 0, np.clip(1.7 * grown - 0.7, 0, 1), 0)
    bare = np.where(man, np.clip(2 * u.recede - 0.7, 0, 1), 0.12 * u.recede)
    bare = bare * _curve(ages, (22, 0), (40, 0.4), (65, 1))
    onset = 30 + 28 * u.grey
    grey = np.clip((ages - onset) / 24, 0, 1)[:, None]
    ash = np.array([0.8, 0.8, 0.82]) + 0.12 * _curve(ages, (55, 0), (85, 1))[:, None]
    colour = _palette(_HAIR, u.hair * np.clip(1.15 - 1.3 * u.tone, 0, 1))
    hair = colour + grey * (ash - colour)
    full = np.where(man & (u.beard > 0.55), _curve(ages, (19, 0), (26, 0.95)), 0)
    shadow = np.where(man, _curve(ages, (16, 0), (24, 0.16)), 0)
    return {
        "hair": hair,
        "brows": colour * 0.7 + 0.6 * grey * (ash - colour * 0.7),
        "long": long,
        "short": long == 0,
        "length": -0.1 + (length + 0.1) * long,
        "side": np.where(length > 0, 0.06 + (side - 0.06) * long, side * grown),
        "hairline": _mix(-0.38, 0, grown) + hairline * grown - 0.32 * bare,
        "opening": opening + 0.02 * bare,
        "square": square * (1 - bare),
        "point": point * grown,
        "part": np.where(square < 0.6, 0.45 * (2 * u.parting - 1) * (1 - point), 0) * (1 - bare),
        "volume": (0.015 + volume * (0.75 + 0.5 * u.volume)) * _mix(0.2, 1, grown) * (1 - bare),
        "curl": curl * grown,
        "bun": bun * (grown > 0.6),
        "beard": np.maximum(full, shadow),
    }
