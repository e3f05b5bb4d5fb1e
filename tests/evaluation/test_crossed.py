"""Differences over pictures and seeds, Holm's p-values, and the rows of a benchmark."""

import numpy as np
import pytest
from scipy import stats

from ldl_jax.evaluation import contrasts, scored
from ldl_jax.evaluation.compare import crossed_difference, holm
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace


def test_single_runs_are_a_paired_t_test():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(5, 2, (2, 60))
    found = crossed_difference(ours, theirs)
    expected = stats.ttest_rel(ours, theirs)
    np.testing.assert_allclose(found.mean, np.mean(ours - theirs))
    np.testing.assert_allclose(found.p, expected.pvalue)
    np.testing.assert_allclose(found[1:3], expected.confidence_interval(0.95))


def test_pictures_that_are_alike_leave_welchs_test_of_the_seeds():
    rng = np.random.default_rng(1)
    first, second = rng.normal(5, 0.1, 4), rng.normal(5.1, 0.3, 7)
    found = crossed_difference(*(np.repeat(x[:, None], 50, axis=1) for x in (first, second)))
    expected = stats.ttest_ind(first, second, equal_var=False)
    np.testing.assert_allclose(found.p, expected.pvalue)
    np.testing.assert_allclose(found[1:3], expected.confidence_interval(0.95))


def test_pictures_of_a_person_count_as_one():
    rng = np.random.default_rng(2)
    ours, theirs = rng.normal(5, 2, (2, 40))
    twice = crossed_difference(np.repeat(ours, 2), np.repeat(theirs, 2), np.repeat(range(40), 2))
    np.testing.assert_allclose(twice, crossed_difference(ours, theirs))
    apart = crossed_difference(np.repeat(ours, 2), np.repeat(theirs, 2))
    assert apart.high - apart.low < twice.high - twice.low


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Crossed random effects of pictures and seeds; the two methods differ by 0.3 in truth."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(1000):
        runs = []
        for shift in (0.3, 0.0):
            picture, seed = rng.normal(0, 1, 80), rng.normal(0, 0.2, (5, 1))
            runs.append(shift + picture + seed + rng.normal(0, 0.5, (5, 80)))
        found = crossed_difference(*runs)
        held += found.low <= 0.3 <= found.high
    assert 940 <= held <= 985


def test_without_any_spread_there_is_no_doubt():
    assert crossed_difference(np.ones((2, 3)), np.ones((2, 3))) == (0.0, 0.0, 0.0, 1.0)
    assert crossed_difference(np.ones((2, 3)), np.zeros((2, 3))) == (1.0, 1.0, 1.0, 0.0)


def test_bad_arguments():
    with pytest.raises(ValueError, match="theirs: expected errors of 3 pictures"):
        crossed_difference(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="level: expected between 0 and 1, got 2"):
        crossed_difference(np.ones((2, 3)), np.ones((2, 3)), level=2)


def test_holm_is_its_definition():
    p = [0.04, 0.001, 0.03, 0.2, 0.9]
    # 5 x .001; 4 x .03; then never less than the one before: 3 x .04, 2 x .2, .9.
    np.testing.assert_allclose(holm(p), [0.12, 0.005, 0.12, 0.4, 0.9])
    assert holm([]) == []
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def run_of(seed, spread, **changes):
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(0).uniform(20, 60, 40).astype(np.float32)
    values = np.clip(labels + rng.normal(0, spread, 40), 0, 100)
    space = LabelSpace.range(0, 100)
    probs = np.exp(-0.5 * ((np.asarray(space.values) - values[:, None]) / 3) ** 2)
    fields = {
        "ids": tuple(f"{n:02}" for n in range(40)),
        "labels": labels,
        "values": values,
        "probs": probs / probs.sum(axis=1, keepdims=True),
        "space": space,
    } | changes
    return Predictions(**fields)


def test_rows_their_metrics_and_contrasts(tmp_path):
    keys = ("mae", "balanced_mae", "nll", "ca5")
    rows = {
        "a": scored.score([run_of(seed, 3.0) for seed in (1, 2, 3)], keys),
        "b": scored.score([run_of(seed, 5.0) for seed in (4, 5, 6)], keys),
        "c": scored.score([run_of(7, 9.0)], keys),
    }
    for row in rows.values():
        np.testing.assert_allclose(row.numbers["mae"], row.errors.mean(axis=1), rtol=1e-5)
        assert set(row.numbers) == set(keys)
    found = scored.contrasts(rows, dict.fromkeys(rows, rows["a"]))
    assert set(found) == {"b", "c"}
    raw = [scored.contrast(rows[name], rows["a"]).p for name in ("b", "c")]
    assert [p for _, p in found.values()] == holm(raw)
    assert scored.contrast_cells(found["c"])[0].startswith("+")
    assert scored.cell(rows["a"].numbers["mae"], "mae").count("±") == 1
    contrasts.draw(tmp_path / "a.png", {"part": {name: x for name, (x, _) in found.items()}})
    assert (tmp_path / "a.png").stat().st_size > 1000
    other = run_of(1, 3.0, ids=tuple(f"x{n}" for n in range(40)))
    assert scored.contrast(rows["a"], scored.score([other], keys)) is None
    with pytest.raises(ValueError, match="runs: expected the same pictures"):
        scored.score([run_of(1, 3.0), other], keys)


def test_a_value_alone_has_no_distribution():
    alone = run_of(1, 3.0)
    low = np.floor(alone.values).astype(int)
    probs = np.zeros((40, 101), np.float32)
    share = alone.values - low
    probs[np.arange(40), low] = 1 - share
    probs[np.arange(40), np.minimum(low + 1, 100)] += share
    row = scored.score([run_of(1, 3.0, probs=probs)], ("mae", "nll", "crps"))
    assert set(row.numbers) == {"mae"}
    assert scored.cell(row.numbers.get("nll"), "nll") == "–"
