"""The measures between distributions against SciPy's, in float64."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
from scipy import special, stats
from scipy.spatial import distance

from ldl_jax import metrics
from ldl_jax.labels import LabelSpace

K = 9
# name -> of one learned and one true distribution, float64
EXPECTED: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "kl_to_truth": lambda p, q: special.rel_entr(q, p).sum(),
    "chebyshev": distance.chebyshev,
    "clark": lambda p, q: np.sqrt(np.sum(((p - q) / (p + q))[p + q > 0] ** 2)),
    "canberra": distance.canberra,  # SciPy too takes 0/0 as 0
    "cosine": lambda p, q: 1 - distance.cosine(p, q),
    "intersection": lambda p, q: np.minimum(p, q).sum(),
    "euclidean": distance.euclidean,
    "jensen_shannon": lambda p, q: distance.jensenshannon(p, q) ** 2,
}
SAME = {"cosine": 1.0, "intersection": 1.0}


def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    probs, truth = (rng.dirichlet(np.full(K, 0.7), 20).astype(np.float32) for _ in range(2))
    truth[0] = np.eye(K)[3]
    probs[1] = 0.5 * np.eye(K)[2] + 0.5 * np.eye(K)[5]
    truth[1] = 0.1 * np.eye(K)[2] + 0.9 * np.eye(K)[5]  # 0/0 in most terms
    return probs, truth


@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")
@pytest.mark.parametrize("name", EXPECTED)
def test_rows_and_their_mean(name: str) -> None:
    probs, truth = rows()
    kept = np.arange(20) % 3 > 0
    with np.errstate(invalid="ignore"):
        expected = np.array(
            [EXPECTED[name](p, q) for p, q in zip(*map(np.float64, rows()), strict=True)]
        )
    probs[~kept], truth[~kept] = np.nan, np.nan
    got = jax.jit(getattr(metrics, name))(probs, truth, kept)
    np.testing.assert_allclose(got, np.where(kept, expected, 0), rtol=2e-5, atol=1e-7)
    metric = getattr(metrics, name)
    mean = metric.result(metric.update(metric.init(), probs, truth, kept))
    np.testing.assert_allclose(mean, expected[kept].mean(), rtol=1e-5)
    assert mean == metrics.ldl_measures(probs, truth, kept).get(name, mean)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_same_distribution(name: str) -> None:
    _, truth = rows()
    got = getattr(metrics, name)(truth, truth)
    np.testing.assert_allclose(got, SAME.get(name, 0.0), atol=3e-7)
    if name == "cosine":
        assert np.asarray(got).max() <= 1


def test_disjoint_distributions() -> None:
    p, q = np.eye(K)[:1], np.eye(K)[1:2]
    got = {name: getattr(metrics, name)(p, q)[0] for name in EXPECTED if name != "kl_to_truth"}
    expected = {"chebyshev": 1, "clark": np.sqrt(2), "canberra": 2, "cosine": 0, "intersection": 0}
    expected |= {"euclidean": np.sqrt(2), "jensen_shannon": np.log(2)}
    assert got == pytest.approx(expected, rel=1e-6)
    assert 87 < metrics.kl_to_truth(p, q)[0] < 88


def test_rows_of_zeros_are_no_nan() -> None:
    nothing = np.zeros((1, K))
    for name in EXPECTED:
        assert getattr(metrics, name)(nothing, nothing)[0] == 0


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_kept_must_be_known(name: str) -> None:
    probs, truth = rows()
    truth[4, 2] = np.nan
    got = np.asarray(getattr(metrics, name)(probs, truth))
    np.testing.assert_array_equal(np.isnan(got), np.arange(20) == 4)


@pytest.mark.parametrize("name", EXPECTED)
def test_refused(name: str) -> None:
    probs, truth = rows()
    measure = getattr(metrics, name)
    with pytest.raises(ValueError, match=r"truth.*\[20, 9\].*\[20, 8\]"):
        measure(probs, truth[:, :8])
    with pytest.raises(ValueError, match=r"probs.*\[N, K\].*\[9\]"):
        measure(probs[0], truth[0])
    with pytest.raises(ValueError, match=r"mask.*\[20\].*\[3\]"):
        measure(probs, truth, np.ones(3))


def test_the_earth_mover_s_distance_is_scipy_s_and_so_are_all_measures() -> None:
    space = LabelSpace((0.0, 1.0, 2.5, 4.0, 9.0, 10.0, 11.0, 12.0, 20.0))
    probs, truth = rows()
    truth[4] = np.nan
    expected = np.array(
        [
            np.nan
            if np.isnan(q).any()
            else stats.wasserstein_distance(space.values, space.values, p, q)
            for p, q in zip(probs.astype(np.float64), truth.astype(np.float64), strict=True)
        ]
    )
    measured = jax.jit(metrics.measures, static_argnames="space")(probs, truth, space=space)
    np.testing.assert_allclose(measured["truth_emd"], expected, rtol=2e-5, atol=1e-6)
    assert all(np.isnan(x).tolist() == np.isnan(expected).tolist() for x in measured.values())
    metric, known = metrics.earth_mover.over(space), ~np.isnan(expected)
    mean = metric.result(metric.update(metric.init(), probs, truth, known))
    np.testing.assert_allclose(mean, np.nanmean(expected), rtol=1e-5)
    np.testing.assert_allclose(metric(probs, truth, known)[4], 0)
    np.testing.assert_allclose(
        metrics.earth_mover(probs, truth, space)[:4], expected[:4], rtol=2e-5
    )
