"""Eight devices give what one gives on the same global batch."""

import jax
import numpy as np
import optax
import pytest

from ldl_jax import methods, models
from ldl_jax.data.augment.augmentation import Preprocessing, Recipe
from ldl_jax.data.feed.feeds import EpochOrder, Part, feed
from ldl_jax.labels import LabelSpace
from ldl_jax.placement import make_placement
from ldl_jax.run import config as schema
from ldl_jax.run import experiment
from ldl_jax.train.compiled import jit_train_step
from ldl_jax.train.state import init_state
from ldl_jax.train.step import make_train_step

SPACE = LabelSpace.range(0, 30)
CEN = methods.get("cen", space=SPACE)
SIZE, B, STEPS = 32, 16, 4
# Sums over a batch are taken in another order, which float32 shows in its last digits; a few steps
# through batch normalisation amplify that, and 1e-4 is what is left.
TOLERANCE = 1e-4


def draw_part():
    rng = np.random.default_rng(0)
    return Part(
        ids=tuple(f"{i}" for i in range(40)),
        labels=rng.integers(0, 31, 40).astype(np.float32),
        sigma=np.full(40, np.nan, np.float32),
        size=SIZE,
        images=rng.integers(0, 256, (40, SIZE, SIZE, 3), np.uint8),
    )


def steps(model, weights, teacher, devices):
    """The scalars of some steps and the last state, from pictures in device memory."""
    place = make_placement(devices)
    across = place.by_batch if devices > 1 else None
    pictures = feed(draw_part(), place.place, place.device_put, across)
    optimizer = optax.sgd(1e-3, 0.9)
    step = jit_train_step(
        make_train_step(model, CEN, optimizer),
        pictures.fetch,
        Recipe(),
        Preprocessing(SIZE, SIZE),
        place,
    )
    state = place.place(init_state(weights, optimizer, 2, jax.random.key(3)))
    teacher = place.place(teacher)
    rows = EpochOrder(40, B, 2, 0, 2)
    scalars = []
    for item in pictures.items(rows, len(rows) - STEPS):
        assert devices == 1 or len(item.sharding.device_set) == devices
        state, values = step(state, teacher, pictures.store, item)
        scalars.append(jax.device_get(values))  # waits: fake devices share this machine's threads
    return scalars, state


@pytest.fixture(scope="module")
def both(draw_weights):
    """What one device and what eight give, with batch normalisation and a teacher."""
    model = models.build("resnet10_tiny")
    # Of NumPy, since a step gives the arrays of its state up.
    weights, teacher = (jax.tree.map(np.array, draw_weights(model, CEN, s)) for s in (0, 1))
    return {devices: steps(model, weights, teacher, devices) for devices in (1, 8)}


def test_the_losses_are_the_same(both):
    (one, _), (eight, _) = both[1], both[8]
    assert len(one) == STEPS
    for ours, theirs in zip(one, eight, strict=True):
        for name in ("loss", "mae", "gradient_norm"):
            np.testing.assert_allclose(theirs[name], ours[name], rtol=TOLERANCE, err_msg=name)
    assert one[0]["loss"] != one[-1]["loss"]


def test_batch_statistics_are_of_the_global_batch(both):
    (_, one), (_, eight) = both[1], both[8]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4),
        one.weights.model_state,
        eight.weights.model_state,
    )


def test_the_weights_are_the_same(both):
    (_, one), (_, eight) = both[1], both[8]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(b, a, atol=1e-4),
        one.weights.params,
        eight.weights.params,
    )


def test_every_device_has_the_same_state(both):
    _, state = both[8]
    for leaf in jax.tree.leaves(state):
        assert leaf.sharding.is_fully_replicated
        copies = [np.asarray(shard.data).tobytes() for shard in leaf.addressable_shards]
        assert len(copies) == 8
        assert len(set(copies)) == 1


def test_a_batch_that_the_devices_do_not_divide():
    with pytest.raises(ValueError, match=r"^batch_size: 12 is not a multiple of the 8 devices; 8 "):
        make_placement(8).check_batch("batch_size", 12)
    with pytest.raises(ValueError, match=r"^batch_size: 3 is not a multiple of the 8 devices; 8 "):
        make_placement(8).check_batch("batch_size", 3)
    make_placement(8).check_batch("batch_size", 16)
    make_placement(1).check_batch("batch_size", 3)
    assert make_placement().devices == len(jax.devices()) == 8


@pytest.mark.parametrize("key", ["batch_size", "evaluation.batch_size"])
def test_a_config_that_the_devices_do_not_divide(key):
    config = schema.defaults()
    config.batch_size = config.evaluation.batch_size = 8
    section, _, name = key.rpartition(".")
    (config[section] if section else config)[name] = 12
    with pytest.raises(ValueError, match=f"^{key}: 12 is not a multiple of the 8 devices"):
        experiment.build(schema.parse(config), print)
