"""Encodings against float64 NumPy and SciPy, and the relations that Sec. 3.2 of DLDL-v2 claims."""

import functools
import itertools
import math

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
COARSE = LabelSpace.range(0, 100, 4)
FINE = LabelSpace.range(0, 100, 0.25)
SPACES = {"scut_fbp": SCUT_FBP, "uneven": UNEVEN, "adience": ADIENCE}


@pytest.fixture(autouse=True)
def _strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@functools.cache
def compiled(name, space, **options):
    return jax.jit(functools.partial(getattr(encodings, name), space=space, **options))


def labels_of(space, batch=12, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.uniform(space.low, space.high, batch)
    y[::3] = rng.choice(space.values, len(y[::3]))
    return y.astype(np.float32)


def values(space):
    return np.asarray(space.values)


def normalise(p):
    return p / p.sum(axis=-1, keepdims=True)


def np_gaussian(y, space):
    return normalise(stats.norm.pdf(values(space), y[:, None].astype(np.float64), 2.0))


def np_laplace(y, space):
    return normalise(stats.laplace.pdf(values(space), y[:, None].astype(np.float64), 2.0))


def np_sord(y, space):
    return special.softmax(-np.abs(values(space) - y[:, None].astype(np.float64)), axis=-1)


def np_edges(space):
    v = values(space)
    middle = (v[1:] + v[:-1]) / 2
    if space is ADIENCE:  # the gaps' nearest-value thresholds, written out
        middle = np.array([3, 7.75, 14, 23, 34.5, 45.5, 60])
        return np.concatenate([[0], middle, [100]])
    return np.concatenate([[v[0] - (v[1] - v[0]) / 2], middle, [v[-1] + (v[-1] - v[-2]) / 2]])


def np_hl_gauss(y, space):
    return normalise(np.diff(stats.norm.cdf(np_edges(space), y[:, None].astype(np.float64), 2.0)))


def np_two_hot(y, space):
    v, p = values(space), np.zeros((len(y), space.size))
    for n, label in enumerate(y.astype(np.float64)):
        k = np.clip(np.searchsorted(v, label, side="right") - 1, 0, space.size - 2)
        upper = np.clip((label - v[k]) / (v[k + 1] - v[k]), 0, 1)
        p[n, k], p[n, k + 1] = 1 - upper, upper
    return p


def np_one_hot(y, space):
    if space is ADIENCE:
        return np.eye(8)[np.sum(y[:, None] > np_edges(space)[1:-1], axis=-1)]
    return np.eye(space.size)[np.abs(values(space) - y[:, None]).argmin(axis=-1)]


DENSITIES = {
    "one_hot": np_one_hot,
    "gaussian": np_gaussian,
    "laplace": np_laplace,
    "sord": np_sord,
    "hl_gauss": np_hl_gauss,
    "two_hot": np_two_hot,
}
CLASSWISE = ("exponential", "binomial", "poisson", "triangular", "beta")


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("name", DENSITIES)
def test_values(name, space):
    y = labels_of(space)
    actual = compiled(name, space)(y)
    assert actual.shape == (12, space.size)
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, DENSITIES[name](y, space), atol=2e-6)


@pytest.mark.parametrize("name", [*DENSITIES, *CLASSWISE])
def test_distributions_sum_to_one_in_every_shape_and_dtype(name):
    encode = functools.partial(getattr(encodings, name), space=AGE)
    whole = np.array([[3, 50, 100, 12], [0, 27, 99, 1], [5, 6, 7, 8]], np.int32)
    forms = jax.jit(lambda y: (encode(y), jax.vmap(jax.vmap(encode))(y)))
    batch, mapped = forms(whole)
    assert batch.shape == (3, 4, 101)
    np.testing.assert_allclose(batch.sum(-1), 1, rtol=1e-5)
    assert (np.asarray(batch) >= 0).all()
    np.testing.assert_allclose(mapped, batch, atol=1e-6)
    flat = compiled(name, AGE)(whole.ravel().astype(np.float32))
    np.testing.assert_allclose(flat, batch.reshape(12, 101), atol=1e-6)
    np.testing.assert_allclose(encode(27), batch[1, 1], atol=1e-6)


# Normal densities and their limits.


def test_gaussian_raw_density_is_equation_1():
    y = labels_of(AGE)
    raw = encodings.gaussian(y, AGE, 3.0, normalise=False)
    expected = stats.norm.pdf(values(AGE), y[:, None].astype(np.float64), 3.0)
    np.testing.assert_allclose(raw, expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", ["gaussian", "laplace", "hl_gauss", "cumulative"])
def test_a_width_a_label(name):
    def encode(y, width):
        return getattr(encodings, name)(y, AGE, width)

    forms = jax.jit(lambda y, s: (encode(y, s), jax.vmap(encode)(y, s), encode(y, s[7])))
    batch, mapped, seventh = forms(labels_of(AGE), np.linspace(0.3, 9, 12).astype(np.float32))
    np.testing.assert_allclose(mapped, batch, atol=1e-6)
    np.testing.assert_allclose(seventh[7], batch[7], atol=1e-6)
    assert np.abs(np.asarray(seventh - batch))[0].max() > 0.1


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_gaussian_without_width_is_one_hot_at_the_nearest_value(space):
    y = labels_of(space, seed=1)
    nearest = np.eye(space.size)[np.abs(values(space) - y[:, None]).argmin(axis=-1)]
    for sigma in (0.0, 1e-6, 1e-30):
        np.testing.assert_allclose(
            compiled("gaussian", space)(y, sigma=np.float32(sigma)), nearest, atol=1e-6
        )


def test_widthless_limits_half_way_between_two_values():
    half = np.zeros(101)
    half[33:35] = 0.5
    for encode in (encodings.gaussian, encodings.laplace, encodings.hl_gauss):
        np.testing.assert_allclose(encode(33.5, AGE, 0.0), half, atol=1e-6)
    assert encodings.one_hot(33.5, AGE)[33] == 1


@pytest.mark.parametrize("name", ["gaussian", "laplace", "hl_gauss", "cumulative"])
def test_gradients_by_label_and_width_are_finite(name):
    weights = np.random.default_rng(2).normal(size=101).astype(np.float32)

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1))
    def gradient(y, s):
        return jnp.sum(getattr(encodings, name)(y, AGE, s) * weights)

    for sigma in np.float32([0, 1e-8, 0.5, 1e4]):
        for y in np.float32([33, 33.5, 33.3, 0, 100, 250, -1e4]):
            assert np.isfinite(gradient(y, sigma)).all(), (y, sigma)


def test_normalised_is_equation_1_of_cen():
    y = np.array([16, 46.5, 77])
    scores = encodings.normalised(y, LabelSpace.range(16, 77))
    np.testing.assert_allclose(scores, [0, 0.5, 1])
    np.testing.assert_allclose(decoders.from_score(scores, LabelSpace.range(16, 77)), y)
    np.testing.assert_allclose(encodings.normalised(np.array([0, 50, 100]), ADIENCE), [0, 0.5, 1])


# Groups with gaps.


def test_one_hot_of_groups():
    labels = np.array([0, 2, 3, 4, 6, 7, 8, 13, 13.9, 22, 23.5, 53, 57, 60, 100])
    groups = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4, 6, 6, 7, 7]
    assert np.argmax(encodings.one_hot(labels, ADIENCE), axis=-1).tolist() == groups
    ranks = encodings.rank(labels, ADIENCE)
    assert ranks.shape == (15, 7)
    assert np.sum(ranks, axis=-1).tolist() == groups
    # Sums downwards: no rank is one above a rank that is zero.
    assert (np.diff(ranks, axis=-1) <= 0).all()


def test_every_label_of_a_group_is_that_group_s():
    for k, (low, high) in enumerate(ADIENCE.bounds):
        labels = np.linspace(low, high, 12).astype(np.float32)
        assert (np.argmax(compiled("one_hot", ADIENCE)(labels), axis=-1) == k).all()
        assert (np.sum(compiled("rank", ADIENCE)(labels), axis=-1) == k).all()


@pytest.mark.parametrize("name", ["one_hot", "two_hot", "hl_gauss", "gaussian"])
def test_labels_beyond_the_ends_take_the_end(name):
    outside = compiled(name, AGE)(np.repeat(np.float32([-1e6, -0.6, 100.6, 1e6]), 3))[::3]
    assert np.argmax(outside, axis=-1).tolist() == [0, 0, 100, 100]
    if name != "gaussian":
        np.testing.assert_array_equal(outside[0], outside[1])
        np.testing.assert_array_equal(outside[2], outside[3])


# Sec. 3.2 of DLDL-v2: ranking is learning a label distribution.


def test_rank_is_the_paper_s():
    # y in (l_{k-1}, l_k]: the first k-1 are one.
    y = np.float32([0, 0.01, 1, 1.01, 50, 50.5, 98.5, 99, 99.5, 100, 2, 3])
    ones = np.array([0, 1, 1, 2, 50, 51, 99, 99, 100, 100, 2, 3])
    np.testing.assert_array_equal(compiled("rank", AGE)(y), np.arange(100) < ones[:, None])


def test_cumulative_is_equations_2_and_3():
    y = labels_of(AGE)
    c = np.asarray(compiled("cumulative", AGE)(y, sigma=np.float32(3)))
    expected = stats.norm.cdf(values(AGE), y[:, None].astype(np.float64), 3.0)
    np.testing.assert_allclose(c, expected, atol=1e-6)
    below = values(AGE) < y[:, None]
    assert (1 - c > 0.5)[below & (np.abs(values(AGE) - y[:, None]) > 1e-3)].all()
    assert (1 - c <= 0.5)[~below].all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([AGE, UNEVEN, FINE]))
def test_rank_is_the_limit_of_one_minus_cumulative(seed, space):
    y = np.random.default_rng(seed).uniform(space.low, space.high, 12).astype(np.float32)
    off_the_grid = np.abs(values(space)[:-1] - y[:, None]) > 1e-3
    rank = np.asarray(compiled("rank", space)(y))
    cumulative = compiled("cumulative", space)
    gaps = [
        np.abs(1 - np.asarray(cumulative(y, sigma=np.float32(s)))[:, :-1] - rank)
        for s in (8, 2, 0.5, 0.05, 1e-5)
    ]
    # Eq. 4's difference shrinks with σ at every label and value, down to nothing.
    for wider, narrower in itertools.pairwise(gaps):
        assert (narrower <= wider + 1e-6)[off_the_grid].all()
    np.testing.assert_allclose(gaps[-1][off_the_grid], 0, atol=1e-6)


def test_at_a_value_of_the_grid_the_cumulative_is_one_half_and_the_rank_zero():
    assert encodings.cumulative(50, AGE, 0.0)[50] == 0.5
    assert encodings.rank(50, AGE)[50] == 0
    assert encodings.rank(50, AGE)[49] == 1


@pytest.mark.parametrize("space", [AGE, UNEVEN])
def test_equations_5_and_6_are_exact_for_one_hot(space):
    y = np.asarray(space.values, np.float32)
    one_hot = compiled("one_hot", space)(y)
    rank = compiled("rank", space)(y)
    np.testing.assert_array_equal(encodings.ranks_from_distribution(one_hot), rank)
    np.testing.assert_array_equal(encodings.distribution_from_ranks(rank), one_hot)


def test_transformation_matrix_sums_up_to_each_value():
    T = np.asarray(encodings.transformation_matrix(101), np.float64)
    y = labels_of(AGE)
    p = np_gaussian(y, AGE)
    np.testing.assert_allclose(p @ T.T, np.cumsum(p, axis=-1), atol=1e-12)
    ranks = encodings.ranks_from_distribution(p)
    np.testing.assert_allclose(ranks, 1 - (p @ T.T)[:, :-1], atol=1e-6)
    # T p of the normal density is its c.d.f., half a step on: a sum up to and with l_k.
    half_step = compiled("cumulative", AGE)(y - np.float32(0.5))
    inside = (y > 12) & (y < 88)
    np.testing.assert_allclose((p @ T.T)[inside], half_step[inside], atol=0.003)


MAP_BACK = jax.jit(
    lambda p: [
        encodings.distribution_from_ranks(encodings.ranks_from_distribution(p), clip=clip)
        for clip in (False, True)
    ]
)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([2, 3, 101]))
def test_ranks_and_distributions_map_back(seed, K):
    p = np.random.default_rng(seed).dirichlet(np.full(K, 0.3), (2, 3)).astype(np.float32)
    for back in MAP_BACK(p):
        np.testing.assert_allclose(back, p, atol=1e-6)


def test_inconsistent_ranks_are_clipped_to_a_distribution():
    ranks = np.array([[0.2, 0.9, 0.5, 0.7], [0.9, 0.6, 0.3, 0.1]])
    plain = encodings.distribution_from_ranks(ranks)
    np.testing.assert_allclose(plain[0], [0.8, -0.7, 0.4, -0.2, 0.7], atol=1e-6)
    clipped = encodings.distribution_from_ranks(ranks, clip=True)
    np.testing.assert_allclose(clipped[0], np.array([0.8, 0, 0.4, 0, 0.7]) / 1.9, atol=1e-6)
    np.testing.assert_allclose(clipped[1], plain[1], atol=1e-6)
    np.testing.assert_allclose(clipped.sum(-1), 1, rtol=1e-6)


# Decoding gives the label back.


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([AGE, FINE, COARSE]))
def test_decoding_an_encoding_gives_the_label_back(seed, space):
    step = space.values[1] - space.values[0]
    y = np.random.default_rng(seed).uniform(40, 60, 12).astype(np.float32)

    def error(name, decode, **options):
        probs = np.asarray(compiled(name, space)(y, **options), np.float64)
        return np.abs(decode(probs) - y).max() / step

    def expectation(p):
        return p @ values(space)

    def mode(p):
        return values(space)[p.argmax(-1)]

    width = np.float32(max(2.0, step))
    assert error("gaussian", expectation, sigma=width) < 1e-3
    # A bin's mass counts as its value's, and a peaked density is summed, not integrated.
    assert error("hl_gauss", expectation, sigma=width) < 0.01
    assert error("laplace", expectation, scale=width) < 0.1
    assert error("two_hot", expectation) < 1e-4
    assert error("one_hot", mode) <= 0.5 + 1e-4
    assert error("gaussian", mode, sigma=width) <= 0.5 + 1e-4


# Soft labels by index.


def test_exponential_and_binomial_and_poisson():
    k = np.arange(9)
    space = LabelSpace.range(0, 8)
    exponential = special.softmax(-(np.abs(k[:, None] - k[None]) ** 1.5) / 2.0, axis=-1)
    actual = encodings.exponential(k, space, power=1.5, temperature=2.0)
    np.testing.assert_allclose(actual, exponential, atol=1e-7)
    binomial = stats.binom.pmf(k[None], 8, np.linspace(0.1, 0.9, 9)[:, None])
    np.testing.assert_allclose(encodings.binomial(k, space), binomial, atol=1e-7)
    mass = stats.poisson.pmf(k[None], k[:, None] + 1)
    poisson = special.softmax(mass, axis=-1)
    np.testing.assert_allclose(encodings.poisson(k, space), poisson, atol=1e-7)
    cut_off = encodings.poisson(k, space, normalisation="sum")
    np.testing.assert_allclose(cut_off, normalise(mass), atol=1e-7)


def triangle_cdf(x, a, b, c):
    left = np.where(c > a, (x - a) ** 2 / ((b - a) * max(c - a, 1e-300)), 0)
    right = np.where(b > c, 1 - (b - x) ** 2 / ((b - a) * max(b - c, 1e-300)), 1)
    return np.where(x <= a, 0, np.where(x < c, left, np.where(x < b, right, 1)))


def test_triangular_is_the_mass_of_a_triangle_on_each_part():
    K, alpha = 7, 0.05
    table = np.asarray(encodings.triangular(np.arange(K), LabelSpace.range(0, K - 1), alpha))
    edges = np.linspace(0, 1, K + 1)
    half = 0.5 / (1 - math.sqrt(2 * alpha)) / K
    for j in range(1, K - 1):
        centre = (j + 0.5) / K
        mass = np.diff(triangle_cdf(edges, centre - half, centre + half, centre))
        np.testing.assert_allclose(table[j], mass, atol=1e-6)
    # At the ends the triangle is a right one; its mass beyond the end's own part is α_1 or α_3.
    excess = (1 - 2 * alpha) * (2 * alpha - math.sqrt(2 * alpha))
    for j, factor in ((0, 1), (K - 1, ((K - 1) / K) ** 2)):
        beyond = ((1 - math.sqrt(1 - 4 * excess * factor)) / 2) ** 2
        width = 1 / ((1 - math.sqrt(beyond)) * K)
        mass = np.diff(triangle_cdf(edges, 0, width, 0))
        np.testing.assert_allclose(table[j], mass if j == 0 else mass[::-1], atol=1e-6)


def test_triangular_and_binomial_golden_values():
    space = LabelSpace.range(0, 4)
    triangular = encodings.triangular(np.array([0, 1, 4]), space)
    expected = [[0.98845494, 0.01154505, 0, 0, 0], [0.01, 0.98, 0.01, 0, 0]]
    np.testing.assert_allclose(triangular[:2], expected, atol=1e-7)
    np.testing.assert_allclose(triangular[2], [0, 0, 0, 0.00505524, 0.99494475], atol=1e-7)
    np.testing.assert_allclose(
        encodings.binomial(2, space), [0.0625, 0.25, 0.375, 0.25, 0.0625], atol=1e-7
    )


@pytest.mark.parametrize("K", [5, 101])
def test_beta_is_the_mass_of_a_beta_distribution_on_each_part(K):
    space, j = LabelSpace.range(0, K - 1), np.arange(K)
    for concentration in (None, 4.0 * K):
        c = K * K if concentration is None else concentration
        a = c * (j + 0.5) / K
        cdf = special.betainc(a[:, None], (c - a)[:, None], np.linspace(0, 1, K + 1)[None])
        actual = np.asarray(encodings.beta(j, space, concentration))
        np.testing.assert_allclose(actual, np.diff(cdf), atol=1e-6)
        assert (np.argmax(actual, axis=-1) == j).all()


def test_beta_takes_published_shapes():
    shapes = [(1, 8), (6, 14), (12, 12), (14, 6), (8, 1)]
    actual = encodings.beta(np.arange(5), LabelSpace.range(0, 4), shapes=shapes)
    edges = np.linspace(0, 1, 6)
    expected = [np.diff(special.betainc(a, b, edges)) for a, b in shapes]
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["exponential", "triangular", "beta"])
def test_classwise_soft_labels_peak_at_the_label(name):
    for space in (AGE, ADIENCE):
        y = labels_of(space)
        peak = np.argmax(compiled(name, space)(y), axis=-1)
        np.testing.assert_array_equal(peak, np.argmax(compiled("one_hot", space)(y), axis=-1))


# What is refused.


REFUSED = {
    "sigma": (lambda: encodings.gaussian(3, AGE, -1.0), "sigma.*negative"),
    "sigma shape": (lambda: encodings.gaussian(np.zeros(3), AGE, np.ones(2)), r"sigma.*\[3\]"),
    "scale": (lambda: encodings.laplace(3, AGE, -1), "scale.*negative"),
    "distance": (lambda: encodings.sord(3, AGE, distance="log"), "distance.*log"),
    "alpha": (lambda: encodings.sord(3, AGE, alpha=0), "alpha.*positive"),
    "triangle": (lambda: encodings.triangular(3, AGE, 0.3), "alpha"),
    "power": (lambda: encodings.exponential(3, AGE, power=0), "power.*positive"),
    "poisson": (lambda: encodings.poisson(3, AGE, normalisation="max"), "normalisation.*max"),
    "concentration": (lambda: encodings.beta(3, AGE, 10.0), "concentration.*202"),
    "shapes": (lambda: encodings.beta(3, AGE, shapes=[(1, 1)]), "101 pairs"),
    "probs": (lambda: encodings.ranks_from_distribution(np.ones(1)), "probs"),
    "ranks": (lambda: encodings.distribution_from_ranks(np.ones(())), "ranks"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_at_trace_time(what):
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        jax.jit(call)()
