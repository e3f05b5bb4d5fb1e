"""CEN against its paper in float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import methods
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import Knowledge

B = 6
YEARS = LabelSpace.range(10, 24, 2)


def draw_knowledge(space, seed=0):
    rng = np.random.default_rng(seed)
    probs, slack = rng.dirichlet(np.ones(space.size), B), rng.uniform(0, 0.2, B)
    return Knowledge(jnp.asarray(probs, jnp.float32), jnp.asarray(slack, jnp.float32))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.fixture
def cen():
    """CEN's float64 quantities z, s, y, o and l, and what the library gets of them."""
    space = YEARS
    rng = np.random.default_rng(3)
    index = rng.integers(space.size, size=B)
    values = np.asarray(space.values)
    z, s = rng.normal(0, 3, (B, space.size)), rng.normal(0.5, 0.3, B)
    quantities = {
        "z": z.astype(np.float32).astype(np.float64),
        "s": s.astype(np.float32).astype(np.float64),
        "y": (values[index] - values[0]) / (values[-1] - values[0]),
        "o": np.eye(space.size)[index],
        "l": values,
    }
    outputs = {"logits": jnp.asarray(z, jnp.float32), "score": jnp.asarray(s, jnp.float32)}
    labels = jnp.asarray(values[index], jnp.float32)
    return quantities, outputs, {"labels": labels, "sigma": jnp.full(B, jnp.nan)}


@pytest.mark.parametrize("lam", [4.0, 0.7])
def test_cen_initial_teacher(cen, lam):
    """L¹ = -Σ o_i ln p_i + λ |s - y|, p = softmax(z) (Eqs. 3, 4, 9 and 14)."""
    q, outputs, batch = cen
    method = methods.get("cen", space=YEARS, lam=lam)
    expected = -(q["o"] * np.log(softmax(q["z"]))).sum(-1) + lam * np.abs(q["s"] - q["y"])
    np.testing.assert_allclose(method.loss(outputs, batch), expected, rtol=1e-5)


@pytest.mark.parametrize(("alpha", "lam", "tau"), [(0.5, 4.0, 2.0), (0.2, 1.0, 3.0), (1, 0, 1)])
def test_cen_evolution(cen, alpha, lam, tau):
    """Lᵗ = α L_kl + (1-α) L_ce + λ max(0, |s - y| - Δs), L_kl at τ (Eqs. 6, 7, 13 and 15)."""
    q, outputs, batch = cen
    rng = np.random.default_rng(4)
    teacher_z, teacher_s = rng.normal(0, 2, q["z"].shape), rng.normal(0.5, 0.3, B)
    method = methods.get("cen", space=YEARS, alpha=alpha, lam=lam, temperature=tau)
    teacher = {"logits": teacher_z, "score": teacher_s}
    knowledge = method.teach({n: jnp.asarray(x, jnp.float32) for n, x in teacher.items()}, batch)

    taught, slack = softmax(teacher_z / tau), np.abs(teacher_s - q["y"])  # Eqs. 4 and 10
    np.testing.assert_allclose(knowledge.probs, taught, rtol=1e-5)
    np.testing.assert_allclose(knowledge.slack, slack, rtol=1e-5, atol=1e-7)

    kl = -(taught * np.log(softmax(q["z"] / tau))).sum(-1)
    ce = -(q["o"] * np.log(softmax(q["z"]))).sum(-1)
    beyond = np.maximum(0, np.abs(q["s"] - q["y"]) - slack)
    assert (beyond > 0).any()
    assert (beyond == 0).any()
    expected = alpha * kl + (1 - alpha) * ce + lam * beyond
    np.testing.assert_allclose(method.loss(outputs, batch, knowledge), expected, rtol=1e-5)


def test_cen_transfer_term_is_the_divergence_but_for_the_teachers_entropy(cen):
    """Eq. 6 is Eq. 5 less Σ p ln p, so a student that equals its teacher has no gradient."""
    _, outputs, batch = cen
    method = methods.get("cen", space=YEARS, alpha=1.0, lam=0.0)
    knowledge = method.teach(outputs, batch)
    gradient = jax.grad(lambda x: method.loss(x, batch, knowledge).sum())(outputs)
    np.testing.assert_allclose(gradient["logits"], 0, atol=1e-6)


def test_cen_estimate(cen):
    """ŷ_ldl = Σ p_i l_i, ŷ_reg = (l_k - l_1) s + l_1, ŷ their mean (Eqs. 16-18)."""
    q, outputs, _ = cen
    prediction = methods.get("cen", space=YEARS).predict(outputs)
    distribution = softmax(q["z"]) @ q["l"]
    regression = (q["l"][-1] - q["l"][0]) * q["s"] + q["l"][0]
    np.testing.assert_allclose(prediction.probs, softmax(q["z"]), rtol=1e-5)
    np.testing.assert_allclose(prediction.heads["distribution"], distribution, rtol=1e-5)
    np.testing.assert_allclose(prediction.heads["regression"], regression, rtol=1e-5)
    np.testing.assert_allclose(prediction.value, (distribution + regression) / 2, rtol=1e-5)


def test_cen_defaults_are_the_papers():
    assert methods.hyper_parameters("cen") == {
        "lam": 4.0,
        "alpha": 0.5,
        "temperature": 2.0,
        "hard_temperature": 1.0,
        "scale_by_temperature_squared": False,
        "decode": "expectation",
        "target": "own",
        "target_smoothing": 0.0,
    }


def test_cen_open_choices(cen):
    """The hard term at another temperature, and the transfer term times τ²."""
    q, outputs, batch = cen
    knowledge = draw_knowledge(YEARS)
    options = {"hard_temperature": 2.0, "scale_by_temperature_squared": True, "lam": 0.0}
    method = methods.get("cen", space=YEARS, temperature=3.0, **options)
    kl = -(np.asarray(knowledge.probs, np.float64) * np.log(softmax(q["z"] / 3))).sum(-1)
    ce = -(q["o"] * np.log(softmax(q["z"] / 2))).sum(-1)
    expected = 0.5 * 9 * kl + 0.5 * ce
    np.testing.assert_allclose(method.loss(outputs, batch, knowledge), expected, rtol=1e-5)
