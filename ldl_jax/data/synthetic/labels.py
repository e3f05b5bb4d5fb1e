"""Gives the true distribution of what people say of a drawn face, and draws answers from it."""

import numpy as np

from ldl_jax.labels import ADIENCE

# The two parts (w, d, s) of the mixture in `true_distribution`.
_PLAIN = ((1.0, 0.0, 1.0), (0.0, 0.0, 1.0))
_GLASSES = ((0.65, -0.5, 0.8), (0.35, 1.6, 1.2))
_HAT = ((0.55, -1.5, 0.6), (0.45, 1.8, 0.6))

SCORES = np.arange(1, 6)  # a rater's possible answers
SCORE_SPREAD = 0.55  # σ of the raters' opinions of a plain face, as in SCUT-FBP5500


def true_distribution(
    ages: np.ndarray,
    glasses: np.ndarray,
    hat: np.ndarray,
    values: np.ndarray,
    spread: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Returns what people would say of a face: q(v) ∝ Σ_k w_k N(v; a + d_k σ, (s_k σ)²).

    The plain spread is σ = 1.5 + 3.5 a / 80 years. The parts (w, d, s) are, of a plain face,
    (1, 0, 1); with glasses, which skew towards older, (.65, -.5, .8) and (.35, 1.6, 1.2); with
    a hat, which makes two camps, (.55, -1.5, .6) and (.45, 1.8, .6). N is the normal density at
    a label value; the sum is normalised over the values, which cuts it off at both ends.

    Args:
      ages: the apparent ages a [N], in years.
      glasses: [N], not 0 where glasses are worn.
      hat: [N], not 0 where a hat is worn; a hat counts before glasses.
      values: the label values v [M], in years.
      spread: factor of σ, one or [N].

    Returns:
      Probabilities float64 [N, M]; rows sum to 1.
    """
    return _mixture(ages, (1.5 + 3.5 * ages / 80) * spread, glasses, hat, values)


def true_opinions(
    scores: np.ndarray,
    glasses: np.ndarray,
    hat: np.ndarray,
    values: np.ndarray,
    spread: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Returns what raters think of a face of attractiveness a, as `true_distribution` has it.

    The plain spread is σ = 0.55 of the score.
    """
    return _mixture(scores, np.full(len(scores), SCORE_SPREAD) * spread, glasses, hat, values)


def draw_values(truth: np.ndarray, uniform: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns for each row the value, float32 [N], where the cumulative truth exceeds the draw."""
    below = np.cumsum(truth[:, :-1], -1) <= uniform[:, None]
    return values[below.sum(-1)].astype(np.float32)


def rate(
    truth: np.ndarray, values: np.ndarray, raters: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the mean and standard deviation of R raters' answers, float32 [N] each, and these.

    The answers are counts of each of `SCORES`, float32 [N, 5].

    A rater's opinion of picture i is one draw v of its true distribution, the answer floor(v + ½),
    a whole number of 1 to 5. Row i depends on (seed, i) only.

    Args:
      truth: [N, M] over the values.
      values: [M] in [1, 5], rising.
      raters: R.
      seed: of the draws.
    """
    answer = np.floor(values + 0.5).astype(int)
    chances = np.stack([truth[:, answer == score].sum(-1) for score in SCORES], -1)
    chances /= chances.sum(-1, keepdims=True)
    votes = np.array([
        np.random.default_rng((seed, 7, row)).multinomial(raters, chance)
        for row, chance in enumerate(chances)
    ])  # fmt: skip
    mean = votes @ SCORES / raters
    deviation = np.sqrt((votes * np.square(SCORES - mean[:, None])).sum(-1) / raters)
    return mean.astype(np.float32), deviation.astype(np.float32), votes.astype(np.float32)


def to_groups(truth: np.ndarray, years: np.ndarray) -> np.ndarray:
    """Turns a distribution over years [N, M] into one over Adience's eight groups [N, 8].

    A year in a gap between two groups counts for the one with the nearer midpoint, the younger
    where both are as near.
    """
    low, high = np.array(ADIENCE.bounds).T
    inside = (years[:, None] >= low) & (years[:, None] <= high)
    nearest = np.abs(years[:, None] - np.array(ADIENCE.values)).argmin(1)
    group = np.where(inside.any(1), inside.argmax(1), nearest)
    return truth @ np.eye(ADIENCE.size)[group]


def _mixture(
    centre: np.ndarray, sigma: np.ndarray, glasses: np.ndarray, hat: np.ndarray, values: np.ndarray
) -> np.ndarray:
    parts = np.tile(_PLAIN, (len(centre), 1, 1))
    parts[np.asarray(glasses) != 0] = _GLASSES
    parts[np.asarray(hat) != 0] = _HAT
    weight, shift, scale = np.moveaxis(parts[:, :, None, :], -1, 0)  # [N, 2, 1] each
    spread = scale * sigma[:, None, None]
    z = (values - centre[:, None, None] - shift * sigma[:, None, None]) / spread
    density = (weight / spread * np.exp(-0.5 * np.square(z))).sum(1)
    return density / density.sum(-1, keepdims=True)
