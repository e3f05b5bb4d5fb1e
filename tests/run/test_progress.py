"""How far a generation is, as a recipe that changes over training sees it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax.data.augment.augmentation import Preprocessing, Recipe
from ldl_jax.data.augment.gridmask import GridMask
from ldl_jax.placement import make_placement
from ldl_jax.train.compiled import jit_train_step


class State(NamedTuple):
    """What the loop itself reads of a state."""

    key: jax.Array
    step: jax.Array


def images_at(step: int, steps: int | None) -> np.ndarray:
    """The network's inputs at a step, of pictures that a grid hides from 0 % to 100 % of time."""
    whole = make_placement(1)
    recipe = Recipe(gridmask=GridMask(spacing=(0.25, 0.25), keep=0.5, probability=(0.0, 1.0)))

    def see(state: State, batch: dict[str, Any], key: jax.Array, teacher: Any) -> Any:
        return state, batch["images"]

    train = jit_train_step(
        see,
        lambda store, item: {"images": store[item]},
        recipe,
        Preprocessing(16, 16),
        whole,
        steps,
    )
    state = State(jax.random.key_data(jax.random.key(0)), jnp.asarray(step, jnp.int32))
    store = whole.place(np.full((8, 16, 16, 3), 255, np.uint8))
    _, images = train(whole.place(state), None, store, jnp.arange(400) % 8)
    return np.asarray(images)


def test_a_rising_probability_follows_the_steps():
    for step, expected in ((0, 0.0), (30, 0.25), (120, 1.0)):
        masked = (images_at(step, 120) == 0).any((1, 2, 3)).mean()
        np.testing.assert_allclose(masked, expected, atol=0.07)


def test_without_the_number_of_steps_it_is_an_error():
    with pytest.raises(ValueError, match="progress: "):
        images_at(0, None)
