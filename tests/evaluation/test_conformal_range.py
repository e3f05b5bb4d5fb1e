"""The spread of what conformal intervals hold: against the exact law, and against draws."""

import math

import numpy as np
import pytest

from ldl_jax import calibration
from ldl_jax.evaluation import rates


def exact(calibrated, tested, index):
    """P(k of M new scores lie below the r-th of N) = C(k+r-1, k) C(M-k+N-r, M-k) / C(M+N, M).

    All orders of M + N unequal scores are alike: the r-th of the N stands behind k of the M.
    """
    N, M, r = calibrated, tested, index
    ways = [math.comb(k + r - 1, k) * math.comb(M - k + N - r, M - k) for k in range(M + 1)]
    assert sum(ways) == math.comb(M + N, M)
    return np.array([way / math.comb(M + N, M) for way in ways])


@pytest.mark.parametrize(
    ("calibrated", "tested", "coverage"), [(9, 20, 0.9), (60, 45, 0.8), (120, 400, 0.9)]
)
def test_the_range_is_that_of_the_exact_law(calibrated, tested, coverage):
    law = exact(calibrated, tested, calibration.rank(calibrated, coverage))
    low, high = (round(x * tested) for x in rates.conformal_range(calibrated, tested, coverage))
    below = np.concatenate([[0], np.cumsum(law)])  # below[k]: fewer than k
    assert below[low] < 0.025 <= below[low + 1] + 1e-12
    assert below[high] < 0.975 <= below[high + 1] + 1e-12
    mean = float(np.sum(law * np.arange(tested + 1)) / tested)
    assert mean == pytest.approx(calibration.rank(calibrated, coverage) / (calibrated + 1))


def test_drawn_thresholds_keep_the_law():
    """The product's own thresholds, of scores that are drawn 2,000 times."""
    rng, calibrated, tested, coverage = np.random.default_rng(0), 60, 45, 0.8
    scores = rng.normal(size=(2000, calibrated + tested)).astype(np.float32)
    limits = [calibration.thresholds(row[:calibrated], [coverage])[0] for row in scores]
    counts = (scores[:, calibrated:] <= np.asarray(limits)[:, None]).sum(1)
    law = exact(calibrated, tested, calibration.rank(calibrated, coverage))
    observed = np.cumsum(np.bincount(counts, minlength=tested + 1)) / len(counts)
    assert np.abs(observed - np.cumsum(law)).max() < 1.63 / len(counts) ** 0.5  # Kolmogorov's, 1 %


def test_of_ever_more_pictures_it_is_the_beta_law():
    many = rates.conformal_range(1291, 10**6, 0.9)
    assert rates.conformal_range(1291, None, 0.9) == pytest.approx(many, abs=1e-3)
    narrow, wide = rates.conformal_range(10_000, None, 0.9), rates.conformal_range(100, None, 0.9)
    assert wide[0] < narrow[0] < 0.9 < narrow[1] < wide[1]


def test_too_few_labels():
    with pytest.raises(ValueError, match=r"8 labels are too few for a coverage of 0\.9"):
        rates.conformal_range(8, 100, 0.9)
