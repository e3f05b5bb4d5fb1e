"""Pools of distributions against float64 NumPy written here from their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import decoders
from ldl_jax.decoders import pooling
from ldl_jax.labels import AGE

K = AGE.size


def np_count(seconds, shared, memory):
    apart = np.abs(np.subtract.outer(seconds, seconds))
    correlation = shared + (1 - shared) * np.exp(-apart / memory)
    return len(seconds) ** 2 / correlation.sum()


def np_product(probs, seconds, shared, memory):
    logs = np.log(np.maximum(probs.astype(np.float64), 1e-6)).mean(axis=0)
    powered = np.exp(np_count(seconds, shared, memory) * (logs - logs.max()))
    return powered / powered.sum()


def bell(mean, deviation):
    return np.exp(-0.5 * ((np.arange(K) - mean) / deviation) ** 2) / deviation / np.sqrt(2 * np.pi)


def draw(frames, seed=0):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(K, 0.3), frames).astype(np.float32)
    return probs, np.cumsum(rng.uniform(0.01, 0.5, frames)).astype(np.float32)


def run_through(probs, seconds, memory):
    """The running pool of all frames, in one program."""

    def body(carry, frame):
        pool, before = carry
        p, now = frame
        return (pooling.add(pool, p, now - before, memory), now), None

    start = (pooling.Running.empty(K), jnp.float32(0))
    (pool, _), _ = jax.lax.scan(body, start, (jnp.asarray(probs), jnp.asarray(seconds)))
    return pool


@pytest.mark.parametrize(("shared", "memory"), [(0.5, 1.0), (0.0, 0.2), (1.0, 3.0)])
@pytest.mark.parametrize("frames", [1, 2, 30])
def test_both_forms_are_the_definition(frames, shared, memory):
    probs, seconds = draw(frames)
    expected = np_product(probs, seconds, shared, memory)
    at_once = jax.jit(decoders.product_pool)(probs, seconds, shared, memory)
    pool = jax.jit(run_through)(probs, seconds, memory)
    count = np_count(seconds, shared, memory)
    np.testing.assert_allclose(at_once, expected, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(pool.product(shared), expected, rtol=5e-4, atol=1e-6)
    np.testing.assert_allclose(decoders.effective_count(seconds, shared, memory), count, rtol=1e-5)
    np.testing.assert_allclose(pool.effective_count(shared), count, rtol=1e-4)
    np.testing.assert_allclose(decoders.mean_pool(probs), probs.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(pool.mean, probs.mean(axis=0), rtol=1e-4, atol=1e-7)


def test_one_frame_is_its_own_pool():
    probs = bell(34, 4).astype(np.float32)[None]
    for pooled in (decoders.product_pool(probs, np.zeros(1)), decoders.mean_pool(probs)):
        np.testing.assert_allclose(pooled, probs[0], atol=1e-4)


def test_a_product_of_normal_distributions_has_their_mean_and_the_variance_of_their_mean():
    means = np.array([38.0, 40, 42])
    probs = np.stack([bell(mean, 5) for mean in means])
    seconds = np.array([0.0, 1, 2])
    pooled = decoders.product_pool(probs, seconds)
    count = np_count(seconds, 0.5, 1.0)
    np.testing.assert_allclose(decoders.expectation(pooled, AGE), 40, atol=0.02)
    np.testing.assert_allclose(decoders.variance(pooled, AGE), 25 / count, rtol=0.02)


def test_a_product_narrows_with_frames_and_with_time_and_to_a_limit():
    bell_40 = jnp.asarray(bell(40, 5), jnp.float32)

    @jax.jit
    def spreads(gap, shared):
        """The variance after each of 400 frames, and that of the mean of all."""

        def body(pool, _):
            pool = pooling.add(pool, bell_40, gap)
            return pool, decoders.variance(pool.product(shared), AGE)

        pool, each = jax.lax.scan(body, pooling.Running.empty(K), None, 400)
        return each, decoders.variance(pool.mean, AGE)

    at_25, mean = spreads(0.04, 0.5)
    each_second, _ = spreads(1.0, 0.5)
    assert (np.diff(at_25) < 1e-3).all()
    assert at_25[0] == pytest.approx(25, rel=0.01)
    assert each_second[19] < at_25[19] < at_25[0]  # as many over a longer time say more
    assert spreads(60.0, 0.5)[0][-1] == pytest.approx(25 * 0.5, rel=0.02)
    assert spreads(60.0, 1.0)[0][-1] == pytest.approx(25, rel=0.02)
    assert mean == pytest.approx(25, rel=0.02)


def test_a_frame_that_says_zero_does_not_decide_alone():
    sure = np.eye(K)[90]
    probs = np.stack([*[bell(30, 4)] * 19, sure])
    pooled = decoders.product_pool(probs, 0.5 * np.arange(20))
    assert 28 < float(decoders.expectation(pooled, AGE)) < 34
    assert np.isfinite(decoders.product_pool(np.eye(K)[[3, 9]], np.arange(2.0))).all()


def test_a_long_film_loses_no_digits():
    frames = 100_000
    rng = np.random.default_rng(1)
    probs = rng.dirichlet(np.full(K, 0.5), 50).astype(np.float32)
    index = np.arange(frames) % 50

    def body(pool, i):
        return pooling.add(pool, jnp.asarray(probs)[i], 0.04), None

    pool, _ = jax.jit(lambda: jax.lax.scan(body, pooling.Running.empty(K), jnp.asarray(index)))()
    np.testing.assert_allclose(pool.mean, probs.mean(axis=0), rtol=1e-3)
    logs = np.log(np.maximum(probs.astype(np.float64), 1e-6)).mean(axis=0)
    np.testing.assert_allclose(pool.log_mean, logs, rtol=1e-3)
    assert float(pool.effective_count(0.5)) == pytest.approx(2, rel=0.01)
    assert float(pool.effective_count(0.0)) == pytest.approx(frames * 0.04 / 2, rel=0.01)


def test_an_empty_pool_has_no_distribution():
    assert np.isnan(pooling.Running.empty(2, K).product()).all()


def test_bad_arguments():
    probs, seconds = draw(3)
    with pytest.raises(ValueError, match=r"^shared: must be in \[0, 1\], got 1.5"):
        decoders.effective_count(seconds, 1.5)
    with pytest.raises(ValueError, match=r"^memory: must be positive, got 0"):
        decoders.product_pool(probs, seconds, 0.5, 0.0)
    with pytest.raises(ValueError, match=r"^probs, seconds: expected \[..., N, K\] and"):
        decoders.product_pool(probs, seconds[:2])
