"""The papers' closed-form gradients against jax.grad, and numerical ones against both."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from ldl_jax import losses
from ldl_jax.labels import AGE, SCUT_FBP, LabelSpace

SMALL = LabelSpace.range(0, 6)


@pytest.fixture(autouse=True)
def _strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def batch_gradient(loss, argnums=0):
    return jax.jit(jax.grad(lambda *args: jnp.sum(loss(*args)), argnums))


def draw(space, batch, seed):
    rng = np.random.default_rng(seed)
    logits = (3 * rng.normal(size=(batch, space.size))).astype(np.float32)
    labels = rng.uniform(space.low, space.high, batch).astype(np.float32)
    width = rng.uniform(0.5, 4)
    target = special.softmax(-0.5 * ((np.asarray(space.values) - labels[:, None]) / width) ** 2, -1)
    return logits, labels, target.astype(np.float32)


DLDL = [(AGE, "sum"), (AGE, "mean"), (SCUT_FBP, "sum")]
DLDL_V2 = {
    (space, reduction): batch_gradient(
        lambda x, p, y, lam, space=space, reduction=reduction: losses.dldl_v2(
            x, p, y, space, lam, kl_reduction=reduction
        )
    )
    for space, reduction in DLDL
}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.01, 1.0, 10.0]), st.sampled_from(DLDL))
def test_dldl_v2_equation_16(seed, lam, case):
    space, reduction = case
    x, y, p = draw(space, 3, seed)
    values = np.asarray(space.values)
    probs = special.softmax(x.astype(np.float64), axis=-1)
    error = probs @ values - y
    regression = np.sign(error)[:, None] * probs * (values - (probs @ values)[:, None])
    divisor = 1 if reduction == "sum" else space.size
    expected = (probs - p) / divisor + lam * regression
    actual = DLDL_V2[case](x, p, y, np.float32(lam))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-5 * max(1, lam))


def test_dldl_v2_equations_14_and_15_chain_to_16():
    x, y, p = draw(AGE, 3, 0)
    values = np.asarray(AGE.values)
    probs = special.softmax(x.astype(np.float64), axis=-1)
    sign = np.sign(probs @ values - y)[:, None]
    by_probs = -p / probs + sign * values  # Eq. 14 with λ = 1
    softmax = probs[:, :, None] * (np.eye(101) - probs[:, None, :])  # Eq. 15
    actual = DLDL_V2[AGE, "sum"](x, p, y, np.float32(1))
    np.testing.assert_allclose(actual, np.einsum("nk,nkj->nj", by_probs, softmax), atol=3e-5)


def test_dldl_v2_equation_17_through_the_last_layer():
    rng = np.random.default_rng(1)
    _, y, p = draw(AGE, 3, 2)
    f = rng.normal(size=8).astype(np.float32)
    W = rng.normal(size=(8, 101)).astype(np.float32)
    b = rng.normal(size=101).astype(np.float32)

    def loss(W, b, f):
        return losses.dldl_v2(f @ W + b, p[0], y[0], AGE)

    x = np.tile(f @ W + b, (3, 1))
    by_x = np.asarray(DLDL_V2[AGE, "sum"](x, p, y, np.float32(1)))[0]
    by_W, by_b, by_f = jax.jit(jax.grad(loss, (0, 1, 2)))(W, b, f)
    np.testing.assert_allclose(by_W, np.outer(f, by_x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_b, by_x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_f, W @ by_x, rtol=1e-3, atol=1e-4)


def test_dldl_v2_at_the_expected_label_has_the_divergence_s_gradient():
    # ŷ = y exactly: sign(0) = 0, so nothing but p̂ - p is left.
    p, space = np.array([0.2, 0.3, 0.5]), LabelSpace.range(0, 2)
    actual = jax.jit(jax.grad(lambda x: losses.dldl_v2(x, p, 1, space, 100.0)))(np.zeros(3))
    np.testing.assert_allclose(actual, 1 / 3 - p, atol=1e-6)


def cen_draw(seed):
    logits, labels, _ = draw(AGE, 6, seed)
    rng = np.random.default_rng(seed)
    teacher = rng.dirichlet(np.ones(101), 6).astype(np.float32)
    score = rng.normal(0.5, 0.4, 6).astype(np.float32)
    slack = rng.uniform(0, 0.4, 6).astype(np.float32)
    return logits, score, labels, teacher, slack


CEN_INITIAL = batch_gradient(lambda x, s, y: losses.cen_initial(x, s, y, AGE), (0, 1))
CEN_EVOLUTION = batch_gradient(
    lambda x, s, y, q, slack, a, lam, tau: losses.cen_evolution(
        x, s, y, AGE, q, slack, a, lam, tau
    ),
    (0, 1),
)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 8), st.floats(0.5, 5))
def test_cen_gradients(seed, alpha, lam, tau):
    x, s, y, teacher, slack = cen_draw(seed)
    z = x.astype(np.float64)
    hard = special.softmax(z, axis=-1) - np.eye(101)[np.round(y).astype(int)]
    sign = np.sign(s - y / 100)

    by_logits, by_score = CEN_INITIAL(x, s, y)
    np.testing.assert_allclose(by_logits, hard, atol=2e-6)
    np.testing.assert_allclose(by_score, 4 * sign)

    scalars = [np.float32(v) for v in (alpha, lam, tau)]
    by_logits, by_score = CEN_EVOLUTION(x, s, y, teacher, slack, *scalars)
    transfer = (special.softmax(z / tau, axis=-1) - teacher) / tau
    np.testing.assert_allclose(by_logits, alpha * transfer + (1 - alpha) * hard, atol=5e-6)
    outside = np.abs(s - y / 100) > slack
    np.testing.assert_allclose(by_score, lam * sign * outside, rtol=1e-6)


def test_cen_transfer_gradient_keeps_its_scale_with_temperature_squared():
    x, s, y, teacher, slack = cen_draw(3)

    def loss(x, scaled):
        return losses.cen_evolution(
            x, s, y, AGE, teacher, slack, 1.0, 0.0, 4.0, scale_by_temperature_squared=scaled
        ).sum()

    gradients = jax.jit(lambda x: [jax.grad(loss)(x, scaled) for scaled in (False, True)])
    plain, scaled = gradients(x)
    np.testing.assert_allclose(scaled, 16 * plain, rtol=1e-5, atol=1e-7)


def test_cen_s_own_teacher_leaves_the_hard_label_alone():
    # A student equal to its teacher: the transfer term's gradient is zero.
    x, s, y, _, slack = cen_draw(4)
    teacher = special.softmax(x.astype(np.float64) / 2, axis=-1).astype(np.float32)
    scalars = [np.float32(v) for v in (1, 0, 2)]
    by_logits, by_score = CEN_EVOLUTION(x, s, y, teacher, slack, *scalars)
    np.testing.assert_allclose(by_logits, 0, atol=1e-6)
    np.testing.assert_allclose(by_score, 0)


def test_gradient_at_the_kinks_is_zero():
    for loss in (losses.l1, losses.l2, losses.huber, losses.smooth_l1):
        assert jax.jit(jax.grad(loss))(np.float32(3), np.float32(3)) == 0
    slack = jax.jit(jax.grad(losses.slack_l1))
    cases = [(0.75, 0.25, 0), (0.25, 0.25, 0), (0.5, 0, 0), (0.5, 0.25, 0)]
    cases += [(0.875, 0.25, 1), (0.125, 0.25, -1)]
    for score, allowed, gradient in cases:
        assert slack(np.float32(score), np.float32(0.5), np.float32(allowed)) == gradient
    # Distributions that agree: no mass to move.
    emd = jax.jit(jax.grad(lambda x: losses.emd(x, np.full(4, 0.25), LabelSpace.range(0, 3))))
    np.testing.assert_array_equal(emd(np.zeros(4, np.float32)), 0)


TARGET = np.random.default_rng(5).dirichlet(np.ones(7), 2)
LABELS = np.array([2.2, 4.7])
NUMERICAL = {
    "kl_divergence": lambda x: losses.kl_divergence(x, TARGET),
    "crps": lambda x: losses.crps(x, LABELS, SMALL),
    "mean_variance": lambda x: losses.mean_variance(x, LABELS, SMALL),
    "corn": lambda x: losses.corn(x[:, :6], LABELS, SMALL),
    "cdw_ce": lambda x: losses.cdw_ce(x, TARGET, 1.5),
    "slace": lambda x: losses.slace(x, LABELS, SMALL),
    "logit": lambda x: losses.cumulative_link(
        x[:, :6] - np.arange(6, dtype="f4")[None] * 3, TARGET
    ),
    "probit": lambda x: losses.cumulative_link(
        (x[:, :6] - np.arange(6, dtype="f4")[None] * 3) / 4, TARGET, "probit"
    ),
}


@pytest.mark.parametrize("name", NUMERICAL)
def test_numerical_gradients(name):
    x = np.random.default_rng(6).normal(size=(2, 7)).astype(np.float32)
    loss = jax.jit(lambda x: jnp.sum(NUMERICAL[name](x)))
    chex.assert_numerical_grads(loss, (x,), order=1, atol=2e-2, rtol=2e-2)
