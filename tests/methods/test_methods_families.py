"""What a family of methods promises beyond the contract of all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import decoders, encodings, losses, methods
from ldl_jax.labels import AGE, LabelSpace
from ldl_jax.methods import METHODS, Knowledge, distribution

B = 6
YEARS = LabelSpace.range(10, 24, 2)
RANKS = ("ranking", "coral", "corn", "clm", "stick_breaking")
SOFTMAX = [
    name for name in METHODS if name not in ("cen", "regression_l1", "regression_l2", "ssr", *RANKS)
]
DISTRIBUTIONS = [*SOFTMAX, *RANKS]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def draw(method, seed=0):
    """Outputs, a batch of labels without sigma, and a teacher's knowledge."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(
        lambda key: method.head.apply(method.head.init(key, 4), jnp.zeros((B, 4))),
        jax.random.key(0),
    )
    outputs = {n: jnp.asarray(rng.normal(0, 2, x.shape), x.dtype) for n, x in shapes.items()}
    labels = rng.uniform(method.space.low, method.space.high, B)
    batch = {"labels": jnp.asarray(labels, jnp.float32), "sigma": jnp.full(B, jnp.nan)}
    probs, slack = rng.dirichlet(np.ones(method.space.size), B), rng.uniform(0, 0.2, B)
    knowledge = Knowledge(jnp.asarray(probs, jnp.float32), jnp.asarray(slack, jnp.float32))
    return outputs, batch, knowledge


def weighted(name, weight, **options):
    """The options of a method whose teacher has that weight; SORD's own alpha is another thing."""
    known = methods.hyper_parameters(name)
    return {"transfer_alpha" if "transfer_alpha" in known else "alpha": weight, **options}


# A softmax over the label values.


@pytest.mark.parametrize("name", ["dldl", "dldl_v2", "megaage"])
def test_a_pictures_own_sigma_where_known_else_the_default(name):
    method = methods.get(name, space=AGE, sigma=3.0)
    labels = jnp.asarray([20.0, 40.3, 60.0], jnp.float32)
    target = method.encode(labels, jnp.asarray([1.5, jnp.nan, 6.0], jnp.float32))
    for row, label, sigma in zip(target, [20, 40.3, 60], [1.5, 3, 6], strict=True):
        density = np.exp(-0.5 * ((np.arange(101) - label) / sigma) ** 2)
        np.testing.assert_allclose(row, density / density.sum(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", SOFTMAX)
def test_a_taught_softmax_mixes_as_eq_7(name, scaled):
    options = weighted(name, 0.3, temperature=3.0, scale_by_temperature_squared=scaled)
    method = methods.get(name, space=YEARS, counts=np.ones(YEARS.size), **options)
    outputs, batch, knowledge = draw(method)
    z = np.asarray(outputs["logits"], np.float64)
    transfer = -(np.asarray(knowledge.probs, np.float64) * np.log(softmax(z / 3))).sum(-1)
    own = np.asarray(method.loss(outputs, batch), np.float64)
    expected = 0.3 * (9 if scaled else 1) * transfer + 0.7 * own
    np.testing.assert_allclose(method.loss(outputs, batch, knowledge), expected, rtol=1e-5)
    np.testing.assert_allclose(method.teach(outputs, batch).probs, softmax(z / 3), rtol=1e-4)


def test_dldl_v2_is_dldl_and_the_expectations_error():
    both, one = (methods.get(n, space=YEARS, sigma=1.5) for n in ("dldl_v2", "dldl"))
    outputs, batch, _ = draw(one)
    error = jnp.abs(one.predict(outputs).value - batch["labels"])
    expected = one.loss(outputs, batch) + error
    np.testing.assert_allclose(both.loss(outputs, batch), expected, rtol=1e-5)
    mean = methods.get("dldl_v2", space=YEARS, sigma=1.5, kl_reduction="mean")
    expected = one.loss(outputs, batch) / YEARS.size + error
    np.testing.assert_allclose(mean.loss(outputs, batch), expected, rtol=1e-5)


@pytest.mark.parametrize("encoding", sorted(distribution.SOFT_LABELS))
def test_soft_labels_of_every_encoding(encoding):
    method = methods.get("soft_labels", space=YEARS, encoding=encoding)
    outputs, batch, _ = draw(method)
    target = getattr(encodings, encoding)(batch["labels"], YEARS)
    np.testing.assert_array_equal(method.encode(batch["labels"], batch["sigma"]), target)
    expected = losses.cross_entropy(outputs["logits"], target)
    np.testing.assert_allclose(method.loss(outputs, batch), expected, rtol=1e-6)


# All that stand for a distribution.


@pytest.mark.parametrize("decode", ["expectation", "median", "mode"])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_estimate_is_decoded_from_the_distribution(name, decode):
    method = methods.get(name, space=YEARS, decode=decode)
    prediction = method.predict(draw(method)[0])
    expected = getattr(decoders, decode)(prediction.probs, YEARS)
    np.testing.assert_allclose(prediction.value, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["coral", "corn", "dex", "dldl_v2", "sord"])
def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it(name):
    """The gradient of the transfer term alone is zero."""
    method = methods.get(name, space=YEARS, **weighted(name, 1.0, temperature=1.7))
    outputs, batch, _ = draw(method)
    if "rank_logits" in outputs:  # CORAL's ranks never rise
        outputs = {"rank_logits": -jnp.sort(-outputs["rank_logits"])}
    knowledge = method.teach(outputs, batch)
    gradient = jax.grad(lambda x: method.loss(x, batch, knowledge).sum())(outputs)
    for x in gradient.values():
        np.testing.assert_allclose(x, 0, atol=1e-5)


# Ordinal methods.


def test_ranking_counts_its_ranks_and_clips_those_that_rise():
    method = methods.get("ranking", space=YEARS)
    ranks = jnp.asarray([[3.0, 2, -1, 1, -2, -3, -4]])
    prediction = method.predict({"rank_logits": ranks})
    assert float(prediction.value[0]) == 10 + 2 * 3
    q = 1 / (1 + np.exp(-np.asarray(ranks, np.float64)))
    implied = -np.diff(np.concatenate([[1], q[0], [0]]))
    clipped = np.maximum(implied, 0) / np.maximum(implied, 0).sum()
    np.testing.assert_allclose(prediction.probs[0], clipped, rtol=1e-5)


def test_corn_learns_a_teacher_s_distribution_by_its_cross_entropy():
    method = methods.get("corn", space=YEARS, alpha=1.0, temperature=1.0)
    outputs, batch, knowledge = draw(method)
    probs = np.asarray(method.predict(outputs).probs, np.float64)
    expected = -(np.asarray(knowledge.probs, np.float64) * np.log(probs)).sum(-1)
    np.testing.assert_allclose(method.loss(outputs, batch, knowledge), expected, rtol=1e-4)


def test_ranking_learns_a_teacher_s_ranks():
    """The mapping of DLDL-v2's Eqs. 5 and 6, at the temperature."""
    method = methods.get("ranking", space=YEARS, alpha=1.0, temperature=2.0)
    outputs, batch, knowledge = draw(method)
    ranks = 1 - np.cumsum(np.asarray(knowledge.probs, np.float64), -1)[:, :-1]
    q = 1 / (1 + np.exp(-np.asarray(outputs["rank_logits"], np.float64) / 2))
    expected = -(ranks * np.log(q) + (1 - ranks) * np.log(1 - q)).sum(-1)
    np.testing.assert_allclose(method.loss(outputs, batch, knowledge), expected, rtol=1e-4)


# Values.


@pytest.mark.parametrize("name", ["regression_l1", "regression_l2"])
def test_a_taught_regression_pays_beyond_its_teacher_s_error(name):
    method = methods.get(name, space=YEARS)
    batch = {"labels": jnp.full(3, 17.0), "sigma": jnp.full(3, jnp.nan)}
    outputs = {"score": jnp.asarray([0.5, 0.6, 0.9])}  # the label is 0.5
    knowledge = Knowledge(jnp.full((3, YEARS.size), 1 / YEARS.size), jnp.full(3, 0.2))
    power = {"regression_l1": 1, "regression_l2": 2}[name]
    expected = [0, 0, 0.2**power]
    np.testing.assert_allclose(method.loss(outputs, batch, knowledge), expected, atol=1e-6)


def test_what_stands_for_a_regressed_value_s_distribution():
    outputs = {"score": jnp.asarray([-0.1, 0.25, 1.2])}
    values = [10 - 1.4, 13.5, 24 + 2.8]
    point, wide = (methods.get("regression_l1", space=YEARS, sigma=s) for s in (0.0, 3.0))
    np.testing.assert_allclose(point.predict(outputs).value, values, rtol=1e-6)
    expected = encodings.two_hot(jnp.asarray(values, jnp.float32), YEARS)
    np.testing.assert_allclose(point.predict(outputs).probs, expected, atol=1e-6)
    density = np.exp(-0.5 * ((np.asarray(YEARS.values) - 13.5) / 3) ** 2)
    np.testing.assert_allclose(wide.predict(outputs).probs[1], density / density.sum(), rtol=1e-4)


def test_ssr_of_softmax_stages_has_a_distribution_whose_mean_is_its_value():
    method = methods.get("ssr", space=AGE, activation="softmax", stages=(3, 2, 4))
    outputs = {
        name: x if name.startswith("probs") else jnp.abs(x) / 50  # no path leaves the space
        for name, x in draw(method)[0].items()
    }
    prediction = method.predict(outputs)
    np.testing.assert_allclose(prediction.probs.sum(-1), 1, rtol=1e-5)
    mean = decoders.expectation(prediction.probs, AGE)
    np.testing.assert_allclose(mean, prediction.value, rtol=1e-4)
    assert (np.count_nonzero(prediction.probs > 1e-6, axis=-1) > 3).all()


def test_ssr_spans_k_steps():
    """V = 101 of ages 0 to 100, as in the released models."""
    method = methods.get("ssr", space=AGE, stages=(2,))
    outputs = {
        "probs1": jnp.asarray([[0.0, 1.0]]),
        "offsets1": jnp.zeros((1, 2)),
        "range1": jnp.zeros(1),
    }
    np.testing.assert_allclose(method.predict(outputs).value, 101 / 2, rtol=1e-6)


def test_ssr_without_its_dynamic_range():
    method = methods.get("ssr", space=AGE, stages=(2,), delta_scale=0.0)
    outputs = {"probs1": jnp.ones((1, 2)), "offsets1": jnp.zeros((1, 2)), "range1": jnp.ones(1)}
    np.testing.assert_allclose(method.predict(outputs).value, 101 / 2, rtol=1e-6)


def test_ssr_watches_its_dead_bins_and_its_least_denominator():
    method = methods.get("ssr", space=AGE, stages=(2, 3), delta_scale=0.5)
    outputs = {
        "probs1": jnp.asarray([[1.0, -1], [2, -3]]),
        "offsets1": jnp.zeros((2, 2)),
        "range1": jnp.asarray([0.0, -0.5]),
        "probs2": jnp.asarray([[-1.0, 1, -1], [-1, -2, 3]]),
        "offsets2": jnp.zeros((2, 3)),
        "range2": jnp.asarray([0.3, -2.0]),
    }
    watched = method.watch(outputs)
    assert float(watched["dead_bins"]) == 2
    np.testing.assert_allclose(watched["least_denominator"], 1 + 0.5 * np.tanh(-2), rtol=1e-6)
    softmax = methods.get("ssr", space=AGE, stages=(2, 3), activation="softmax")
    assert float(softmax.watch(outputs)["dead_bins"]) == 0


@pytest.mark.parametrize("name", ["clm", "stick_breaking", "copoc"])
@pytest.mark.parametrize("size", [5, 101])
def test_ordered_heads_start_with_no_preference(name, size):
    """Of features of 0 the first two give every value one probability, the third a middle mode."""
    space = LabelSpace.range(0, size - 1)
    method = methods.get(name, space=space)
    params = method.head.init(jax.random.key(0), 3)
    probs = np.asarray(method.predict(method.head.apply(params, jnp.zeros((1, 3)))).probs)[0]
    if name == "copoc":
        np.testing.assert_allclose(probs, probs[::-1], rtol=1e-4)
        assert probs.argmax() == size // 2
    else:
        np.testing.assert_allclose(probs, 1 / size, rtol=2e-4)
    drawn = method.head.apply(params, jax.random.normal(jax.random.key(1), (8, 3)))
    logits = np.asarray(drawn["rank_logits" if "rank_logits" in drawn else "logits"])
    if name == "clm":
        assert (np.diff(logits) < 0).all()
    if name == "copoc":
        turns = np.sign(np.diff(logits)).astype(int)
        assert (np.diff(turns, axis=1) <= 0).all()


def test_a_learnt_sigma_goes_to_the_errors_of_its_stage():
    """With the network's answers held, σ moves to their root mean square, within its bounds."""
    space = LabelSpace.range(0, 100)
    method = methods.get("stage_ldl", space=space, sigma=4.0, spread=4.0, knots=3)
    labels = jnp.asarray([0.0, 0.0, 100.0, 100.0])
    off = jnp.asarray([2.0, 2.0, 90.0, 94.0])  # errors of 2 at one end, of 10 and 6 at the other
    batch = {"labels": labels, "sigma": jnp.full(4, jnp.nan)}
    logits = jnp.log(encodings.two_hot(off, space) + 1e-6)

    @jax.jit
    def step(theta):
        def loss(theta):
            outputs = {"logits": logits, "widths": jnp.broadcast_to(theta[None], (4, 3))}
            return method.loss(outputs, batch).mean()

        return theta - 0.5 * jax.grad(loss)(theta)

    theta = jnp.zeros(3)
    for _ in range(300):
        theta = step(theta)
    sigma = 4.0 * 4.0 ** np.tanh(np.asarray(theta))
    np.testing.assert_allclose(sigma[[0, 2]], [2, np.sqrt((100 + 36) / 2)], rtol=0.02)
    assert theta[1] == 0
