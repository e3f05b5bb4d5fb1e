"""Every loss against a float64 NumPy reference written here from its equation.

A case is a loss and its reference, both of (draw, space). What holds of all of them is tested of
all: value, gradient, extremes, bfloat16, jit, vmap, batch order. What holds of one follows after.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from ldl_jax import encodings, losses
from ldl_jax.labels import ADIENCE, AGE, LabelSpace

SPACES = {"age": AGE, "score": LabelSpace.range(1, 5, 0.5), "uneven": LabelSpace((0, 1, 2.5, 4, 9))}
DIFFERENTIABLE = ("logits", "rank_logits", "score")


@pytest.fixture(autouse=True)
def _strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def draw(space: LabelSpace, batch: int = 6, seed: int = 0, scale: float = 2.0) -> dict:
    """Random outputs, labels and knowledge; float32 values, held in float64."""
    rng = np.random.default_rng(seed)
    K = space.size
    labels = rng.uniform(space.low, space.high, batch)
    labels[: batch // 2] = rng.choice(space.values, batch // 2)
    result = {
        "logits": scale * rng.normal(size=(batch, K)),
        "rank_logits": scale * rng.normal(size=(batch, K - 1)),
        "score": rng.normal(0.5, 0.5, batch),
        "labels": labels,
        "target": rng.dirichlet(np.full(K, 0.5), batch),
        "teacher": rng.dirichlet(np.ones(K), batch),
        "slack": rng.uniform(0, 0.3, batch),
        "ranks": rng.uniform(0, 1, (batch, K - 1)),
    }
    return {name: value.astype(np.float32).astype(np.float64) for name, value in result.items()}


def on_device(d: dict, dtype=np.float32) -> dict:
    """The draw as NumPy arrays of the dtypes that a network gives; nothing to compile."""
    return {
        name: value.astype(dtype if name in DIFFERENTIABLE else np.float32)
        for name, value in d.items()
    }


# The references: float64, as the equations read.


def values(space):
    return np.asarray(space.values)


def softmax(x):
    return special.softmax(x, axis=-1)


def np_one_hot(y, space):
    nearest = np.abs(values(space) - y[:, None]).argmin(axis=-1)
    return np.eye(space.size)[nearest]


def np_cross_entropy(x, p):
    return -np.sum(p * special.log_softmax(x, axis=-1), axis=-1)


def np_kl(p, q):
    return np.sum(special.rel_entr(p, q), axis=-1)


def np_expectation(x, space):
    return softmax(x) @ values(space)


def np_normalised(y, space):
    return (y - space.low) / (space.high - space.low)


def np_gaussian(y, space, sigma=2.0):
    density = stats.norm.pdf(values(space), y[:, None], sigma)
    return density / density.sum(axis=-1, keepdims=True)


def np_huber(e, delta):
    return np.where(np.abs(e) <= delta, e**2 / 2, delta * (np.abs(e) - delta / 2))


def np_binary(x, r):
    p = special.expit(x)
    return -(r * np.log(p) + (1 - r) * np.log1p(-p))


def np_ranks(y, space):
    return (y[:, None] > values(space)[:-1]).astype(float)


def np_corn(d, space):
    r = np_ranks(d["labels"], space)
    total = np.zeros(len(r))
    for n in range(len(r)):
        for k in range(space.size - 1):
            if k == 0 or r[n, k - 1]:
                total[n] += np_binary(d["rank_logits"][n, k], r[n, k])
    return total


def np_stick_breaking(d):
    """Cross-entropy of p̂_k = (1 - σ(x_k)) Π_{j<k} σ(x_j), the last being Π σ(x_j)."""
    above = special.log_expit(d["rank_logits"])
    reached = np.cumsum(np.pad(above, ((0, 0), (1, 0))), axis=-1)
    stopped = np.pad(special.log_expit(-d["rank_logits"]), ((0, 0), (0, 1)))
    return -np.sum(d["target"] * (reached + stopped), axis=-1)


def np_crps(d, space):
    p, v = softmax(d["logits"]), values(space)
    spread = np.abs(v[:, None] - v[None])
    return np.sum(p * np.abs(v - d["labels"][:, None]), -1) - 0.5 * np.sum((p @ spread) * p, -1)


def np_moments(x, space):
    mean = np_expectation(x, space)
    return mean, np.sum(softmax(x) * (values(space) - mean[:, None]) ** 2, -1)


def np_mean_variance(d, space):
    m, v = np_moments(d["logits"], space)
    hard = np_cross_entropy(d["logits"], np_one_hot(d["labels"], space))
    return hard + 0.2 * (m - d["labels"]) ** 2 / 2 + 0.05 * v


def np_mean_residue(d, space, epsilon=0.0):
    p, o = softmax(d["logits"]), np_one_hot(d["labels"], space)
    own = np.sum(p * o, -1)
    m, _ = np_moments(d["logits"], space)
    q = np.where(p < own[:, None], p, 0) + epsilon
    return -np.log(own) + 0.2 * (m - d["labels"]) ** 2 / 2 - 0.05 * np.sum(special.xlogy(q, q), -1)


def np_unimodal_concentrated(d, space, lam=1000.0, epsilon=1e-4):
    p, v, y = softmax(d["logits"]), values(space), d["labels"]
    m, variance = np_moments(d["logits"], space)
    variance = variance + epsilon
    total = np.log(variance) / 2 + (y - m) ** 2 / (2 * variance)
    for n in range(len(y)):
        for k in range(space.size - 1):
            step = p[n, k + 1] - p[n, k]
            if v[k + 1] <= y[n]:
                total[n] += lam * max(0, -step)
            elif v[k] >= y[n]:
                total[n] += lam * max(0, step)
    return total


def np_megaage(d, space):
    y, v = d["labels"], values(space)[:-1]
    far = (v < y[:, None] - 3) | (v >= y[:, None] + 3)
    error = (special.expit(d["rank_logits"]) - np_ranks(y, space)) ** 2
    return np.sum(far * error, -1) + np_cross_entropy(d["logits"], np_gaussian(y, space))


def np_weighted_kappa(d, space, power):
    p, o, v = softmax(d["logits"]), np_one_hot(d["labels"], space), values(space)
    w = (np.abs(v[:, None] - v[None]) / (v[-1] - v[0])) ** power
    chance = p.mean(0) @ w @ o.mean(0)
    return np.einsum("ni,ij,nj->n", p, w, o) / chance


def np_focal(d, gamma):
    p = softmax(d["logits"])
    return -np.sum(d["target"] * (1 - p) ** gamma * np.log(p), -1)


def np_cen_evolution(d, space, tau=2.0, hard_tau=1.0, squared=False):
    x, y = d["logits"], np_normalised(d["labels"], space)
    transfer = np_cross_entropy(x / tau, d["teacher"]) * (tau**2 if squared else 1)
    hard = np_cross_entropy(x / hard_tau, np_one_hot(d["labels"], space))
    slack = np.maximum(0, np.abs(d["score"] - y) - d["slack"])
    return 0.5 * transfer + 0.5 * hard + 4 * slack


def np_squared_emd(d):
    return np.sum((np.cumsum(softmax(d["logits"]), -1) - np.cumsum(d["target"], -1)) ** 2, -1)


def np_emd(d, space):
    gap = np.cumsum(softmax(d["logits"]), -1) - np.cumsum(d["target"], -1)
    return np.sum(np.abs(gap[:, :-1]) * np.diff(space.values), -1)


def np_sord(d, space, power, alpha):
    target = softmax(-alpha * np.abs(values(space) - d["labels"][:, None]) ** power)
    return np_cross_entropy(d["logits"], target)


def np_gaussian_nll(value, labels, sigma):
    return -stats.norm.logpdf(labels, value, sigma) - np.log(2 * np.pi) / 2


def np_cdw_ce(d, power, margin=0.0):
    p, k = softmax(d["logits"]), np.arange(d["logits"].shape[1])
    rest = np.array([[np.delete(row, i).sum() for i in k] for row in p])
    away = np.abs(k[:, None] - k) ** power * 1.0
    return -np.sum((d["target"] @ away) * np.log(np.minimum(rest + margin, 1)), -1)


def np_slace(d, space, alpha=1.0):
    total, k = [], np.arange(space.size)
    for p, own in zip(softmax(d["logits"]), np_one_hot(d["labels"], space).argmax(-1), strict=True):
        away = np.abs(k - own)
        within = np.array([p[away <= distance].sum() for distance in away])
        total.append(-softmax(-alpha * away) @ np.log(within))
    return np.array(total)


def falling(x, scale=1.0):
    """Logits that fall by a hundredth at least, as thresholds that rise give them."""
    numpy = np if isinstance(x, np.ndarray) and x.dtype == np.float64 else jnp
    x = x if numpy is np else jnp.asarray(x, jnp.float32)
    steps = np.arange(x.shape[-1], dtype=np.float32).reshape((1,) * (x.ndim - 1) + (-1,)) / 100
    return -numpy.sort(-x, axis=-1) * scale - steps


@dataclasses.dataclass(frozen=True)
class Case:
    loss: Callable
    reference: Callable


LINKS = {"logit": special.expit, "probit": special.ndtr, "cloglog": lambda z: -np.expm1(-np.exp(z))}


def link_case(link, scale):
    def reference(d, space):
        below = LINKS[link](-falling(d["rank_logits"], scale))
        ends = np.zeros_like(below[:, :1])
        p = np.diff(np.concatenate([ends, below, ends + 1], axis=-1), axis=-1)
        return -np.sum(special.xlogy(d["target"], p), -1)

    return Case(
        lambda d, s: losses.cumulative_link(falling(d["rank_logits"], scale), d["target"], link),
        reference,
    )


def counts_of(space):
    return np.random.default_rng(3).integers(0, 50, space.size).astype(np.float32)


def _mixture(d):
    return (d["target"] + softmax(d["logits"])) / 2


CASES = {
    "cross_entropy": Case(
        lambda d, s: losses.cross_entropy(d["logits"], d["target"]),
        lambda d, s: np_cross_entropy(d["logits"], d["target"]),
    ),
    "kl_divergence": Case(
        lambda d, s: losses.kl_divergence(d["logits"], d["target"]),
        lambda d, s: np_kl(d["target"], softmax(d["logits"])),
    ),
    "reverse_kl_divergence": Case(
        lambda d, s: losses.reverse_kl_divergence(d["logits"], d["target"]),
        lambda d, s: np_kl(softmax(d["logits"]), np.maximum(d["target"], 1e-8)),
    ),
    "jensen_shannon": Case(
        lambda d, s: losses.jensen_shannon(d["logits"], d["target"]),
        lambda d, s: (
            0.5 * np_kl(d["target"], _mixture(d)) + 0.5 * np_kl(softmax(d["logits"]), _mixture(d))
        ),
    ),
    "expectation_l1": Case(
        lambda d, s: losses.expectation_l1(d["logits"], d["labels"], s),
        lambda d, s: np.abs(np_expectation(d["logits"], s) - d["labels"]),
    ),
    "expectation_l2": Case(
        lambda d, s: losses.expectation_l2(d["logits"], d["labels"], s),
        lambda d, s: (np_expectation(d["logits"], s) - d["labels"]) ** 2,
    ),
    "expectation_huber": Case(
        lambda d, s: losses.expectation_huber(d["logits"], d["labels"], s, 0.7),
        lambda d, s: np_huber(np_expectation(d["logits"], s) - d["labels"], 0.7),
    ),
    "dldl_v2": Case(
        lambda d, s: losses.dldl_v2(d["logits"], d["target"], d["labels"], s, 0.3),
        lambda d, s: (
            np_kl(d["target"], softmax(d["logits"]))
            + 0.3 * np.abs(np_expectation(d["logits"], s) - d["labels"])
        ),
    ),
    "dldl_v2_mean": Case(
        lambda d, s: losses.dldl_v2(d["logits"], d["target"], d["labels"], s, kl_reduction="mean"),
        lambda d, s: (
            np_kl(d["target"], softmax(d["logits"])) / s.size
            + np.abs(np_expectation(d["logits"], s) - d["labels"])
        ),
    ),
    "cen_initial": Case(
        lambda d, s: losses.cen_initial(d["logits"], d["score"], d["labels"], s),
        lambda d, s: (
            np_cross_entropy(d["logits"], np_one_hot(d["labels"], s))
            + 4 * np.abs(d["score"] - np_normalised(d["labels"], s))
        ),
    ),
    "cen_evolution": Case(
        lambda d, s: losses.cen_evolution(
            d["logits"], d["score"], d["labels"], s, d["teacher"], d["slack"]
        ),
        np_cen_evolution,
    ),
    "cen_evolution_options": Case(
        lambda d, s: losses.cen_evolution(
            d["logits"],
            d["score"],
            d["labels"],
            s,
            d["teacher"],
            d["slack"],
            temperature=3.0,
            hard_temperature=1.5,
            scale_by_temperature_squared=True,
        ),
        lambda d, s: np_cen_evolution(d, s, 3.0, 1.5, True),
    ),
    "slack_l1": Case(
        lambda d, s: losses.slack_l1(d["score"], d["labels"], d["slack"]),
        lambda d, s: np.maximum(0, np.abs(d["score"] - d["labels"]) - d["slack"]),
    ),
    "l1": Case(
        lambda d, s: losses.l1(d["score"], d["labels"]),
        lambda d, s: np.abs(d["score"] - d["labels"]),
    ),
    "l2": Case(
        lambda d, s: losses.l2(d["score"], d["labels"]),
        lambda d, s: (d["score"] - d["labels"]) ** 2,
    ),
    "huber": Case(
        lambda d, s: losses.huber(d["score"], d["labels"], 2.0),
        lambda d, s: np_huber(d["score"] - d["labels"], 2.0),
    ),
    "smooth_l1": Case(
        lambda d, s: losses.smooth_l1(d["score"], d["labels"], 2.0),
        lambda d, s: np_huber(d["score"] - d["labels"], 2.0) / 2.0,
    ),
    "dex": Case(
        lambda d, s: losses.dex(d["logits"], d["labels"], s),
        lambda d, s: np_cross_entropy(d["logits"], np_one_hot(d["labels"], s)),
    ),
    "sord": Case(
        lambda d, s: losses.sord(d["logits"], d["labels"], s),
        lambda d, s: np_sord(d, s, 1, 1.0),
    ),
    "sord_squared": Case(
        lambda d, s: losses.sord(d["logits"], d["labels"], s, distance="squared", alpha=0.5),
        lambda d, s: np_sord(d, s, 2, 0.5),
    ),
    "ordinal_cross_entropy": Case(
        lambda d, s: losses.ordinal_cross_entropy(d["rank_logits"], d["ranks"]),
        lambda d, s: np.sum(np_binary(d["rank_logits"], d["ranks"]), -1),
    ),
    "ordinal_cross_entropy_weighted": Case(
        lambda d, s: losses.ordinal_cross_entropy(
            d["rank_logits"], d["ranks"], losses.importance_weights(counts_of(s)[1:])
        ),
        lambda d, s: (
            np_binary(d["rank_logits"], d["ranks"])
            @ (np.sqrt(counts_of(s)[1:]) / np.sqrt(counts_of(s)[1:].astype(float)).sum())
        ),
    ),
    "coral": Case(
        lambda d, s: losses.coral(d["rank_logits"], encodings.rank(d["labels"], s)),
        lambda d, s: np.sum(np_binary(d["rank_logits"], np_ranks(d["labels"], s)), -1),
    ),
    "corn": Case(lambda d, s: losses.corn(d["rank_logits"], d["labels"], s), np_corn),
    "conditional_cross_entropy": Case(
        lambda d, s: losses.conditional_cross_entropy(
            d["rank_logits"], encodings.ranks_from_distribution(d["target"])
        ),
        lambda d, s: np_stick_breaking(d),
    ),
    "squared_emd": Case(
        lambda d, s: losses.squared_emd(d["logits"], d["target"]),
        lambda d, s: np_squared_emd(d),
    ),
    "emd": Case(lambda d, s: losses.emd(d["logits"], d["target"], s), np_emd),
    "cdw_ce": Case(
        lambda d, s: losses.cdw_ce(d["logits"], d["target"], 1.5),
        lambda d, s: np_cdw_ce(d, 1.5),
    ),
    "cdw_ce_margin": Case(
        lambda d, s: losses.cdw_ce(d["logits"], d["target"], 0.5, 0.05),
        lambda d, s: np_cdw_ce(d, 0.5, 0.05),
    ),
    "slace": Case(lambda d, s: losses.slace(d["logits"], d["labels"], s), np_slace),
    "slace_steep": Case(
        lambda d, s: losses.slace(d["logits"], d["labels"], s, 2.5),
        lambda d, s: np_slace(d, s, 2.5),
    ),
    "cumulative_link": link_case("logit", 1.0),
    "cumulative_link_probit": link_case("probit", 0.25),
    "cumulative_link_cloglog": link_case("cloglog", 0.25),
    "gaussian_nll": Case(
        lambda d, s: losses.gaussian_nll(d["score"], d["labels"], d["slack"] + np.float32(0.5)),
        lambda d, s: np_gaussian_nll(d["score"], d["labels"], d["slack"] + 0.5),
    ),
    "crps": Case(lambda d, s: losses.crps(d["logits"], d["labels"], s), np_crps),
    "weighted_kappa": Case(
        lambda d, s: losses.weighted_kappa(d["logits"], d["labels"], s),
        lambda d, s: np_weighted_kappa(d, s, 2),
    ),
    "weighted_kappa_linear": Case(
        lambda d, s: losses.weighted_kappa(d["logits"], d["labels"], s, "linear"),
        lambda d, s: np_weighted_kappa(d, s, 1),
    ),
    "mean_variance": Case(
        lambda d, s: losses.mean_variance(d["logits"], d["labels"], s), np_mean_variance
    ),
    "mean_residue": Case(
        lambda d, s: losses.mean_residue(d["logits"], d["labels"], s), np_mean_residue
    ),
    "mean_residue_code": Case(
        lambda d, s: losses.mean_residue(d["logits"], d["labels"], s, epsilon=1e-3),
        lambda d, s: np_mean_residue(d, s, 1e-3),
    ),
    "unimodal_concentrated": Case(
        lambda d, s: losses.unimodal_concentrated(d["logits"], d["labels"], s),
        np_unimodal_concentrated,
    ),
    "megaage": Case(
        lambda d, s: losses.megaage(d["logits"], d["rank_logits"], d["labels"], s), np_megaage
    ),
    "focal": Case(
        lambda d, s: losses.focal(d["logits"], d["target"]), lambda d, s: np_focal(d, 2.0)
    ),
    "focal_half": Case(
        lambda d, s: losses.focal(d["logits"], d["target"], 0.5), lambda d, s: np_focal(d, 0.5)
    ),
    "balanced_softmax": Case(
        lambda d, s: losses.balanced_softmax(d["logits"], d["target"], counts_of(s)),
        lambda d, s: np_cross_entropy(
            d["logits"] + np.log(np.maximum(counts_of(s).astype(float), 1)), d["target"]
        ),
    ),
}
NAMES = sorted(CASES)
COUPLED = {"weighted_kappa", "weighted_kappa_linear"}


@functools.cache
def compiled(name: str, space_name: str):
    """The loss of a draw, and the gradient of its batch's sum."""

    def both(d):
        def total(outputs):
            per_example = CASES[name].loss({**d, **outputs}, SPACES[space_name])
            return jnp.sum(per_example), per_example

        outputs = {key: d[key] for key in DIFFERENTIABLE}
        (_, per_example), gradient = jax.value_and_grad(total, has_aux=True)(outputs)
        return per_example, gradient

    return jax.jit(both)


def test_every_loss_has_a_case():
    weights = {"importance_weights", "lds_weights", "weights_of"}
    assert set(losses.__all__) - weights <= set(CASES)
    assert all(callable(getattr(losses, name)) for name in losses.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_value(name):
    space = SPACES["uneven"]
    d = draw(space, seed=1)
    actual, _ = compiled(name, "uneven")(on_device(d))
    assert actual.shape == (6,)
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, CASES[name].reference(d, space), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_reference_s(name):
    space = SPACES["uneven"]
    d = draw(space, seed=2)
    _, gradient = compiled(name, "uneven")(on_device(d))
    for key in DIFFERENTIABLE:
        expected = np.zeros_like(d[key])
        for at in np.ndindex(d[key].shape):
            above, below = ({**d, key: d[key].copy()} for _ in range(2))
            above[key][at] += 1e-6
            below[key][at] -= 1e-6
            difference = CASES[name].reference(above, space) - CASES[name].reference(below, space)
            expected[at] = difference.sum() / 2e-6
        np.testing.assert_allclose(gradient[key], expected, rtol=1e-4, atol=2e-5, err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_finite_at_extreme_logits(name):
    space = SPACES["uneven"]
    rng = np.random.default_rng(4)
    for pattern in range(3):
        d = draw(space, seed=5, scale=1.0)
        for key in ("logits", "rank_logits"):
            shape = d[key].shape
            d[key] = [
                rng.choice([-1e4, 1e4], shape),
                np.eye(*shape) * 2e4 - 1e4,
                np.full(shape, 1e4),
            ][pattern]
        d["target"] = np_one_hot(d["labels"], space)
        value, gradient = compiled(name, "uneven")(on_device(d))
        assert np.isfinite(value).all()
        for key in DIFFERENTIABLE:
            assert np.isfinite(gradient[key]).all(), key


@pytest.mark.parametrize("name", NAMES)
def test_jit_is_eager_and_leading_axes_and_order_are_free(name):
    d = on_device(draw(SPACES["uneven"], seed=6))
    batch, _ = compiled(name, "uneven")(d)
    pairs = {key: value.reshape(2, 3, *value.shape[1:]) for key, value in d.items()}
    eager = CASES[name].loss(pairs, SPACES["uneven"])
    np.testing.assert_allclose(eager, batch.reshape(2, 3), rtol=1e-5, atol=1e-6)
    order = np.array([3, 0, 5, 1, 4, 2])
    permuted, _ = compiled(name, "uneven")({key: value[order] for key, value in d.items()})
    np.testing.assert_allclose(permuted, batch[order], rtol=1e-5, atol=1e-6)


@functools.cache
def at_k_101() -> tuple[dict, dict]:
    """A draw of bfloat16 outputs and every loss of it, vmapped: one program, compiled once."""
    rounded = on_device(draw(AGE, seed=7), jnp.bfloat16)

    def every(d):
        result = {}
        for name, case in CASES.items():
            loss = functools.partial(case.loss, s=AGE)
            result[name] = loss(d) if name in COUPLED else jax.vmap(loss)(d)
        return result

    return rounded, jax.jit(every)(rounded)


@pytest.mark.parametrize("name", NAMES)
def test_at_k_101_by_vmap_of_bfloat16(name):
    # bfloat16 outputs are read as they are, and computed with in float32.
    rounded, actual = at_k_101()
    exact = {key: value.astype(np.float64) for key, value in rounded.items()}
    assert actual[name].dtype == jnp.float32
    expected = CASES[name].reference(exact, AGE)
    np.testing.assert_allclose(actual[name], expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_added_to_the_logits_changes_nothing(name):
    d = on_device(draw(SPACES["uneven"], seed=8))
    shifted = {**d, "logits": d["logits"] + np.float32(16)}
    actual, _ = compiled(name, "uneven")(shifted)
    expected, _ = compiled(name, "uneven")(d)
    np.testing.assert_allclose(actual, expected, rtol=3e-5, atol=3e-5)


# What a divergence is.


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 20))
def test_divergences_are_non_negative_and_zero_at_equality(seed, scale):
    d = on_device(draw(SPACES["uneven"], seed=seed, scale=scale))
    same = {**d, "target": softmax(d["logits"].astype(np.float64)).astype(np.float32)}
    for name in ("kl_divergence", "reverse_kl_divergence", "jensen_shannon", "squared_emd", "emd"):
        value, _ = compiled(name, "uneven")(d)
        assert (np.asarray(value) >= -1e-6).all(), name
        at_equality, gradient = compiled(name, "uneven")(same)
        np.testing.assert_allclose(at_equality, 0, atol=2e-6, err_msg=name)
        if name not in ("emd", "reverse_kl_divergence"):
            np.testing.assert_allclose(gradient["logits"], 0, atol=2e-6, err_msg=name)


SCORES = {
    name: jax.jit(functools.partial(getattr(losses, name), space=SPACES["score"]))
    for name in ("crps", "dex")
}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(sorted(SCORES)))
def test_proper_scores_are_least_at_the_truth(seed, name):
    space = SPACES["score"]
    d = draw(space, batch=1, seed=seed)
    truth = d["target"][0]
    every = np.asarray(space.values, np.float32)

    def expected_score(logits):
        repeated = np.tile(logits.astype(np.float32), (space.size, 1))
        return truth @ np.asarray(SCORES[name](repeated, every), np.float64)

    at_truth = expected_score(np.log(truth + 1e-30))
    assert at_truth <= expected_score(d["logits"][0]) + 1e-5


def test_jensen_shannon_is_at_most_ln_2():
    logits, target = np.array([[1e4, -1e4, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    np.testing.assert_allclose(losses.jensen_shannon(logits, target), np.log(2), rtol=1e-6)


# How losses relate to one another.


def test_dldl_v2_s_two_reductions_differ_by_k_and_lambda():
    space = SPACES["uneven"]
    d = on_device(draw(space, seed=9))
    code, _ = compiled("dldl_v2_mean", "uneven")(d)
    paper = losses.dldl_v2(d["logits"], d["target"], d["labels"], space, lam=space.size)
    np.testing.assert_allclose(space.size * np.asarray(code), paper, rtol=1e-5)


def test_crps_of_a_certain_prediction_is_the_absolute_error():
    logits = 1e4 * np.eye(AGE.size)[[30, 30, 0, 100]]
    labels = np.array([33.3, 27.5, -2.0, 104.0])
    np.testing.assert_allclose(losses.crps(logits, labels, AGE), [3.3, 2.5, 2, 4], rtol=1e-5)


def test_crps_on_the_grid_is_the_ranked_probability_score_times_the_step():
    space = SPACES["score"]
    d = on_device(draw(space, seed=10))
    labels = np.random.default_rng(0).choice(space.values, 6).astype(np.float32)
    rps = losses.squared_emd(d["logits"], encodings.one_hot(labels, space))
    np.testing.assert_allclose(losses.crps(d["logits"], labels, space), 0.5 * rps, rtol=1e-5)


def test_emd_between_one_hots_is_the_label_distance():
    space = SPACES["uneven"]
    logits = 1e4 * np.eye(5)[[0, 1, 4]]
    target = np.eye(5)[[3, 1, 2]]
    np.testing.assert_allclose(losses.emd(logits, target, space), [4, 0, 6.5], atol=1e-6)


def test_focal_without_gamma_is_cross_entropy():
    d = on_device(draw(AGE, seed=11))
    focal = losses.focal(d["logits"], d["target"], 0.0)
    np.testing.assert_allclose(focal, losses.cross_entropy(d["logits"], d["target"]), rtol=1e-5)


def test_mean_weighted_kappa_is_one_minus_kappa():
    labels = np.array([0, 1, 2, 3, 4, 4, 2, 0])
    predicted = np.array([0, 2, 2, 4, 3, 4, 1, 0])
    space = LabelSpace.range(0, 4)
    for penalty, power in (("quadratic", 2), ("linear", 1)):
        w = np.abs(np.arange(5)[:, None] - np.arange(5)[None]) ** power
        observed = w[predicted, labels].mean()
        kappa = 1 - observed / w[predicted][:, labels].mean()
        value = losses.weighted_kappa(1e4 * np.eye(5)[predicted], labels, space, penalty)
        np.testing.assert_allclose(np.mean(value), 1 - kappa, rtol=1e-5)


def test_corn_sums_to_the_papers_batch_mean():
    space = LabelSpace.range(0, 4)
    d = on_device(draw(space, seed=12))
    y = np.array([0, 1, 2, 3, 4, 4])
    total, count = 0.0, 0
    x = d["rank_logits"].astype(np.float64)
    for task in range(4):
        chosen = y > task - 1
        total += np_binary(x[chosen, task], (y[chosen] > task).astype(float)).sum()
        count += chosen.sum()
    examples = 1 + np.minimum(np.sum(encodings.rank(y, space), -1), 3)
    actual = np.sum(losses.corn(d["rank_logits"], y, space)) / examples.sum()
    np.testing.assert_allclose(actual, total / count, rtol=1e-5)


def test_unimodal_term_is_zero_for_one_mode_at_the_label():
    loss = jax.jit(functools.partial(losses.unimodal_concentrated, space=AGE))
    labels = np.float32([40, 0, 100, 55.5])
    logits = np.log(np_gaussian(labels, AGE, 8.0) + 1e-30).astype(np.float32)
    at_label = [loss(logits, labels, lam=np.float32(lam)) for lam in (0, 1000)]
    np.testing.assert_allclose(at_label[1], at_label[0], rtol=1e-6)
    elsewhere = [loss(logits, labels[::-1], lam=np.float32(lam)) for lam in (0, 1000)]
    assert (np.asarray(elsewhere[1]) > np.asarray(elsewhere[0])).all()


def test_megaage_leaves_near_hyperplanes_alone():
    @jax.jit
    @jax.grad
    def gradient(h):
        return losses.megaage(jnp.zeros(101), h, 50, AGE, truncation=3.0)

    near = np.flatnonzero(np.asarray(gradient(np.zeros(100, np.float32))) == 0)
    assert near.tolist() == list(range(47, 53))


# Weights.


def test_importance_weights():
    np.testing.assert_allclose(losses.importance_weights(np.array([1, 4, 9])), [1 / 6, 1 / 3, 0.5])


def test_lds_weights_are_the_inverse_of_the_smoothed_density():
    counts = np.zeros(101, np.float32)
    counts[20:60] = np.random.default_rng(0).integers(1, 100, 40)
    kernel = np.exp(-0.5 * ((np.arange(101)[:, None] - np.arange(101)[None]) / 2) ** 2)
    for power in (1.0, 0.5):
        weights = np.asarray(losses.lds_weights(counts, AGE, 2.0, power=power), np.float64)
        expected = (kernel @ counts) ** -power
        expected *= counts.sum() / (counts * expected).sum()
        np.testing.assert_allclose(weights[20:60], expected[20:60], rtol=1e-5)
        np.testing.assert_allclose((weights * counts).sum() / counts.sum(), 1, rtol=1e-5)
        assert weights.max() <= weights[20:60].max() * (1 + 1e-6)
    looked_up = losses.weights_of(np.array([[33, 20]]), weights, AGE)
    np.testing.assert_allclose(looked_up, [[weights[33], weights[20]]], rtol=1e-6)


def test_balanced_softmax_with_equal_counts_is_cross_entropy():
    d = on_device(draw(AGE, seed=13))
    balanced = losses.balanced_softmax(d["logits"], d["target"], np.full(101, 7))
    np.testing.assert_allclose(balanced, losses.cross_entropy(d["logits"], d["target"]), rtol=1e-5)


# Labels of groups, integer labels, and what is refused.


def test_labels_of_groups_take_their_group():
    logits = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    labels = np.array([1, 12, 20, 61])
    expected = -special.log_softmax(logits, axis=-1)[np.arange(4), [0, 2, 3, 7]]
    np.testing.assert_allclose(losses.dex(logits, labels, ADIENCE), expected, rtol=1e-6)
    assert np.isfinite(losses.corn(logits[:, :7], labels, ADIENCE)).all()


@pytest.mark.parametrize("name", ["dldl_v2", "cen_initial", "corn", "crps"])
def test_integer_labels_are_those_values(name):
    d = on_device(draw(AGE, seed=14))
    loss = jax.jit(functools.partial(CASES[name].loss, s=AGE))
    whole = np.array([3, 50, 99, 0, 100, 27], np.int32)
    as_float = loss({**d, "labels": whole.astype(np.float32)})
    np.testing.assert_array_equal(loss({**d, "labels": whole}), as_float)


def _zeros(*shape):
    return np.zeros(shape, np.float32)


REFUSED = {
    "K": (lambda: losses.dex(_zeros(2, 100), _zeros(2), AGE), r"logits.*\[\.\.\., 101\].*100"),
    "K-1": (lambda: losses.corn(_zeros(2, 101), _zeros(2), AGE), r"logits.*\[\.\.\., 100\]"),
    "target": (lambda: losses.cross_entropy(_zeros(2, 5), _zeros(2, 4)), r"target.*\[2, 5\]"),
    "no axis": (lambda: losses.cross_entropy(_zeros(), _zeros()), r"logits.*\[\.\.\., K\]"),
    "batch": (lambda: losses.expectation_l1(_zeros(2, 101), _zeros(3), AGE), r"labels.*\[2\]"),
    "column": (lambda: losses.l1(_zeros(3), _zeros(3, 1)), r"labels.*\[3\].*\[3, 1\]"),
    "reduction": (
        lambda: losses.dldl_v2(_zeros(101), _zeros(101), 3, AGE, kl_reduction="batch"),
        "kl_reduction.*batch",
    ),
    "temperature": (
        lambda: losses.cen_evolution(_zeros(101), 0.0, 3, AGE, _zeros(101), 0.0, temperature=0),
        "temperature.*positive",
    ),
    "slack": (lambda: losses.slack_l1(_zeros(2), _zeros(2), _zeros(1)), r"slack.*\[2\]"),
    "delta": (lambda: losses.huber(_zeros(2), _zeros(2), -1.0), "delta.*positive"),
    "gamma": (lambda: losses.focal(_zeros(2, 3), _zeros(2, 3), -1.0), "gamma.*negative"),
    "penalty": (lambda: losses.weighted_kappa(_zeros(2, 101), _zeros(2), AGE, "cubic"), "cubic"),
    "epsilon": (
        lambda: losses.mean_residue(_zeros(101), 3, AGE, epsilon=-1.0),
        "epsilon.*negative",
    ),
    "truncation": (
        lambda: losses.megaage(_zeros(101), _zeros(100), 3, AGE, truncation=-1.0),
        "truncation",
    ),
    "margin": (lambda: losses.cdw_ce(_zeros(3), _zeros(3), 1.0, 2.0), r"margin.*\[0, 1\].*2.0"),
    "alpha": (lambda: losses.slace(_zeros(101), 3, AGE, -1.0), "alpha.*positive"),
    "link": (lambda: losses.cumulative_link(_zeros(2), _zeros(3), "loglog"), "link.*loglog"),
    "thresholds": (lambda: losses.cumulative_link(_zeros(2), _zeros(2)), r"target.*\[3\]"),
    "counts": (lambda: losses.lds_weights(_zeros(5), AGE), r"counts.*\[101\]"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_at_trace_time(what):
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        jax.jit(call)()
