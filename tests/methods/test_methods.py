"""One contract for every method, and any as the teacher of any other."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import decoders, encodings, losses, methods
from ldl_jax.labels import ADIENCE, AGE, LabelSpace
from ldl_jax.methods import METHODS, Knowledge, Method
from ldl_jax.run.config import defaults, parse

B, D = 6, 4
# As many values in each, so that what is drawn for one serves for all.
SPACES = {
    "years": LabelSpace.range(10, 24, 2),
    "score": LabelSpace.range(1, 4.5, 0.5, unit="score"),
    "groups": ADIENCE,
}
COUNTS = np.array([3, 9, 0, 4, 1, 7, 2, 5])
REGRESSED = ("regression_l1", "regression_l2", "ssr")  # their value may leave the space
# More than one of a name: forms that differ in more than a number.
CASES = {name: (name, {}) for name in METHODS} | {
    "ranking, importance": ("ranking", {"importance": True, "decode": "expectation"}),
    "coral, median": ("coral", {"decode": "median"}),
    "dldl_v2, mean": ("dldl_v2", {"kl_reduction": "mean", "decode": "mode"}),
    "emd, plain": ("emd", {"squared": False, "sigma": 1.5}),
    "ssr, softmax": ("ssr", {"activation": "softmax", "stages": (3, 2)}),
    "regression_l1, weighted": ("regression_l1", {"smoothed_weights": True, "sigma": 1.0}),
    "sord, squared": ("sord", {"distance": "squared"}),
    "clm, probit": ("clm", {"link": "probit", "decode": "rank_count"}),
    "clm, cloglog": ("clm", {"link": "cloglog"}),
    "stick_breaking, one_hot": ("stick_breaking", {"encoding": "one_hot", "decode": "mode"}),
    "cdw_ce, margin": ("cdw_ce", {"power": 2.0, "margin": 0.025}),
    "dex, scaled": ("dex", {"scale_by_temperature_squared": True}),
}


def make(case, space):
    name, given = CASES[case]
    return methods.get(name, space=space, counts=COUNTS, **given)


def draw_batch(space, seed=0):
    """Labels at the ends, on a value and between values; sigma known, zero and unknown."""
    rng = np.random.default_rng(seed)
    labels = rng.uniform(space.low, space.high, B)
    labels[:3] = space.low, space.high, space.values[2]
    sigma = rng.uniform(0.5, 4, B)
    sigma[[1, 3]], sigma[2] = np.nan, 0
    return {"labels": jnp.asarray(labels, "float32"), "sigma": jnp.asarray(sigma, "float32")}


def output_shapes(method):
    return jax.eval_shape(
        lambda key: method.head.apply(method.head.init(key, D), jnp.zeros((B, D))),
        jax.random.key(0),
    )


def draw_outputs(method, seed=0, scale=2.0):
    """What the method's own head might put out; a score is a normalised value, in [0, 1]."""
    rng = np.random.default_rng(seed)
    outputs = {
        name: jnp.asarray(
            rng.uniform(0, 1, x.shape) if name == "score" else rng.normal(0, scale, x.shape),
            x.dtype,
        )
        for name, x in output_shapes(method).items()
    }
    if method.name == "clm":  # its head's thresholds rise
        outputs = {name: -jnp.sort(-x, axis=-1) for name, x in outputs.items()}
    return outputs


def draw_knowledge(space, seed=0):
    rng = np.random.default_rng(seed)
    probs, slack = rng.dirichlet(np.ones(space.size), B), rng.uniform(0, 0.05, B)
    return Knowledge(jnp.asarray(probs, jnp.float32), jnp.asarray(slack, jnp.float32))


def everything(method, outputs, batch, knowledge):
    """All that a method does with a batch, its losses' gradients included."""

    def total(outputs, knowledge):
        loss = method.loss(outputs, batch, knowledge)
        return loss.sum(), loss

    learn = jax.value_and_grad(total, has_aux=True)
    (_, own), own_gradient = learn(outputs, None)
    (_, taught), taught_gradient = learn(outputs, knowledge)
    return {
        "target": method.encode(batch["labels"], batch["sigma"]),
        "loss": (own, taught),
        "gradient": (own_gradient, taught_gradient),
        "prediction": method.predict(outputs),
        "knowledge": method.teach(outputs, batch),
    }


@functools.cache
def answers(case, space, scale=2.0):
    """`everything` jitted: compiled once a case and space, whatever is then asked of it."""
    method = make(case, SPACES[space])
    batch, knowledge = draw_batch(method.space), draw_knowledge(method.space)
    return method, compiled(case, space)(draw_outputs(method, scale=scale), batch, knowledge)


@functools.cache
def compiled(case, space):
    return jax.jit(functools.partial(everything, make(case, SPACES[space])))


@pytest.fixture(params=itertools.product(CASES, SPACES), ids=lambda p: "-".join(p))
def answered(request):
    return answers(*request.param)


# The contract.


def test_encode(answered):
    method, answer = answered
    target = answer["target"]
    assert target.dtype == jnp.float32
    assert target.shape in {(B,), (B, method.space.size - 1), (B, method.space.size)}
    assert jnp.isfinite(target).all()
    if target.shape == (B, method.space.size):
        assert (target >= 0).all()
        np.testing.assert_allclose(target.sum(-1), 1, rtol=1e-5)


def test_loss_and_its_gradient(answered):
    _, answer = answered
    for loss, gradient in zip(answer["loss"], answer["gradient"], strict=True):
        assert loss.shape == (B,)
        assert loss.dtype == jnp.float32
        assert jnp.isfinite(loss).all()
        for name, x in gradient.items():
            assert jnp.isfinite(x).all(), name
            assert (x != 0).any(), f"nothing is learnt of {name}"


def test_predict(answered):
    method, answer = answered
    prediction = answer["prediction"]
    assert prediction.value.shape == (B,)
    assert prediction.probs.shape == (B, method.space.size)
    assert prediction.value.dtype == prediction.probs.dtype == jnp.float32
    assert (prediction.probs >= 0).all()
    np.testing.assert_allclose(prediction.probs.sum(-1), 1, rtol=1e-5)
    assert jnp.isfinite(prediction.value).all()
    if method.name not in REGRESSED:
        for value in (prediction.value, *prediction.heads.values()):
            assert ((value >= method.space.low) & (value <= method.space.high)).all()


def test_teach(answered):
    method, answer = answered
    knowledge = answer["knowledge"]
    assert isinstance(knowledge, Knowledge)
    assert knowledge.probs.shape == (B, method.space.size)
    assert knowledge.slack.shape == (B,)
    assert knowledge.probs.dtype == knowledge.slack.dtype == jnp.float32
    assert (knowledge.probs >= 0).all()
    np.testing.assert_allclose(knowledge.probs.sum(-1), 1, rtol=1e-5)
    span = method.space.high - method.space.low
    error = jnp.abs(answer["prediction"].value - draw_batch(method.space)["labels"])
    # CEN's slack is of its regression head alone (Eq. 10).
    if method.name != "cen":
        np.testing.assert_allclose(knowledge.slack, error / span, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_extreme_outputs_keep_everything_finite(case):
    _, answer = answers(case, "years", scale=1e4)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(answer))


@pytest.mark.parametrize("case", CASES)
def test_jit_is_eager_and_a_batch_is_its_pictures(case):
    method, answer = answers(case, "years")
    turned = jax.tree.map(
        lambda x: x[::-1],
        (draw_outputs(method), draw_batch(method.space), draw_knowledge(method.space)),
    )
    eager = everything(method, *turned)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b[::-1], rtol=1e-4, atol=1e-5), answer, eager
    )


def test_hyper_parameters_are_all_of_the_factory_s():
    for case, (name, given) in CASES.items():
        expected = methods.hyper_parameters(name) | given
        method = make(case, AGE if not given.get("importance") else SPACES["years"])
        assert dict(method.hyper_parameters) == expected
        assert method.name == name


def test_a_hyper_parameter_of_several_methods_has_one_type():
    types = {}
    for name in METHODS:
        for key, value in methods.hyper_parameters(name).items():
            assert types.setdefault(key, type(value)) is type(value), f"{name}: {key}"


# Each method's first generation, wired to its loss.


def of_logits(loss, *more, **given):
    return lambda o, b, space: loss(o["logits"], b["labels"], space, *more, **given)


OWN = {
    "cdw_ce": lambda o, b, s: losses.cdw_ce(o["logits"], encodings.one_hot(b["labels"], s)),
    "slace": of_logits(losses.slace),
    "clm": lambda o, b, s: losses.cumulative_link(
        o["rank_logits"], encodings.one_hot(b["labels"], s)
    ),
    "copoc": of_logits(losses.dex),
    "stick_breaking": lambda o, b, s: losses.conditional_cross_entropy(
        o["rank_logits"],
        encodings.ranks_from_distribution(encodings.exponential(b["labels"], s)),
    ),
    "stage_ldl": lambda o, b, s: stage_ldl(o, b["labels"], s),
    "cen": lambda o, b, s: losses.cen_initial(o["logits"], o["score"], b["labels"], s, 4.0),
    "dex": of_logits(losses.dex),
    "mean_variance": of_logits(losses.mean_variance, 0.2, 0.05),
    "mean_residue": of_logits(losses.mean_residue, 0.2, 0.05),
    "unimodal": of_logits(losses.unimodal_concentrated, 1000.0),
    "crps": of_logits(losses.crps),
    "sord": of_logits(losses.sord),
    "sord, squared": of_logits(losses.sord, distance="squared"),
    "weighted_kappa": of_logits(losses.weighted_kappa),
    "dldl": lambda o, b, s: losses.kl_divergence(o["logits"], gaussian(b, s)),
    "dldl_v2": lambda o, b, s: losses.dldl_v2(o["logits"], gaussian(b, s), b["labels"], s),
    "emd": lambda o, b, s: losses.squared_emd(o["logits"], encodings.one_hot(b["labels"], s)),
    "emd, plain": lambda o, b, s: losses.emd(o["logits"], gaussian(b, s, 1.5), s),
    "hl_gauss": lambda o, b, s: losses.cross_entropy(
        o["logits"], encodings.hl_gauss(b["labels"], s, 2.0)
    ),
    "soft_labels": lambda o, b, s: losses.cross_entropy(
        o["logits"], encodings.triangular(b["labels"], s)
    ),
    "focal": lambda o, b, s: losses.focal(o["logits"], encodings.one_hot(b["labels"], s)),
    "balanced_softmax": lambda o, b, s: losses.balanced_softmax(
        o["logits"], encodings.one_hot(b["labels"], s), COUNTS
    ),
    "ranking": lambda o, b, s: losses.ordinal_cross_entropy(
        o["rank_logits"], encodings.rank(b["labels"], s)
    ),
    "ranking, importance": lambda o, b, s: losses.ordinal_cross_entropy(
        o["rank_logits"],
        encodings.rank(b["labels"], s),
        losses.importance_weights(np.asarray([3, 9, 0, 4, 1, 7, 2], "float32")),
    ),
    "coral": lambda o, b, s: losses.coral(o["rank_logits"], encodings.rank(b["labels"], s)),
    "corn": lambda o, b, s: losses.corn(o["rank_logits"], b["labels"], s),
    "megaage": lambda o, b, s: losses.megaage(
        o["logits"], o["rank_logits"], b["labels"], s, known(b), 3.0
    ),
    "regression_l1": lambda o, b, s: losses.l1(o["score"], encodings.normalised(b["labels"], s)),
    "regression_l2": lambda o, b, s: losses.l2(o["score"], encodings.normalised(b["labels"], s)),
    "regression_l1, weighted": lambda o, b, s: (
        losses.l1(o["score"], encodings.normalised(b["labels"], s))
        * losses.weights_of(b["labels"], losses.lds_weights(COUNTS, s, 2.0), s)
    ),
    "ssr": lambda o, b, s: losses.l1(stagewise_value(o, s), b["labels"]),
}


def stage_ldl(o, labels, space):
    knots = LabelSpace(tuple(np.linspace(space.low, space.high, 5).tolist()))
    theta = (o["widths"] * encodings.two_hot(labels, knots)).sum(-1)
    sigma = 2.0 * 3.0 ** jnp.tanh(theta)
    value = decoders.expectation(jax.nn.softmax(o["logits"]), space)
    target = encodings.gaussian(labels, space, sigma)
    fitted = jnp.log(sigma) + ((value - labels) / sigma) ** 2 / 2
    return losses.dldl_v2(o["logits"], target, labels, space) + fitted


def known(batch, sigma=2.0):
    return jnp.where(jnp.isnan(batch["sigma"]), sigma, batch["sigma"])


def gaussian(batch, space, sigma=2.0):
    return encodings.gaussian(batch["labels"], space, known(batch, sigma))


def stagewise_value(o, space):
    return decoders.soft_stagewise(
        [jax.nn.relu(o[f"probs{k}"]) for k in (1, 2, 3)],
        [jnp.tanh(o[f"offsets{k}"]) for k in (1, 2, 3)],
        [jnp.tanh(o[f"range{k}"]) for k in (1, 2, 3)],
        16.0,  # 10, 12, ..., 24
        low=space.low,
    )


def test_every_method_is_wired():
    assert set(METHODS) <= set(OWN)


@pytest.mark.parametrize("case", OWN)
def test_the_first_generation_s_loss(case):
    method, answer = answers(case, "years")
    expected = OWN[case](draw_outputs(method), draw_batch(method.space), method.space)
    np.testing.assert_allclose(answer["loss"][0], expected, rtol=1e-4, atol=1e-5)


# Any teaches any.


@functools.cache
def student_step(name):
    """Two steps of a student's head on some features, and the losses before, between and after."""
    student = methods.get(name, space=SPACES["years"], counts=COUNTS)
    rng = np.random.default_rng(1)
    features = jnp.asarray(rng.normal(size=(B, D)), jnp.float32)
    shapes = jax.eval_shape(lambda key: student.head.init(key, D), jax.random.key(0))
    batch = draw_batch(student.space)

    def loss(params, knowledge):
        return student.loss(student.head.apply(params, features), batch, knowledge).mean()

    def steps(knowledge):
        params = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), shapes)
        seen = []
        for _ in range(2):
            value, gradient = jax.value_and_grad(loss)(params, knowledge)
            size = sum(jnp.sum(g * g) for g in jax.tree.leaves(gradient))
            rate = 0.002 * value / size  # of a straight line, 0.2 % of the loss
            params = jax.tree.map(lambda w, g, rate=rate: w - rate * g, params, gradient)
            seen.append(value)
        return [*seen, loss(params, knowledge)]

    return jax.jit(steps)


@functools.cache
def lesson(name):
    teacher = methods.get(name, space=SPACES["years"], counts=COUNTS)
    return teacher.teach(draw_outputs(teacher), draw_batch(teacher.space))


@pytest.mark.parametrize("student", METHODS)
@pytest.mark.parametrize("teacher", METHODS)
def test_any_method_teaches_any_other(teacher, student):
    before, between, after = student_step(student)(lesson(teacher))
    assert np.isfinite([before, between, after]).all()
    assert after < between < before


# Getting one.

MODULE = """
import dataclasses

from ldl_jax import losses, methods

def median_free(space, weight, power=2.0):
    made = methods.dex(space)
    return dataclasses.replace(made, name="own", hyper_parameters={"weight": weight})

def bare(space, weight=3.0):
    return methods.get("dldl", space=space, sigma=weight)

def from_a_loss(space, weight=1.0):
    def loss(logits, labels):
        return losses.crps(logits, labels, space) + weight * losses.dex(logits, labels, space)
    return methods.from_loss(loss, space)

@methods.completed(decode="median")
def defined(space, weight=1.0):
    def loss(outputs, batch):
        return weight * losses.dex(outputs["logits"], batch["labels"], space)
    return methods.Definition(loss)

def counted(space, counts):
    return dataclasses.replace(methods.get("dex", space=space), name=str(sum(counts)))

def wrong(space):
    return "a string"

number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A researcher's own module, not part of the library."""
    (tmp_path / "researchers_own.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "researchers_own"


def test_a_method_passes_through():
    method = methods.get("dex", space=AGE)
    assert methods.get(method, space=AGE) is method


def test_a_users_own_factory(own):
    method = methods.get(f"{own}:median_free", space=AGE, weight=2.5)
    assert isinstance(method, Method)
    assert (method.name, method.hyper_parameters) == ("own", {"weight": 2.5, "power": 2.0})
    outputs, batch = draw_outputs(method), draw_batch(AGE)
    expected = methods.get("dex", space=AGE).loss(outputs, batch)
    np.testing.assert_array_equal(method.loss(outputs, batch), expected)


def test_a_users_own_factory_that_wraps_another_is_made_again_by_its_own_name(own):
    """A checkpoint keeps the hyper-parameters that the factory itself takes."""
    assert methods.hyper_parameters(f"{own}:bare") == {"weight": 3.0}
    method = methods.get(f"{own}:bare", space=AGE)
    assert method.hyper_parameters == {"weight": 3.0}
    methods.get(f"{own}:bare", space=AGE, **method.hyper_parameters)


def test_a_users_own_loss(own):
    method = methods.get(f"{own}:from_a_loss", space=AGE, weight=0.5)
    outputs, batch = draw_outputs(method), draw_batch(AGE)
    expected = losses.crps(outputs["logits"], batch["labels"], AGE) + 0.5 * losses.dex(
        outputs["logits"], batch["labels"], AGE
    )
    np.testing.assert_allclose(method.loss(outputs, batch), expected, rtol=1e-6)
    assert method.hyper_parameters == {"weight": 0.5}
    taught = method.loss(outputs, batch, method.teach(outputs, batch))
    assert jnp.isfinite(taught).all()


def test_a_users_own_definition_takes_decode_and_transfer_from_a_config(own):
    method = methods.get(f"{own}:defined", space=AGE, weight=0.5, alpha=0.3)
    expected = {
        "weight": 0.5,
        "decode": "median",
        "alpha": 0.3,
        "temperature": 2.0,
        "scale_by_temperature_squared": False,
    }
    assert (method.name, method.hyper_parameters) == ("defined", expected)
    assert methods.hyper_parameters(f"{own}:defined").keys() == expected.keys()


def test_counts_reach_a_users_own_factory(own):
    assert methods.get(f"{own}:counted", space=AGE, counts=[7] * 101).name == "707"
    assert "counts" not in methods.hyper_parameters(f"{own}:counted")


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("balanced_softmax", {}),
        ("ranking", {"importance": True}),
        ("regression_l2", {"smoothed_weights": True}),
    ],
)
def test_only_a_loss_asks_for_the_counts(name, given):
    method = methods.get(name, space=AGE, **given)
    outputs, batch = draw_outputs(method), draw_batch(AGE)
    method.predict(outputs)
    with pytest.raises(ValueError, match=r"counts: .*need.* the training labels' counts"):
        method.loss(outputs, batch)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "cne",
            r"method.name: unknown method 'cne'; known: balanced_softmax, cdw_ce, .*module:factory",
        ),
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
        (
            "dex",
            {"lam": 1.0},
            r"method.lam: 'dex' has no such.*it has: decode, alpha, temperature, scale_by_\w+, "
            r"target, target_smoothing$",
        ),
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
        ("dldl_v2", {"kl_reduction": "max"}, r"method.kl_reduction: .*one of sum, mean, got 'max'"),
        ("dex", {"decode": "rank_count"}, r"method.decode: .*one of expectation, .*'rank_count'"),
        ("corn", {"decode": "mean"}, r"method.decode: .*one of rank_count, expectation, median"),
        ("cen", {"decode": "rank_count"}, r"method.decode"),
        ("ranking", {"importance": 1.0}, r"method.importance: .*True or False, got 1.0"),
        ("coral", {"importance": True}, r"method.importance: 'coral' has no such"),
        ("regression_l1", {"smoothed_weights": 2}, r"method.smoothed_weights: .*got 2"),
        ("regression_l1", {"smoothing": 0.0}, r"method.smoothing: .*more than 0"),
        ("regression_l2", {"sigma": -1.0}, r"method.sigma"),
        ("ssr", {"stages": (3, 0)}, r"method.stages: .*above 0, got \(3, 0\)"),
        ("ssr", {"stages": ()}, r"method.stages"),
        ("ssr", {"activation": "tanh"}, r"method.activation: .*relu, softmax, got 'tanh'"),
        ("ssr", {"least": -1.0}, r"method.least"),
        ("ssr", {"delta_scale": -1.0}, r"method.delta_scale"),
        ("ssr", {"offset_scale": float("nan")}, r"method.offset_scale"),
        ("emd", {"squared": "yes"}, r"method.squared"),
        ("emd", {"sigma": -1.0}, r"method.sigma"),
        ("sord", {"distance": "cubed"}, r"method.distance: .*absolute, squared, got 'cubed'"),
        ("sord", {"alpha": 0.0}, r"method.alpha: .*more than 0, got 0.0"),
        ("sord", {"transfer_alpha": 1.5}, r"method.transfer_alpha: .*at most 1, got 1.5"),
        ("soft_labels", {"encoding": "gauss"}, r"method.encoding: .*beta, binomial"),
        ("focal", {"gamma": -1.0}, r"method.gamma"),
        ("hl_gauss", {"sigma": -1.0}, r"method.sigma"),
        ("mean_variance", {"mean_weight": -1.0}, r"method.mean_weight"),
        ("mean_variance", {"variance_weight": -1.0}, r"method.variance_weight"),
        ("mean_residue", {"residue_weight": -1.0}, r"method.residue_weight"),
        ("unimodal", {"lam": -1.0}, r"method.lam"),
        ("weighted_kappa", {"penalty": "cubic"}, r"method.penalty"),
        ("megaage", {"truncation": -1.0}, r"method.truncation"),
        ("megaage", {"sigma": -1.0}, r"method.sigma"),
        ("crps", {"alpha": 2.0}, r"method.alpha"),
    ],
)
def test_hyper_parameters_that_are_wrong(name, given, says):
    with pytest.raises(ValueError, match=says):
        methods.get(name, space=AGE, **given)


# What a factory has of its own, and what all methods of a distribution share.


def test_a_direct_call_takes_what_get_takes():
    direct = methods.dldl(SPACES["years"], 3.0, decode="median", alpha=0.3)
    named = methods.get("dldl", space=SPACES["years"], sigma=3.0, decode="median", alpha=0.3)
    outputs, batch = draw_outputs(direct), draw_batch(direct.space)
    assert direct.name == named.name == "dldl"
    for a, b in zip(direct.predict(outputs), named.predict(outputs), strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)
    knowledge = draw_knowledge(direct.space)
    np.testing.assert_array_equal(
        direct.loss(outputs, batch, knowledge), named.loss(outputs, batch, knowledge)
    )


def test_a_users_own_definition_is_completed():
    @methods.completed(decode="median")
    def mine(space, alpha=2.0):
        def loss(outputs, batch):
            return alpha * losses.dex(outputs["logits"], batch["labels"], space)

        return methods.Definition(loss)

    method = mine(SPACES["years"], alpha=3.0, transfer_alpha=0.25, temperature=1.0)
    outputs, batch = draw_outputs(method), draw_batch(method.space)
    own = 3.0 * losses.dex(outputs["logits"], batch["labels"], method.space)
    np.testing.assert_allclose(method.loss(outputs, batch), own, rtol=1e-6)
    knowledge = draw_knowledge(method.space)
    taught = losses.cross_entropy(outputs["logits"], knowledge.probs)
    expected = 0.25 * taught + 0.75 * own
    np.testing.assert_allclose(method.loss(outputs, batch, knowledge), expected, rtol=1e-5)
    median = decoders.median(jax.nn.softmax(outputs["logits"]), method.space)
    np.testing.assert_array_equal(method.predict(outputs).value, median)
    with pytest.raises(TypeError, match="sigma"):
        mine(SPACES["years"], sigma=2.0)


def test_a_direct_call_takes_them_by_position():
    method = methods.ranking(SPACES["years"], True, "median", 0.3, counts=COUNTS)
    outputs, batch = draw_outputs(method), draw_batch(method.space)
    median = decoders.median(method.predict(outputs).probs, method.space)
    np.testing.assert_array_equal(method.predict(outputs).value, median)
    named = methods.get("ranking", space=method.space, counts=COUNTS, importance=True, alpha=0.3)
    knowledge = draw_knowledge(method.space)
    expected = named.loss(outputs, batch, knowledge)
    np.testing.assert_array_equal(method.loss(outputs, batch, knowledge), expected)


def test_sords_slope_and_its_teachers_weight():
    space = SPACES["years"]
    method = methods.get("sord", space=space, alpha=0.3, transfer_alpha=1.0, temperature=1.0)
    outputs, batch, knowledge = draw_outputs(method), draw_batch(space), draw_knowledge(space)
    expected = losses.sord(outputs["logits"], batch["labels"], space, alpha=0.3)
    np.testing.assert_allclose(method.loss(outputs, batch), expected, rtol=1e-6)
    expected = losses.cross_entropy(outputs["logits"], knowledge.probs)
    np.testing.assert_allclose(method.loss(outputs, batch, knowledge), expected, rtol=1e-5)


def test_an_older_checkpoints_sord_is_made_again():
    saved = {
        "distance": "squared",
        "slope": 0.3,
        "decode": "mode",
        "alpha": 0.8,
        "temperature": 3.0,
        "scale_by_temperature_squared": False,
    }
    expected = {
        "distance": "squared",
        "alpha": 0.3,
        "decode": "mode",
        "transfer_alpha": 0.8,
        "temperature": 3.0,
        "scale_by_temperature_squared": False,
        "target": "own",
        "target_smoothing": 0.0,
    }
    method = methods.get("sord", space=AGE, **saved)
    assert method.hyper_parameters == expected
    assert methods.get("sord", space=AGE, **method.hyper_parameters).hyper_parameters == expected


@pytest.mark.parametrize("given", [{"slope": 0.3}, {"slope": 0.3, "alpha": 0.8}])
def test_an_old_name_is_refused_with_the_new_one(given):
    says = "method.slope: 'sord' .*slope is now alpha, alpha is now transfer_alpha"
    with pytest.raises(ValueError, match=says):
        methods.get("sord", space=AGE, **given)
    with pytest.raises(ValueError, match=r"method.slope: 'dex' has no such"):
        methods.get("dex", space=AGE, slope=1.0)


def test_a_config_s_old_name_reaches_that_message():
    config = defaults()
    config.method.name = "sord"
    config.method.slope = 2.0
    assert parse(config).method.hyper_parameters == {"slope": 2.0}
