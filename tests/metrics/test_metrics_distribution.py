"""Scores, intervals and calibration of distributions against loops in float64."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from ldl_jax import losses, metrics
from ldl_jax.labels import ADIENCE, AGE, SCUT_FBP, LabelSpace

UNEVEN = LabelSpace((0.0, 1.0, 2.5, 4.0, 9.0))
SPACES = {"age": AGE, "score": SCUT_FBP, "groups": ADIENCE, "uneven": UNEVEN}
N = 60
LEVELS = [0.0, 0.05, 0.3, 0.5, 0.95, 1.0]


def rows(space: LabelSpace) -> tuple[np.ndarray, np.ndarray]:
    """Distributions of all widths, some without mass at the ends; labels also between values."""
    rng = np.random.default_rng(0)
    values, span = np.asarray(space.values), space.high - space.low
    centre, width = rng.uniform(space.low, space.high, N), span * rng.uniform(0.01, 0.3, N)
    logits = -0.5 * np.square((values - centre[:, None]) / width[:, None])
    probs = np.exp(logits - logits.max(1, keepdims=True))
    labels = np.where(np.arange(N) % 2, rng.choice(values, N), centre)
    probs[probs < 1e-7] = 0
    return (probs / probs.sum(1, keepdims=True)).astype(np.float32), labels.astype(np.float32)


def own(label: float, space: LabelSpace) -> int:
    for i, (low, high) in enumerate(space.bounds):
        if low <= label <= high:
            return i
    return int(np.abs(np.asarray(space.values) - np.float64(label)).argmin())


def numbers(result: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(result)])


def np_nll(p: np.ndarray, label: float, space: LabelSpace) -> float:
    return -np.log(max(p[own(label, space)], np.finfo(np.float32).tiny))


def np_crps(p: np.ndarray, label: float, space: LabelSpace) -> float:
    """E|L - y| - E|L - L'| / 2."""
    v = np.asarray(space.values)
    return p @ np.abs(v - label) - 0.5 * p @ np.abs(v[:, None] - v) @ p


def np_interval(p: np.ndarray, level: float, space: LabelSpace) -> tuple[float, float]:
    c = np.cumsum(p)
    ends = [int(np.argmax(c >= q - 1e-6)) for q in ((1 - level) / 2, (1 + level) / 2)]
    return space.values[ends[0]], space.values[ends[1]]


def np_shortest(p: np.ndarray, level: float, space: LabelSpace) -> tuple[float, float]:
    v, runs = space.values, []
    for i in range(space.size):
        for j in range(i, space.size):
            if (mass := p[i : j + 1].sum()) >= level - 1e-6:
                runs.append((round(v[j] - v[i], 6), -mass, v[i], v[j]))
    return min(runs)[2:]


def np_covered(interval: Callable[..., tuple[float, float]]) -> Callable[..., np.ndarray]:
    def score(p: np.ndarray, label: float, space: LabelSpace) -> np.ndarray:
        low, high = interval(p, 0.8, space)
        return np.array([low <= space.values[own(label, space)] <= high, high - low])

    return score


def np_pit(p: np.ndarray, label: float, space: LabelSpace) -> np.ndarray:
    """The mean over v ~ U(0, 1) of [c_k-1 + v p_k <= u]."""
    k = own(label, space)
    lower, upper = p[:k].sum() / p.sum(), p[: k + 1].sum() / p.sum()
    if upper == lower:
        return np.array([float(u >= upper or u == 1) for u in LEVELS])
    return np.clip([(u - lower) / (upper - lower) for u in LEVELS], 0, 1)


def mean(score: Callable[..., Any]) -> Callable[..., Any]:
    def expected(probs: np.ndarray, labels: np.ndarray, space: LabelSpace) -> Any:
        scores = [score(p, y, space) for p, y in zip(probs, labels, strict=True)]
        return np.mean(scores, axis=0)

    return expected


def np_ece(probs: np.ndarray, labels: np.ndarray, space: LabelSpace) -> float:
    bins: dict[int, list[tuple[bool, float]]] = {}
    for p, label in zip(probs, labels, strict=True):
        right = p.argmax() == own(label, space)
        bins.setdefault(int(np.ceil(p.max() * 7)), []).append((right, p.max()))
    gaps = {m: np.mean(rows, axis=0) for m, rows in bins.items()}
    return sum(len(bins[m]) / len(labels) * abs(acc - conf) for m, (acc, conf) in gaps.items())


def np_error(probs: np.ndarray, labels: np.ndarray, space: LabelSpace) -> float:
    return float(np.square(mean(np_pit)(probs, labels, space) - LEVELS).mean())


# name -> (ours(probs, labels, space, mask), float64 loops of the same without a mask)
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "nll": (metrics.nll, mean(np_nll)),
    "crps": (metrics.crps, mean(np_crps)),
    "coverage": (
        lambda p, y, s, m: metrics.interval_coverage(p, y, s, 0.8, mask=m),
        mean(np_covered(np_interval)),
    ),
    "shortest": (
        lambda p, y, s, m: metrics.interval_coverage(p, y, s, 0.8, shortest=True, mask=m),
        mean(np_covered(np_shortest)),
    ),
    "ece": (lambda p, y, s, m: metrics.ece(p, y, s, 7, m), np_ece),
    "curve": (
        lambda p, y, s, m: metrics.calibration_curve(p, y, s, LEVELS, m),
        mean(np_pit),
    ),
    "error": (
        lambda p, y, s, m: metrics.quantile_calibration_error(p, y, s, LEVELS, m),
        np_error,
    ),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("name", CASES)
def test_golden_and_masks(name: str, space: LabelSpace) -> None:
    ours, golden = CASES[name]
    probs, labels = rows(space)
    kept = np.arange(N) % 3 != 1
    expected = golden(probs[kept].astype(np.float64), labels[kept].astype(np.float64), space)
    probs[~kept], labels[~kept] = np.nan, np.nan
    got = jax.jit(lambda p, y, m: ours(p, y, space, m))(probs, labels, kept)
    assert jax.tree.leaves(got)[0].dtype == np.float32
    np.testing.assert_allclose(numbers(got), expected, rtol=1e-5, atol=2e-6)
    eager = ours(probs, labels, space, kept)
    np.testing.assert_allclose(numbers(eager), numbers(got), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_crps_is_the_loss_s(space: LabelSpace) -> None:
    logits = np.random.default_rng(1).normal(size=(N, space.size)).astype(np.float32)
    labels = np.random.default_rng(2).uniform(space.low - 1, space.high + 1, N)
    expected = losses.crps(logits, labels, space)
    got = metrics.crps(jax.nn.softmax(logits), labels, space)
    np.testing.assert_allclose(got, np.mean(expected), rtol=1e-5)


def test_crps_of_one_hot_distributions_is_the_mae() -> None:
    pred, labels = np.arange(0, 100, 7.0), np.linspace(-3, 120, 15)
    probs = np.eye(101)[pred.astype(int)]
    np.testing.assert_allclose(
        metrics.crps(probs, labels, AGE), np.abs(pred - labels).mean(), rtol=1e-6
    )


def test_nll_has_a_floor() -> None:
    np.testing.assert_allclose(metrics.nll(np.eye(101)[:1], [1.0], AGE), 87.3365, rtol=1e-5)
    assert metrics.nll(np.eye(101)[:1], [0.4], AGE) == 0


def test_a_group_is_covered_by_its_own_value() -> None:
    """26 years is in the group 25-32, whose value 28.5 is the whole interval."""
    probs = np.eye(8)[[4, 4]]
    got = metrics.interval_coverage(probs, np.array([26.0, 40.0]), ADIENCE)
    np.testing.assert_array_equal(np.stack(got), [0.5, 0.0])


def test_ece_of_known_bins() -> None:
    """Five of ten right at a confidence of 0.75, all right at 1: half the rows are off by 0.25."""
    space = LabelSpace.range(0, 1)
    probs = np.repeat([[0.75, 0.25], [0.0, 1.0]], 10, axis=0)
    labels = np.repeat([0.0, 1.0, 1.0], [5, 5, 10])
    assert metrics.ece(probs, labels, space) == 0.125
    # Of one bin the overconfident and the perfect rows are one.
    assert metrics.ece(probs, labels, space, bins=1) == 0.125
    # At an edge is in the bin below it: 0.5, wrong, and 0.75, right, do not even out.
    probs[5:10] = 0.5
    np.testing.assert_allclose(metrics.ece(probs, labels, space, bins=2), 0.125 + 0.0625)


def draw(space: LabelSpace, count: int, sharpen: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from their own distributions, which are then sharpened."""
    rng = np.random.default_rng(3)
    logits = -np.abs(np.arange(space.size) - rng.uniform(0, space.size, (count, 1))) / 1.5
    probs = np.asarray(jax.nn.softmax(logits))
    drawn = (probs.cumsum(1) < rng.uniform(size=(count, 1)) * probs.sum(1, keepdims=True)).sum(1)
    return np.asarray(jax.nn.softmax(sharpen * logits)), np.asarray(space.values)[drawn]


@pytest.mark.parametrize("space", [AGE, ADIENCE], ids=["age", "groups"])
def test_labels_drawn_from_their_distributions_are_calibrated(space: LabelSpace) -> None:
    """However coarse the grid is, where the plain fraction of c_k <= u is off by far."""
    probs, labels = draw(space, 20_000)
    levels = np.arange(1, 10) / 10
    curve = metrics.calibration_curve(probs, labels, space, levels)
    np.testing.assert_allclose(curve, levels, atol=0.012)  # 3 standard errors and a bit
    assert metrics.quantile_calibration_error(probs, labels, space, levels) < 5e-5
    assert metrics.ece(probs, labels, space) < 0.02
    own_mass = probs.cumsum(1)[np.arange(len(labels)), np.searchsorted(space.values, labels)]
    plain = np.mean(own_mass[:, None] <= levels, axis=0)
    assert np.abs(plain - levels).max() > 0.08

    sharp, labels = draw(space, 20_000, sharpen=3.0)
    assert metrics.quantile_calibration_error(sharp, labels, space, levels) > 3e-3
    assert metrics.ece(sharp, labels, space) > 0.1
    calibrated = metrics.interval_coverage(probs, labels, space)
    overconfident = metrics.interval_coverage(sharp, labels, space)
    assert calibrated.fraction > 0.9 > overconfident.fraction
    assert calibrated.width > overconfident.width


@pytest.mark.parametrize("name", CASES)
def test_a_kept_nan_label(name: str) -> None:
    probs, labels = rows(AGE)
    labels[2] = np.nan
    got = numbers(CASES[name][0](probs, labels, AGE, None))
    if name in ("coverage", "shortest", "ece"):  # a miss
        labels[2] = AGE.values[int(np.argmin(probs[2]))]
        np.testing.assert_array_equal(got, numbers(CASES[name][0](probs, labels, AGE, None)))
    else:
        assert np.isnan(got).all()


P, Y = np.full((2, 101), 1 / 101), np.zeros(2)
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    **{
        f"probs of {name}": (
            lambda ours=ours: ours(P[:, :5], Y, AGE, None),
            r"probs.*101\].*\[2, 5\]",
        )
        for name, (ours, _) in CASES.items()
    },
    **{
        f"labels of {name}": (lambda ours=ours: ours(P, Y[:1], AGE, None), r"labels.*\[2\].*\[1\]")
        for name, (ours, _) in CASES.items()
    },
    "one row": (lambda: metrics.nll(P[0], 0.0, AGE), r"probs.*\[N, 101\].*\[101\]"),
    "bins": (lambda: metrics.ece(P, Y, AGE, 0), "bins.*got 0"),
    "level": (lambda: metrics.interval_coverage(P, Y, AGE, 1.1), "level.*1.1"),
    "levels": (lambda: metrics.calibration_curve(P, Y, AGE, [0.5, -0.25]), "levels.*-0.25"),
    "no level": (lambda: metrics.quantile_calibration_error(P, Y, AGE, []), "levels"),
    "mask": (lambda: metrics.crps(P, Y, AGE, np.ones(3)), r"mask.*\[2\].*\[3\]"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
