"""Optimizers and schedules that a user brings along: made by name, checked, and trained with."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ldl_jax.train import optimizers
from ldl_jax.train.optimizers import OptimizerConfig, learning_rate, optimizer

LIKE = {
    "backbone": {"conv": {"kernel": jax.ShapeDtypeStruct((3, 3, 2, 8), jnp.float32)}},
    "head": {"bias": jax.ShapeDtypeStruct((5,), jnp.float32)},
}
CODE = """
import itertools
import jax, jax.numpy as jnp, numpy as np, optax

def signs(learning_rate, momentum=0.0, power=1.0):
    def init(params):
        return {"step": jnp.zeros([], jnp.int32)}
    def update(gradient, state, params=None):
        rate = learning_rate(state["step"]) * (1 - momentum)
        step = lambda g: -rate * jnp.sign(g) * jnp.abs(g) ** power
        return jax.tree.map(step, gradient), {"step": state["step"] + 1}
    return optax.GradientTransformation(init, update)

def changed(state=lambda p: jnp.zeros([]), new=lambda s, n: s, updates=lambda g: g):
    count = itertools.count()
    return optax.GradientTransformation(
        state, lambda g, s, p=None: (updates(g), new(s, next(count)))
    )

def no_rate(): return changed()
def nothing(learning_rate): return None
def fails(learning_rate): raise KeyError("momentum")
def float_state(learning_rate): return changed(state=lambda p: {"power": 0.5})
def key_state(learning_rate): return changed(state=lambda p: jax.random.key(0))
def growing(learning_rate): return changed(new=lambda s, n: (s, s))
def half(learning_rate):
    return changed(updates=lambda g: jax.tree.map(lambda x: x.astype(jnp.bfloat16), g))
def infinite(learning_rate): return changed(updates=lambda g: jax.tree.map(lambda x: x / 0, g))
def counts(learning_rate):
    count = itertools.count(1)
    return changed(updates=lambda g: jax.tree.map(lambda x: x * float(next(count)), g))
def decides(learning_rate):
    return changed(updates=lambda g: g if float(jax.tree.leaves(g)[0].sum()) > 0 else g)
def whole_tree(learning_rate):
    return changed(updates=lambda g: g["head"])

def triangle(steps, learning_rate=1e-3, peak=0.5):
    return lambda step: learning_rate * (1 - jnp.abs(step / steps - peak))
def constant(steps, rate=0.01): return lambda step: rate
def falls(steps): return lambda step: 0.001 * (5.0 - step)
def vector(steps): return lambda step: jnp.ones(2) * step
def branches(steps): return lambda step: 0.1 if step > 3 else 0.2
def zero(steps): return lambda step: 0.0 * step
def no_steps(rate): return lambda step: rate
"""


@pytest.fixture(autouse=True)
def usual_promotion(tmp_path, monkeypatch):
    """Optax promotes types, as JAX does by default."""
    (tmp_path / "my_optimizer.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def check(**keys):
    return optimizers.check(OptimizerConfig(**keys), 10, 40, LIKE)


@pytest.mark.parametrize(
    "name",
    [
        *("lion", "rmsprop", "adafactor", "lamb", "nadamw", "sgd"),
        *("contrib.prodigy", "contrib.schedule_free_adamw", "contrib.muon"),
    ],
)
def test_optimizers_of_optax_are_taken_by_their_names(name):
    module, _, attribute = f"optax.{name}".rpartition(".")
    assert check(name=f"{module}:{attribute}", weight_decay=0.0) == []


def test_an_optimizer_has_the_config_s_numbers_its_options_and_the_schedule():
    config = OptimizerConfig(
        name="optax:lion",
        learning_rate=0.1,
        schedule="cosine",
        weight_decay=0.5,
        options={"b1": 0.7, "b2": 0.8},
    )
    rate = learning_rate(config, 10, 40)
    expected = optax.lion(rate, b1=0.7, b2=0.8, weight_decay=0.5)
    params, gradient = {"a": jnp.linspace(-1, 1, 5)}, {"a": jnp.linspace(1, 2, 5)}
    made, theirs = optimizer(config, rate), expected
    state, other = made.init(params), theirs.init(params)
    for _ in range(3):
        updates, state = made.update(gradient, state, params)
        their_updates, other = theirs.update(gradient, other, params)
        np.testing.assert_array_equal(updates["a"], their_updates["a"])


def test_one_s_own_optimizer_and_schedule():
    config = OptimizerConfig(
        name="my_optimizer:signs",
        learning_rate=0.2,
        momentum=0.5,
        options={"power": 0.0},
        schedule="my_optimizer:triangle",
        schedule_options={"peak": 0.25},
    )
    rate = learning_rate(config, 10, 40)
    steps = np.arange(40)
    expected = 0.2 * (1 - np.abs(steps / 40 - 0.25))
    np.testing.assert_allclose([rate(step) for step in steps], expected, rtol=1e-6)
    made = optimizer(config, rate)
    updates, state = made.update({"a": jnp.array([-2.0])}, made.init({"a": jnp.ones(1)}), None)
    np.testing.assert_allclose(updates["a"], [0.2 * 0.75 * 0.5], rtol=1e-6)
    assert int(state["step"]) == 1
    warm = dataclasses.replace(config, warmup_epochs=1.0)
    rate = learning_rate(warm, 10, 40)  # the schedule has the other 30 steps
    np.testing.assert_allclose(rate(5), 0.5 * 0.2 * 0.75, rtol=1e-6)
    np.testing.assert_allclose(rate(10 + 15), 0.2 * 0.75, rtol=1e-6)


def test_what_the_config_says_and_a_factory_does_not_take_is_said():
    notes = check(name="my_optimizer:signs", schedule="my_optimizer:constant", weight_decay=0.01)
    assert [note.partition(":")[0] for note in notes] == [
        "optimizer.learning_rate",
        "optimizer.weight_decay",
    ]
    assert "'my_optimizer:signs' takes none, so nothing decays (the config has 0.01)" in notes[1]
    assert check(name="optax:lion", schedule="my_optimizer:triangle", weight_decay=0.01) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_rate", "must have a parameter named learning_rate; its parameters: none"),
        ("nothing", "gave NoneType, expected an optax.GradientTransformation"),
        ("fails", r"raised KeyError: 'momentum' \(my_optimizer.py:\d+\)"),
        ("float_state", r"gave float in its state\['power'\], expected arrays"),
        ("key_state", "expected arrays that a checkpoint can keep: jax.random.key_data"),
        ("growing", "gave state after an update of the form .*, expected that of the state before"),
        ("half", r"gave updates\['backbone'\].* of bfloat16.*, expected float32"),
        ("infinite", r"gave an update of \['backbone'\].* that is not finite"),
        ("counts", "gave other updates from the same gradient, expected a pure function"),
        ("decides", "its update raised ConcretizationTypeError|its update raised .*Tracer"),
        ("whole_tree", "gave updates of the form .*, expected that of the parameters"),
    ],
)
def test_an_optimizer_that_breaks_the_contract(name, says):
    with pytest.raises(ValueError, match=rf"^optimizer.name: 'my_optimizer:{name}'.* ?(?:{says})"):
        check(name=f"my_optimizer:{name}")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("falls", r"gave -0.001.* at step 6 \(34 such steps\), expected finite rates of 0 or more"),
        ("vector", r"gave shape \(2,\) of a step, expected a scalar"),
        ("branches", "cannot be jitted: .*the step is traced"),
        ("zero", "gave 0 at all 40 steps, expected a rate above 0"),
        ("no_steps", "must have a parameter named steps; its parameters: rate"),
    ],
)
def test_a_schedule_that_breaks_the_contract(name, says):
    with pytest.raises(ValueError, match=rf"^optimizer.schedule: 'my_optimizer:{name}' {says}"):
        check(schedule=f"my_optimizer:{name}")


def test_options_that_are_not_theirs():
    says = (
        r"^optimizer\.options\.beta: 'optax:lion' has no such option; its: b1, b2, mu_dtype, mask; "
        r"optimizer\.options\.weight_decay: the program gives 'optax:lion' this itself$"
    )
    with pytest.raises(ValueError, match=says):
        check(name="optax:lion", options={"beta": 1, "weight_decay": 2})
    with pytest.raises(ValueError, match=r"optimizer\.options\.b1: 'adam' has no options"):
        OptimizerConfig(name="adam", options={"b1": 0.5})
    says = r"optimizer\.schedule_options\.low: 'my_optimizer:triangle' has no .*: peak"
    with pytest.raises(ValueError, match=says):
        check(schedule="my_optimizer:triangle", schedule_options={"low": 1})
    with pytest.raises(ValueError, match=r"optimizer\.name: cannot import 'optax:adamm'"):
        check(name="optax:adamm")


def test_numbers_that_a_program_of_several_runs_can_be_given():
    own = OptimizerConfig(name="my_optimizer:signs", schedule="my_optimizer:triangle")
    assert optimizers.traces(own, "learning_rate")
    assert optimizers.traces(OptimizerConfig(name="optax:lion"), "weight_decay")
    assert not optimizers.traces(OptimizerConfig(name="my_optimizer:no_rate"), "learning_rate")
