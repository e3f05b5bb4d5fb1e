"""Small arrays that lie end to end are trained to the bits of arrays by themselves."""

import jax
import numpy as np
import pytest
from test_step import CEN, PREPROCESSING, RECIPE, B, draw_part, feed, snapshot

from ldl_jax.placement import make_placement
from ldl_jax.train import flat, transfer
from ldl_jax.train.compiled import jit_train_steps
from ldl_jax.train.faults import FaultConfig
from ldl_jax.train.flat import Layout
from ldl_jax.train.optimizers import OptimizerConfig, learning_rate, optimizer
from ldl_jax.train.state import init_state
from ldl_jax.train.step import make_train_step

pytestmark = pytest.mark.usefixtures("optax_promotes")


@pytest.fixture(autouse=True)
def _few_are_small(monkeypatch):
    """The dense layer's kernel of 768 is large, and all others are small."""
    monkeypatch.setattr(flat, "_SMALL", 100)


def transform_of(model, name, **options):
    config = OptimizerConfig(name, 1e-2, warmup_epochs=0.1, weight_decay=0.01)
    made = optimizer(config, learning_rate(config, 10, 20))
    if options.get("frozen"):
        return transfer.head_only(made)
    if options.get("by_name"):
        return transfer.scaled(made, transfer.learning_rate_factors(model, 0.5, 0.7))
    return made


def train(
    model, weights, name, *, laid_out, frozen=False, by_name=False, ema=0.0, skip=False, devices=1
):
    """The state and the scalars after two calls of two steps and of one."""
    place = make_placement(devices)
    pictures = feed(draw_part(), place.place, place.device_put)
    made = transform_of(model, name, frozen=frozen, by_name=by_name)
    state = init_state(weights, made, 1, jax.random.key(5), average=ema > 0)
    layout = Layout(jax.eval_shape(lambda: state), by_name) if laid_out else None
    faults = FaultConfig(not_finite="skip") if skip else None
    step = make_train_step(model, CEN, made, frozen=frozen, ema=ema, faults=faults, layout=layout)
    take = jit_train_steps(step, pictures.fetch, RECIPE, PREPROCESSING, place, 8, layout=layout)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(24)[:B].astype(np.int32) for _ in range(3)]
    state, scalars = place.place(jax.tree.map(jax.numpy.copy, state)), []
    counts = (None, np.int32(1))
    for span, count in zip(pictures.spans(rows, [2, 3], 0, 2), counts, strict=True):
        state, found = take(state, None, pictures.store, span, count)
        scalars.append(jax.device_get(found))
    return snapshot(state), scalars


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sgd", {"skip": True}),
        ("adam", {"ema": 0.9, "devices": 2}),
        ("adamw", {"by_name": True}),
        ("adam", {"frozen": True}),
    ],
    ids=["sgd-skip", "adam-ema-two-devices", "adamw-layer-decay", "adam-frozen"],
)
def test_the_bits_are_those_of_arrays_by_themselves(tiny_model, draw_weights, name, options):
    weights = draw_weights(tiny_model, CEN)
    state, scalars = train(tiny_model, weights, name, laid_out=True, **options)
    other, others = train(tiny_model, weights, name, laid_out=False, **options)
    assert jax.tree.structure(state) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, state, other)
    assert int(state.step) == 3
    for found, expected in zip(scalars, others, strict=True):
        norm, norms = found.pop("gradient_norm"), expected.pop("gradient_norm")
        np.testing.assert_allclose(norm, norms, rtol=1e-6)
        jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_only_small_float32_arrays_move(tiny_model, draw_weights):
    weights = draw_weights(tiny_model, CEN)
    made = transform_of(tiny_model, "adam")
    state = init_state(weights, made, 1, jax.random.key(5), average=True)
    packed = Layout(jax.eval_shape(lambda: state)).pack(state)
    sizes = [leaf.size for leaf in packed.weights.params["backbone"]]
    # a bias, a scale and a shift of 16 each, and the kernel
    assert sizes == [48, 768]
    assert [leaf.size for leaf in packed.weights.model_state] == [32]
    leaves = jax.tree.leaves(packed.opt_state, is_leaf=lambda node: hasattr(node, "mu"))
    (moments,) = [leaf for leaf in leaves if hasattr(leaf, "mu")]
    assert jax.tree.structure(moments.mu) == jax.tree.structure(packed.weights.params)
    by_name = Layout(jax.eval_shape(lambda: state), by_name=True)
    named = by_name.pack(state)
    assert set(named.weights.params["backbone"]) == {"dense", "norm"}
    for layout, laid in ((Layout(by_name.like), packed), (by_name, named)):
        back = layout.unpack(laid)
        jax.tree.map(np.testing.assert_array_equal, back, state)
