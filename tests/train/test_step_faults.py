"""Faults: what is not finite is skipped or stops, spikes and dead units are seen."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_step import CEN, SGD, draw_batch, snapshot

from ldl_jax.train.faults import FaultConfig, first_watch, observe
from ldl_jax.train.state import init_state
from ldl_jax.train.step import make_train_step

PARAMS = {
    "conv": {"kernel": jnp.ones((3, 3, 2, 4)), "bias": jnp.ones(4)},
    "norm": {"scale": jnp.ones(4), "bias": jnp.ones(4)},
    "dense": {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)},
}


def follow(config, losses, gradient=PARAMS, watch=None):
    """The scalars of each step, and the last watch."""
    watch = first_watch(PARAMS) if watch is None else watch
    rows = []
    step = jax.jit(lambda watch, loss: observe(config, watch, loss, jnp.abs(loss), gradient)[::2])
    for loss in losses:
        watch, scalars = step(watch, jnp.float32(loss))
        rows.append({name: float(value) for name, value in scalars.items()})
    return rows, watch


def test_a_spike_is_far_above_the_last_losses():
    rng = np.random.default_rng(0)
    losses = 5 + 0.5 * rng.normal(size=100)
    losses[[10, 60, 80]] = 50, 50, 8
    rows, watch = follow(FaultConfig(), losses)
    found = [place for place, row in enumerate(rows) if row["spike"]]
    assert found == [60]  # the first has too few before it, the last is within ten deviations
    window = losses[:60].astype(np.float32)
    np.testing.assert_allclose(rows[60]["usual_loss"], np.median(window), rtol=1e-6)
    np.testing.assert_array_equal(watch.losses, losses[-64:].astype(np.float32))
    rows, _ = follow(FaultConfig(spike=2.0), losses)
    assert rows[80]["spike"]
    rows, _ = follow(FaultConfig(spike=0.0), losses)
    assert not any(row["spike"] for row in rows)


def test_losses_that_hardly_move_and_negative_ones():
    losses = np.full(40, -2.0)
    losses[30:] = -1.99
    rows, _ = follow(FaultConfig(), losses)
    assert not any(row["spike"] for row in rows)
    losses[35] = 4.0
    rows, _ = follow(FaultConfig(), losses)
    assert [row["spike"] for row in rows].index(1.0) == 35


def test_what_is_not_finite_is_no_spike_and_enters_no_median():
    config = FaultConfig(not_finite="skip")
    rows, watch = follow(config, [1.0] * 20 + [np.inf, np.nan, 1.0])
    assert not any(row["spike"] for row in rows)
    assert np.isfinite(watch.losses).sum() == 21
    assert [row["skipped"] for row in rows[-3:]] == [1, 2, 2]
    assert [row["skipped_in_a_row"] for row in rows[-3:]] == [1, 2, 0]
    assert follow(FaultConfig(), [np.nan])[0][0]["skipped"] == 0  # "stop" counts nothing


def test_units_without_a_gradient_are_dead_after_so_many_steps():
    """Scales of a normalisation count, and biases of dense layers."""
    config = FaultConfig(dead_after=3)
    still = jax.tree.map(jnp.array, PARAMS)
    still["norm"] = {"scale": jnp.asarray([0.0, 1, 0, 1]), "bias": jnp.zeros(4)}
    still["dense"]["bias"] = jnp.asarray([0.0, 1, 1])
    rows, watch = follow(config, [1.0] * 4, still)
    assert watch.idle.shape == (4 + 3,)  # a convolution's biases have no gradient before a norm
    assert [row["dead_units"] for row in rows] == [0, 0, 3, 3]
    rows, watch = follow(config, [np.nan], still, watch)  # a step that is skipped tells nothing
    assert rows[0]["dead_units"] == 3
    rows, _ = follow(config, [1.0], PARAMS, watch)
    assert rows[0]["dead_units"] == 0


def test_biases_of_convolutions_count_without_a_normalisation():
    assert first_watch({"conv": PARAMS["conv"]}).idle.shape == (4,)


def test_parameters_without_units_have_no_dead_ones():
    watch = first_watch({"layer": {"kernel": jnp.ones((3, 2))}})
    gradient = {"layer": {"kernel": jnp.zeros((3, 2))}}
    one = jnp.float32(1)
    assert observe(FaultConfig(), watch, one, one, gradient)[2]["dead_units"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("not_finite", "ignore"), ("in_a_row", 0), ("dead_after", 0), ("spike", -1.0)],
)
def test_what_cannot_be(field, value):
    with pytest.raises(ValueError, match=f"^faults.{field}: expected .*, got {value!r}"):
        FaultConfig(**{field: value})


@pytest.fixture(scope="module")
def skipping(tiny_model):
    """A jitted step that skips what is not finite, and keeps a moving average."""
    config = FaultConfig(not_finite="skip")
    return jax.jit(make_train_step(tiny_model, CEN, SGD, ema=0.9, faults=config))


def test_a_step_that_is_not_finite_leaves_the_state_but_for_its_number(
    skipping, tiny_model, draw_weights
):
    state = init_state(draw_weights(tiny_model, CEN), SGD, 1, jax.random.key(0), average=True)
    batch, key = draw_batch(), jax.random.key(1)
    state, first = skipping(state, batch, key)
    before = snapshot(state)
    bad = {**batch, "images": batch["images"].at[0, 0, 0, 0].set(jnp.nan)}
    state, scalars = skipping(state, bad, key)
    assert not np.isfinite(scalars["loss"])
    assert scalars["skipped"] == scalars["skipped_in_a_row"] == 1
    for name in ("weights", "opt_state", "ema", "key"):
        jax.tree.map(np.testing.assert_array_equal, getattr(state, name), getattr(before, name))
    assert int(state.step) == 2
    np.testing.assert_array_equal(state.watch.skipped, [1, 1])
    state, scalars = skipping(state, batch, key)
    assert np.isfinite(scalars["loss"])
    assert (scalars["loss"] != first["loss"]).all()
    np.testing.assert_array_equal(state.watch.skipped, [1, 0])
    leaves = jax.tree.leaves(state)
    assert all(np.isfinite(leaf).all() for leaf in leaves if leaf is not state.watch.losses)


def test_a_policy_does_not_change_finite_steps(skipping, tiny_model, draw_weights):
    plain = jax.jit(make_train_step(tiny_model, CEN, SGD))
    weights = draw_weights(tiny_model, CEN)
    ours = init_state(weights, SGD, 1, jax.random.key(0), average=True)
    its = init_state(weights, SGD, 1, jax.random.key(0))
    for _ in range(2):
        ours, _ = skipping(ours, draw_batch(), jax.random.key(1))
        its, _ = plain(its, draw_batch(), jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, ours.weights, its.weights)


def test_a_frozen_backbone_has_no_dead_units(tiny_model, draw_weights):
    config = FaultConfig(dead_after=1)
    step = jax.jit(make_train_step(tiny_model, CEN, SGD, frozen=True, faults=config))
    state = init_state(draw_weights(tiny_model, CEN), SGD, 1, jax.random.key(0))
    assert step(state, draw_batch(), jax.random.key(1))[1]["dead_units"] == 0


def test_dead_units_of_a_network(tiny_model, draw_weights):
    """Features that the ReLU after the normalisation never lets through."""
    step = jax.jit(make_train_step(tiny_model, CEN, SGD, faults=FaultConfig(dead_after=2)))
    weights = draw_weights(tiny_model, CEN)
    shift = jnp.zeros(16).at[:5].set(-100.0)
    weights.params["backbone"]["norm"]["bias"] = shift
    state = init_state(weights, optax.sgd(0.0, 0.9), 1, jax.random.key(0))
    found = []
    for _ in range(3):
        state, scalars = step(state, draw_batch(), jax.random.key(1))
        found.append(int(scalars["dead_units"]))
    assert found == [0, 10, 10]  # five scales, and five biases of the layer before
