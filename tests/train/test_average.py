"""The moving average of the weights: its formula, and that it is what answers."""

import jax
import jax.numpy as jnp
import numpy as np
from test_step import CEN, SGD, draw_batch

from ldl_jax.train.average import averaged, decay_at
from ldl_jax.train.checkpoint import Checkpoints, read_step
from ldl_jax.train.state import Weights, init_state
from ldl_jax.train.step import make_train_step


def test_the_decay_warms_up():
    found = [float(decay_at(0.9, jnp.int32(step))) for step in (0, 1, 2, 79, 80, 1000)]
    np.testing.assert_allclose(found, [0.1, 2 / 11, 0.25, 80 / 89, 0.9, 0.9], rtol=1e-6)


def test_what_does_not_move_stays_to_the_bit():
    """A frozen network's average is the network."""
    rng = np.random.default_rng(0)
    weights = Weights({"backbone": jnp.asarray(rng.normal(size=50), jnp.float32)}, {})
    after = averaged(weights, weights, 0.999, jnp.int32(7))
    np.testing.assert_array_equal(after.params["backbone"], weights.params["backbone"])


def test_the_state_s_average_is_that_of_its_weights(
    tiny_model, draw_weights, tmp_path, make_record
):
    step = jax.jit(make_train_step(tiny_model, CEN, SGD, ema=0.3))
    state = init_state(draw_weights(tiny_model, CEN), SGD, 1, jax.random.key(0), average=True)
    assert state.answers is state.ema
    expected = jax.tree.map(lambda x: np.asarray(x, np.float64), state.weights)
    for number in range(4):
        state, _ = step(state, draw_batch(), jax.random.key(number))
        decay = min(0.3, (1 + number) / (10 + number))
        expected = jax.tree.map(
            lambda old, new, d=decay: d * old + (1 - d) * np.asarray(new, np.float64),
            expected,
            state.weights,
        )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state.ema, expected
    )
    moved = np.abs(
        state.ema.model_state["norm"]["mean"] - state.weights.model_state["norm"]["mean"]
    )
    assert moved.max() > 1e-4  # batch statistics are averaged alike
    # And it is what a checkpoint is read for.
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(4, state, make_record(step=4))
    checkpoints.close()
    _, weights = read_step(tmp_path / "4")
    jax.tree.map(np.testing.assert_array_equal, Weights(**weights), state.ema)


def test_without_one_the_weights_answer(tiny_model, draw_weights):
    state = init_state(draw_weights(tiny_model, CEN), SGD, 1, jax.random.key(0))
    assert state.ema is None
    assert state.answers is state.weights
