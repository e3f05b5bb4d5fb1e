"""Decoders against float64 NumPy written here from their definitions."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from ldl_jax import decoders, encodings
from ldl_jax.labels import ADIENCE, AGE, SCUT_FBP, LabelSpace

UNEVEN = LabelSpace((0, 1, 2.5, 4, 9))
SPACES = (AGE, UNEVEN)


@pytest.fixture(autouse=True)
def _strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@functools.cache
def compiled(name, space):
    return jax.jit(functools.partial(getattr(decoders, name), space=space))


def draw(space, batch=8, seed=0, concentration=0.3):
    probs = np.random.default_rng(seed).dirichlet(np.full(space.size, concentration), batch)
    return probs.astype(np.float32)


def np_quantile(p, space, level):
    mass = np.cumsum(p.astype(np.float64), axis=-1)
    reached = mass >= (level - 1e-6) * mass[:, -1:]
    return np.asarray(space.values)[np.argmax(reached, axis=-1)]


def np_variance(p, space):
    v, p = np.asarray(space.values), p.astype(np.float64)
    return p @ v**2 - (p @ v) ** 2


REFERENCES = {
    "expectation": lambda p, space: p.astype(np.float64) @ np.asarray(space.values),
    "median": lambda p, space: np_quantile(p, space, 0.5),
    "mode": lambda p, space: np.asarray(space.values)[p.argmax(axis=-1)],
    "variance": np_variance,
}


@pytest.mark.parametrize("space", SPACES, ids=lambda space: str(space.size))
@pytest.mark.parametrize("name", REFERENCES)
def test_values(name, space):
    p = draw(space, seed=1)
    actual = compiled(name, space)(p)
    assert actual.shape == (8,)
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, REFERENCES[name](p, space), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("name", REFERENCES)
def test_shapes_vmap_order_and_bfloat16(name):
    decode = functools.partial(getattr(decoders, name), space=AGE)
    low_precision = draw(AGE, seed=2).astype(jnp.bfloat16)
    p = low_precision.astype(np.float32)

    @jax.jit
    def forms(p, low_precision):
        pairs = low_precision.reshape(2, 4, 101)
        return jax.vmap(decode)(p), decode(pairs)

    mapped, nested = forms(p, low_precision)
    batch = compiled(name, AGE)(p)
    assert nested.dtype == jnp.float32
    np.testing.assert_allclose(decode(p), batch, rtol=1e-5)
    np.testing.assert_allclose(mapped, batch, rtol=1e-5)
    np.testing.assert_allclose(np.ravel(nested), batch, rtol=1e-5)
    np.testing.assert_allclose(compiled(name, AGE)(p[::-1]), batch[::-1], rtol=1e-5)


def test_entropy():
    entropy = jax.jit(jax.value_and_grad(lambda p: decoders.entropy(p)))
    for p in draw(AGE, seed=3):
        value, _ = entropy(p)
        np.testing.assert_allclose(value, stats.entropy(p.astype(np.float64)), rtol=1e-4)
    value, gradient = entropy(np.eye(101, dtype=np.float32)[3])
    np.testing.assert_allclose(value, 0, atol=1e-7)
    assert np.isfinite(gradient).all()
    value, _ = entropy(np.full(101, 1 / 101, np.float32))
    np.testing.assert_allclose(value, np.log(101), rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(SPACES), st.floats(0.05, 2))
def test_each_decoder_minimises_its_cost(seed, space, concentration):
    p = draw(space, 4, seed, concentration)
    v = np.asarray(space.values)
    distance = np.abs(v[:, None] - v[None])
    costs = {"median": distance, "mode": 1 - np.eye(space.size)}
    for name, cost in costs.items():
        decided = np.asarray(compiled(name, space)(p), np.float64)
        at = np.abs(v - decided[:, None]).argmin(axis=-1)
        risk = p.astype(np.float64) @ cost.T
        assert (risk[np.arange(4), at] <= risk.min(axis=-1) + 1e-4).all(), name
        best = compiled("minimum_cost", space)(p, cost=cost.astype(np.float32))
        at = np.abs(v - np.asarray(best, np.float64)[:, None]).argmin(axis=-1)
        assert (risk[np.arange(4), at] <= risk.min(axis=-1) + 1e-4).all(), name
    mean = np.asarray(compiled("expectation", space)(p), np.float64)
    square = (p * (v - mean[:, None]) ** 2).sum(-1)
    np.testing.assert_allclose(compiled("variance", space)(p), square, rtol=1e-4, atol=1e-5)


def test_minimum_cost_of_an_asymmetric_cost_is_a_quantile():
    # To be a year too old costs a third of being a year too young: the 3/4 quantile.
    v = np.asarray(AGE.values)
    over = np.maximum(v[:, None] - v[None], 0)
    under = np.maximum(v[None] - v[:, None], 0)
    p = draw(AGE, seed=4)
    actual = compiled("minimum_cost", AGE)(p, cost=(over + 3 * under).astype(np.float32))
    np.testing.assert_array_equal(actual, np_quantile(p, AGE, 0.75))


def test_quantiles():
    p = draw(AGE, seed=5)
    for level in (0.0, 0.1, 0.5, 0.9, 1.0):
        expected = np_quantile(p, AGE, level)
        quantile = functools.partial(compiled("quantile", AGE), level=np.float32(level))
        np.testing.assert_allclose(quantile(p), expected)
        np.testing.assert_allclose(quantile(7 * p), expected)
    np.testing.assert_allclose(decoders.quantile(p, AGE, 0.3), np_quantile(p, AGE, 0.3))


def test_ties_go_to_the_lower_value():
    space = LabelSpace.range(0, 3)
    ends, even = np.float32([0.5, 0, 0, 0.5]), np.full(4, 0.25, np.float32)
    assert np.asarray(compiled("median", space)(np.stack([ends, even]))).tolist() == [0, 1]
    assert decoders.mode(np.array([0.1, 0.4, 0.1, 0.4]), space) == 1
    tenths = np.full((8, 10), 0.1, np.float32)
    ten = LabelSpace.range(0, 9)
    assert (np.asarray(compiled("quantile", ten)(tenths, level=np.float32(0.3))) == 2).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(SPACES), st.floats(0, 1))
def test_intervals_hold_their_coverage(seed, space, coverage):
    p = draw(space, 5, seed, 0.5)
    v = np.asarray(space.values, np.float32)
    lengths = {}
    for name in ("interval", "highest_density_interval"):
        low, high = (np.asarray(x) for x in compiled(name, space)(p, coverage=np.float32(coverage)))
        held = np.where((v >= low[:, None]) & (v <= high[:, None]), p, 0).sum(-1)
        assert (held >= coverage - 1e-5).all(), name
        lengths[name] = high - low
    assert (lengths["highest_density_interval"] <= lengths["interval"] + 1e-4).all()


@pytest.mark.parametrize("space", [UNEVEN, LabelSpace.range(0, 6)])
def test_highest_density_interval_is_the_shortest_by_search(space):
    p = draw(space, 20, seed=6, concentration=1.0)
    v = np.asarray(space.values)
    for coverage in (0.0, 0.5, 0.8, 1.0):
        ends = compiled("highest_density_interval", space)(p, coverage=np.float32(coverage))
        low, high = (np.asarray(end) for end in ends)
        for n in range(20):
            runs = [
                (v[j] - v[i], -p[n, i : j + 1].sum(dtype=np.float64), v[i])
                for i, j in itertools.combinations_with_replacement(range(space.size), 2)
                if p[n, i : j + 1].sum(dtype=np.float64) >= coverage - 1e-6
            ]
            length, _, first = min(runs)
            assert low[n] == np.float32(first)
            np.testing.assert_allclose(high[n] - low[n], length, atol=1e-5)


def test_intervals_of_a_gaussian_are_the_normal_ones():
    space = LabelSpace.range(0, 100, 0.25)
    probs = stats.norm.pdf(np.asarray(space.values), 50.0, 5.0)
    probs = (probs / probs.sum()).astype(np.float32)
    coverage = np.float32(0.9)
    ends = np.asarray(compiled("interval", space)(probs, coverage=coverage))
    np.testing.assert_allclose(ends, [50 - 8.224, 50 + 8.224], atol=0.25)
    ends = np.asarray(compiled("highest_density_interval", space)(probs, coverage=coverage))
    np.testing.assert_allclose(ends, [50 - 8.224, 50 + 8.224], atol=0.5)


# Ranks.


@pytest.mark.parametrize("space", SPACES, ids=lambda space: str(space.size))
def test_ranks_decode_to_their_label(space):
    values = np.asarray(space.values, np.float32)
    ranks = np.tri(space.size, space.size - 1, -1, dtype=np.float32)
    np.testing.assert_array_equal(encodings.rank(values, space), ranks)
    np.testing.assert_allclose(compiled("rank_count", space)(ranks), values)
    np.testing.assert_allclose(compiled("rank_expectation", space)(ranks), values, rtol=1e-5)


def test_rank_expectation_is_the_expectation_of_the_implied_distribution():
    for space in (AGE, UNEVEN):
        p = draw(space, space.size, seed=7)
        ranks = 1 - np.cumsum(p.astype(np.float64), axis=-1)[:, :-1]
        expected = REFERENCES["expectation"](p, space)
        actual = compiled("rank_expectation", space)(ranks.astype(np.float32))
        np.testing.assert_allclose(actual, expected, rtol=2e-5)


def test_conditional_ranks_multiply_and_never_rise():
    logits = np.random.default_rng(8).normal(size=(4, 100)).astype(np.float32)
    expected = np.cumprod(special.expit(logits.astype(np.float64)), axis=-1)
    convert = jax.jit(decoders.ranks_from_conditional)
    np.testing.assert_allclose(convert(logits), expected, rtol=1e-4)
    assert (np.diff(convert(logits), axis=-1) <= 0).all()
    extreme = np.where(np.arange(100) == 40, -1e4, 1e4) * np.ones((4, 1))
    expected = np.broadcast_to(np.arange(100) < 40, (4, 100))
    np.testing.assert_array_equal(convert(extreme.astype(np.float32)), expected)


# CEN's two heads, SSR-Net's stages, the mirror image.


def test_cen_estimate_is_equations_16_to_18():
    space = LabelSpace.range(16, 77)
    p, score = draw(space, seed=9), np.linspace(-0.1, 1.1, 8).astype(np.float32)
    regressed = 61 * score.astype(np.float64) + 16
    np.testing.assert_allclose(decoders.from_score(score, space), regressed, rtol=1e-5)
    by_ldl = p.astype(np.float64) @ np.asarray(space.values)
    expected = (by_ldl + regressed) / 2
    np.testing.assert_allclose(decoders.coupled(p, score, space), expected, rtol=1e-5)


def np_soft_stagewise(probs, offsets, deltas, span, eta=1.0, lam=1.0):
    total, width = 0.0, span
    for p, o, d in zip(probs, offsets, deltas, strict=True):
        width = width / (p.shape[-1] * (1 + lam * d))
        total = total + width * sum(p[..., i] * (i + eta * o[..., i]) for i in range(p.shape[-1]))
    return total


def test_soft_stagewise_is_equation_7():
    rng = np.random.default_rng(10)
    sizes = (3, 4, 2)
    probs = [rng.uniform(0, 1, (5, s)) for s in sizes]
    offsets = [np.tanh(rng.normal(size=(5, s))) for s in sizes]
    deltas = [np.tanh(0.5 * rng.normal(size=5)) for s in sizes]
    decode = jax.jit(functools.partial(decoders.soft_stagewise, span=101.0))
    expected = np_soft_stagewise(probs, offsets, deltas, 101.0)
    np.testing.assert_allclose(decode(probs, offsets, deltas), expected, rtol=2e-5)
    options = {"offset_scale": 0.5, "delta_scale": 0.99, "low": 7.0}
    actual = decoders.soft_stagewise(probs, offsets, deltas, 101.0, **options)
    expected = 7 + np_soft_stagewise(probs, offsets, deltas, 101.0, 0.5, 0.99)
    np.testing.assert_allclose(actual, expected, rtol=2e-5)


def test_soft_stagewise_refines_the_example_of_the_paper():
    # V = 90, s = (3, 3): bins of 30, then of 10. Certain of the second of each: 30 + 10.
    one = np.array([0.0, 1.0, 0.0])
    zero = np.zeros(3)
    value = decoders.soft_stagewise([one, one], [zero, zero], [0.0, 0.0], 90.0)
    np.testing.assert_allclose(value, 40, rtol=1e-6)


def test_soft_stagewise_is_finite_where_the_paper_s_divides_by_zero():
    @jax.jit
    @jax.value_and_grad
    def value(delta):
        stage = np.full(3, 1 / 3)
        return decoders.soft_stagewise([stage] * 3, [stage] * 3, [delta] * 3, 101.0)

    result, gradient = value(np.float32(-1.0))
    assert np.isfinite([result, gradient]).all()


def test_flip_average_of_expectations_is_that_of_probabilities():
    a, b = draw(AGE, seed=11), draw(AGE, seed=12)
    expectation = compiled("expectation", AGE)
    of_values = decoders.flip_average(expectation(a), expectation(b))
    of_probs = expectation(decoders.flip_average(a, b))
    np.testing.assert_allclose(of_values, of_probs, rtol=1e-5)


# What is refused.


P101 = np.full(101, 1 / 101, np.float32)
REFUSED = {
    **{
        name: (lambda name=name: getattr(decoders, name)(np.ones((2, 100)), AGE), r"101\].*100")
        for name in (*REFERENCES, "interval", "highest_density_interval")
    },
    "rank_count": (lambda: decoders.rank_count(P101, AGE), r"rank_probs.*100\].*101"),
    "cost": (lambda: decoders.minimum_cost(P101, AGE, np.ones((5, 5))), r"cost.*\[101, 101\]"),
    "level": (lambda: decoders.quantile(P101, AGE, 1.5), "level.*1.5"),
    "coverage": (lambda: decoders.interval(P101, AGE, -0.1), "coverage"),
    "score": (lambda: decoders.coupled(P101, np.ones(2), AGE), r"score.*\[\]"),
    "stages": (lambda: decoders.soft_stagewise([P101], [], [0.0], 9.0), "1, 0 and 1"),
    "offsets": (lambda: decoders.soft_stagewise([P101], [P101[:3]], [0.0], 9.0), r"offsets\[0\]"),
    "flipped": (lambda: decoders.flip_average(P101, P101[:3]), r"flipped.*\[101\]"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_at_trace_time(what):
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        jax.jit(call)()


def test_a_share_at_or_above_a_threshold():
    """Whole years: 18 takes all of 18 and nothing of 17, and between two values it is linear."""
    probs = np.random.default_rng(0).dirichlet(np.ones(AGE.size), 5)
    values = np.asarray(AGE.values)
    for t in (0, 1, 18, 99, 100):
        expected = probs[:, values >= t].sum(1)
        np.testing.assert_allclose(decoders.prob_at_least(probs, AGE, t), expected, rtol=1e-5)
    at = [np.asarray(decoders.prob_at_least(probs, AGE, t)) for t in (18, 18.25, 19)]
    np.testing.assert_allclose(at[1], 0.75 * at[0] + 0.25 * at[2], rtol=1e-5)
    np.testing.assert_allclose(decoders.prob_at_least(7 * probs, AGE, 18), at[0], rtol=1e-5)
    assert np.all(decoders.prob_at_least(probs, AGE, 0) == 1)
    jitted = jax.jit(decoders.prob_at_least, static_argnums=1)
    np.testing.assert_array_equal(jitted(probs, AGE, 18.25), at[1])
    assert np.isnan(decoders.prob_at_least(probs[0] * np.nan, AGE, 18))


def test_a_share_at_or_above_a_threshold_of_groups_and_scores():
    probs = np.eye(8)[3]  # 15 to 20, up to the 21st birthday
    shares = [float(decoders.prob_at_least(probs, ADIENCE, t)) for t in (15, 18, 20, 25)]
    np.testing.assert_allclose(shares, [1, 0.5, 1 / 6, 0], atol=1e-6)
    last = float(decoders.prob_at_least(np.eye(8)[7], ADIENCE, 100))
    np.testing.assert_allclose(last, 1 / 41, rtol=1e-5)
    space = LabelSpace.groups([(1, 2), (3, 3)], unit="score")
    assert float(decoders.prob_at_least([0.25, 0.75], space, 1.5)) == pytest.approx(0.875)
    assert float(decoders.prob_at_least([0.25, 0.75], space, 3)) == pytest.approx(0.75)
    half = decoders.prob_at_least(np.eye(41)[20], SCUT_FBP, 3.05)
    assert float(half) == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("t", [-1, 100.5, float("nan")])
def test_thresholds_outside_the_labels(t):
    message = rf"^t: expected a threshold within the labels, 0 to 100 years, got {t:g}$"
    with pytest.raises(ValueError, match=message):
        decoders.prob_at_least(np.ones(101), AGE, t)
