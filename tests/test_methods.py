"""One contract for every method, and CEN against its paper in float64 NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import methods
from ldl_jax.labels import ADIENCE, AGE, LabelSpace
from ldl_jax.methods import METHODS, Knowledge, Method

B, D = 6, 4
# As many values in each, so that what is compiled for one serves for all.
SPACES = {
    "years": LabelSpace.range(10, 24, 2),
    "score": LabelSpace.range(1, 4.5, 0.5, unit="score"),
    "groups": ADIENCE,
}
PAIRS = [pytest.param(a, b, id=f"{a}-teaches-{b}") for a, b in itertools.product(METHODS, METHODS)]


def draw_batch(space, seed=0):
    """Labels at the ends, on a value and between values; sigma known, zero and unknown."""
    rng = np.random.default_rng(seed)
    labels = rng.uniform(space.low, space.high, B)
    labels[:3] = space.low, space.high, space.values[2]
    sigma = rng.uniform(0.5, 4, B)
    sigma[[1, 3]], sigma[2] = np.nan, 0
    return {"labels": jnp.asarray(labels, "float32"), "sigma": jnp.asarray(sigma, "float32")}


def draw_outputs(method, seed=0, scale=3.0):
    """What the method's own head might put out; a single unit is a normalised value, in [0, 1]."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(
        lambda key: method.head.apply(method.head.init(key, D), jnp.zeros((B, D))),
        jax.random.key(0),
    )
    return {
        name: jnp.asarray(
            rng.uniform(0, 1, x.shape) if x.ndim == 1 else rng.normal(0, scale, x.shape), x.dtype
        )
        for name, x in shapes.items()
    }


def draw_knowledge(space, seed=0):
    rng = np.random.default_rng(seed)
    probs, slack = rng.dirichlet(np.ones(space.size), B), rng.uniform(0, 0.2, B)
    return Knowledge(jnp.asarray(probs, jnp.float32), jnp.asarray(slack, jnp.float32))


@pytest.fixture(params=[(m, s) for m in METHODS for s in SPACES], ids=lambda p: "-".join(p))
def method(request):
    name, space = request.param
    return methods.get(name, space=SPACES[space])


# The contract.


def test_encode(method):
    batch = draw_batch(method.space)
    target = method.encode(batch["labels"], batch["sigma"])
    assert target.shape == (B, method.space.size)
    assert target.dtype == jnp.float32
    assert (target >= 0).all()
    np.testing.assert_allclose(target.sum(-1), 1, rtol=1e-5)


def test_loss_and_its_gradient(method):
    batch, outputs = draw_batch(method.space), draw_outputs(method)
    for knowledge in (None, draw_knowledge(method.space)):
        loss = method.loss(outputs, batch, knowledge)
        assert loss.shape == (B,)
        assert loss.dtype == jnp.float32
        assert jnp.isfinite(loss).all()
        gradient = jax.grad(lambda x, k=knowledge: method.loss(x, batch, k).sum())(outputs)
        for name, x in gradient.items():
            assert jnp.isfinite(x).all(), name
            assert (x != 0).any(), f"nothing is learnt of {name}"


def test_extreme_outputs_keep_loss_and_gradient_finite(method):
    batch, outputs = draw_batch(method.space), draw_outputs(method, scale=1e4)
    knowledge = method.teach(outputs, batch)
    loss, gradient = jax.value_and_grad(lambda x: method.loss(x, batch, knowledge).sum())(outputs)
    assert jnp.isfinite(loss)
    assert all(jnp.isfinite(x).all() for x in gradient.values())


def test_predict(method):
    prediction = method.predict(draw_outputs(method))
    assert prediction.value.shape == (B,)
    assert prediction.probs.shape == (B, method.space.size)
    assert prediction.value.dtype == prediction.probs.dtype == jnp.float32
    np.testing.assert_allclose(prediction.probs.sum(-1), 1, rtol=1e-5)
    for value in (prediction.value, *prediction.heads.values()):
        assert ((value >= method.space.low) & (value <= method.space.high)).all()


def test_teach(method):
    batch = draw_batch(method.space)
    knowledge = method.teach(draw_outputs(method), batch)
    assert isinstance(knowledge, Knowledge)
    assert knowledge.probs.shape == (B, method.space.size)
    assert knowledge.slack.shape == (B,)
    assert knowledge.probs.dtype == knowledge.slack.dtype == jnp.float32
    np.testing.assert_allclose(knowledge.probs.sum(-1), 1, rtol=1e-5)
    assert ((knowledge.slack >= 0) & (knowledge.slack <= 1)).all()


def test_jit_is_eager_and_a_batch_is_its_pictures(method):
    batch, outputs = draw_batch(method.space), draw_outputs(method)
    knowledge = draw_knowledge(method.space)

    def everything(outputs, batch, knowledge):
        return (
            method.encode(batch["labels"], batch["sigma"]),
            method.loss(outputs, batch),
            method.loss(outputs, batch, knowledge),
            method.predict(outputs),
            method.teach(outputs, batch),
        )

    eager = everything(outputs, batch, knowledge)
    jitted = jax.jit(everything)(outputs, batch, knowledge)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), eager, jitted)
    turned = jax.tree.map(lambda x: x[::-1], (outputs, batch, knowledge))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b[::-1], rtol=1e-5, atol=1e-6),
        eager,
        everything(*turned),
    )


@pytest.mark.parametrize(("teacher", "student"), PAIRS)
def test_any_method_teaches_any_other(teacher, student):
    space = SPACES["years"]
    teacher, student = (methods.get(name, space=space) for name in (teacher, student))
    batch = draw_batch(space)
    features = jnp.asarray(np.random.default_rng(1).normal(size=(B, D)), jnp.float32)
    knowledge = teacher.teach(draw_outputs(teacher), batch)
    shapes = jax.eval_shape(lambda key: student.head.init(key, D), jax.random.key(0))
    params = jax.tree.map(lambda x: jnp.full(x.shape, 0.1, x.dtype), shapes)

    def loss(params):
        return student.loss(student.head.apply(params, features), batch, knowledge).mean()

    before, gradient = jax.value_and_grad(loss)(params)
    after = loss(jax.tree.map(lambda w, g: w - 1e-3 * g, params, gradient))
    assert after < before


def test_a_methods_hyper_parameters_are_all_of_its_factorys(method):
    assert dict(method.hyper_parameters) == methods.hyper_parameters(method.name)
    assert method.name in METHODS


# CEN, as the paper has it.


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.fixture
def cen():
    """CEN's float64 quantities z, s, y, o and l, and what the library gets of them."""
    space = SPACES["years"]
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
def test_cen_initial_ancestor(cen, lam):
    """L¹ = -Σ o_i ln p_i + λ |s - y|, p = softmax(z) (Eqs. 3, 4, 9 and 14)."""
    q, outputs, batch = cen
    method = methods.get("cen", space=SPACES["years"], lam=lam)
    expected = -(q["o"] * np.log(softmax(q["z"]))).sum(-1) + lam * np.abs(q["s"] - q["y"])
    np.testing.assert_allclose(method.loss(outputs, batch), expected, rtol=1e-5)


@pytest.mark.parametrize(("alpha", "lam", "tau"), [(0.5, 4.0, 2.0), (0.2, 1.0, 3.0), (1, 0, 1)])
def test_cen_evolution(cen, alpha, lam, tau):
    """Lᵗ = α L_kl + (1-α) L_ce + λ max(0, |s - y| - Δs), L_kl at τ (Eqs. 6, 7, 13 and 15)."""
    q, outputs, batch = cen
    rng = np.random.default_rng(4)
    ancestor_z, ancestor_s = rng.normal(0, 2, q["z"].shape), rng.normal(0.5, 0.3, B)
    method = methods.get("cen", space=SPACES["years"], alpha=alpha, lam=lam, temperature=tau)
    ancestor = {"logits": ancestor_z, "score": ancestor_s}
    knowledge = method.teach({n: jnp.asarray(x, jnp.float32) for n, x in ancestor.items()}, batch)

    taught, slack = softmax(ancestor_z / tau), np.abs(ancestor_s - q["y"])  # Eqs. 4 and 10
    np.testing.assert_allclose(knowledge.probs, taught, rtol=1e-5)
    np.testing.assert_allclose(knowledge.slack, slack, rtol=1e-5, atol=1e-7)

    kl = -(taught * np.log(softmax(q["z"] / tau))).sum(-1)
    ce = -(q["o"] * np.log(softmax(q["z"]))).sum(-1)
    beyond = np.maximum(0, np.abs(q["s"] - q["y"]) - slack)
    assert (beyond > 0).any()
    assert (beyond == 0).any()
    expected = alpha * kl + (1 - alpha) * ce + lam * beyond
    np.testing.assert_allclose(method.loss(outputs, batch, knowledge), expected, rtol=1e-5)


def test_cen_transfer_term_is_the_divergence_but_for_the_ancestors_entropy(cen):
    """Eq. 6 is Eq. 5 less Σ p ln p, so a student that equals its ancestor has no gradient."""
    _, outputs, batch = cen
    method = methods.get("cen", space=SPACES["years"], alpha=1.0, lam=0.0)
    knowledge = method.teach(outputs, batch)
    gradient = jax.grad(lambda x: method.loss(x, batch, knowledge).sum())(outputs)
    np.testing.assert_allclose(gradient["logits"], 0, atol=1e-6)


def test_cen_estimate(cen):
    """ŷ_ldl = Σ p_i l_i, ŷ_reg = (l_k - l_1) s + l_1, ŷ their mean (Eqs. 16-18)."""
    q, outputs, _ = cen
    prediction = methods.get("cen", space=SPACES["years"]).predict(outputs)
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
    }


def test_cen_open_choices(cen):
    """The hard term at another temperature, and the transfer term times τ²."""
    q, outputs, batch = cen
    knowledge = draw_knowledge(SPACES["years"])
    options = {"hard_temperature": 2.0, "scale_by_temperature_squared": True, "lam": 0.0}
    method = methods.get("cen", space=SPACES["years"], temperature=3.0, **options)
    kl = -(np.asarray(knowledge.probs, np.float64) * np.log(softmax(q["z"] / 3))).sum(-1)
    ce = -(q["o"] * np.log(softmax(q["z"] / 2))).sum(-1)
    expected = 0.5 * 9 * kl + 0.5 * ce
    np.testing.assert_allclose(method.loss(outputs, batch, knowledge), expected, rtol=1e-5)


# The others, where the contract leaves something to say.


@pytest.mark.parametrize("name", ["dldl", "dldl_v2"])
def test_a_pictures_own_sigma_where_known_else_the_default(name):
    method = methods.get(name, space=AGE, sigma=3.0)
    labels = jnp.asarray([20.0, 40.3, 60.0], jnp.float32)
    target = method.encode(labels, jnp.asarray([1.5, jnp.nan, 6.0], jnp.float32))
    for row, label, sigma in zip(target, [20, 40.3, 60], [1.5, 3, 6], strict=True):
        density = np.exp(-0.5 * ((np.arange(101) - label) / sigma) ** 2)
        np.testing.assert_allclose(row, density / density.sum(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "cen"])
def test_a_taught_distribution_method_mixes_as_eq_7(name):
    space = SPACES["years"]
    method = methods.get(name, space=space, alpha=0.3, temperature=3.0)
    outputs, batch, knowledge = draw_outputs(method), draw_batch(space), draw_knowledge(space)
    z = np.asarray(outputs["logits"], np.float64)
    transfer = -(np.asarray(knowledge.probs, np.float64) * np.log(softmax(z / 3))).sum(-1)
    expected = 0.3 * transfer + 0.7 * np.asarray(method.loss(outputs, batch), np.float64)
    np.testing.assert_allclose(method.loss(outputs, batch, knowledge), expected, rtol=1e-5)
    teacher = method.teach(outputs, batch)
    np.testing.assert_allclose(teacher.probs, softmax(z / 3), rtol=1e-4)
    error = np.abs(softmax(z) @ space.values - np.asarray(batch["labels"], np.float64))
    np.testing.assert_allclose(teacher.slack, error / (space.high - space.low), rtol=1e-4)


def test_dldl_v2_is_dldl_and_the_expectations_error():
    space = SPACES["years"]
    both, one = (methods.get(n, space=space, sigma=1.5) for n in ("dldl_v2", "dldl"))
    outputs, batch = draw_outputs(one), draw_batch(space)
    error = jnp.abs(one.predict(outputs).value - batch["labels"])
    expected = one.loss(outputs, batch) + error
    np.testing.assert_allclose(both.loss(outputs, batch), expected, rtol=1e-5)
    mean = methods.get("dldl_v2", space=space, sigma=1.5, kl_reduction="mean")
    expected = one.loss(outputs, batch) / space.size + error
    np.testing.assert_allclose(mean.loss(outputs, batch), expected, rtol=1e-5)


# Getting one.

OWN = """
import dataclasses

from ldl_jax import losses, methods

def median_free(space, weight, power=2.0):
    made = methods.dex(space)
    return dataclasses.replace(made, name="own", hyper_parameters={"weight": weight})

def bare(space, weight=3.0):
    return methods.get("dldl", space=space, sigma=weight)

def wrong(space):
    return "a string"

number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A researcher's own module, not part of the library."""
    (tmp_path / "researchers_own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "researchers_own"


def test_a_method_passes_through():
    method = methods.get("dex", space=AGE)
    assert methods.get(method, space=AGE) is method


def test_a_users_own_factory(own):
    method = methods.get(f"{own}:median_free", space=AGE, weight=2.5)
    assert isinstance(method, Method)
    assert (method.name, method.hyper_parameters) == ("own", {"weight": 2.5})
    outputs, batch = draw_outputs(method), draw_batch(AGE)
    expected = methods.get("dex", space=AGE).loss(outputs, batch)
    np.testing.assert_array_equal(method.loss(outputs, batch), expected)
    assert methods.hyper_parameters(f"{own}:bare") == {"weight": 3.0}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cne", r"method.name: unknown method 'cne'; known: cen, dex, .*package.module:factory"),
        ("", "unknown method ''"),
        ("no_such_module:make", "cannot import 'no_such_module:make'.*no_such_module"),
        ("researchers_own:absent", "cannot import 'researchers_own:absent'.*absent"),
        ("researchers_own:number", "not callable"),
        ("researchers_own:wrong", "returned str, not a Method"),
        (":make", "cannot import ':make'"),
    ],
)
@pytest.mark.usefixtures("own")
def test_names_that_are_no_method(name, says):
    with pytest.raises(ValueError, match=says):
        methods.get(name, space=AGE)


def test_a_hyper_parameter_without_a_default_must_be_given(own):
    with pytest.raises(ValueError, match=r"method\.weight: .*must be given"):
        methods.get(f"{own}:median_free", space=AGE)


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        (
            "cen",
            {"sigma": 1.0},
            r"method.sigma: 'cen' has no such.*it has: lam, alpha, temperature",
        ),
        ("dex", {"lam": 1.0}, r"method.lam: 'dex' has no such.*it has: alpha, temperature$"),
        ("cen", {"lam": -1.0}, r"method.lam: .*at least 0, got -1.0"),
        ("cen", {"lam": "4"}, r"method.lam: .*got '4'"),
        ("cen", {"lam": True}, r"method.lam: .*got True"),
        ("cen", {"lam": float("nan")}, r"method.lam: .*got nan"),
        ("cen", {"alpha": 1.5}, r"method.alpha: .*at most 1, got 1.5"),
        ("cen", {"temperature": 0.0}, r"method.temperature: .*more than 0, got 0.0"),
        ("cen", {"hard_temperature": -1}, r"method.hard_temperature: .*more than 0"),
        ("cen", {"scale_by_temperature_squared": 2.0}, r"method.scale_by.*True or False, got 2.0"),
        ("dex", {"alpha": -0.1}, r"method.alpha"),
        ("dldl", {"sigma": -2.0}, r"method.sigma"),
        ("dldl", {"temperature": float("inf")}, r"method.temperature: .*got inf"),
        ("dldl_v2", {"lam": None}, r"method.lam"),
        ("dldl_v2", {"kl_reduction": "max"}, r"method.kl_reduction: .*'sum' or 'mean', got 'max'"),
    ],
)
def test_hyper_parameters_that_are_wrong(name, given, says):
    with pytest.raises(ValueError, match=says):
        methods.get(name, space=AGE, **given)
