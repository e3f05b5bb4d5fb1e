"""The whole train step of one run, jitted: pictures are fetched, augmented and learnt from."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from ldl_jax.data.augment.augmentation import Preprocessing, Recipe, augment
from ldl_jax.data.augment.views import Views
from ldl_jax.placement import Placement
from ldl_jax.train.state import PyTree, TrainState, Weights
from ldl_jax.train.step import Stepped, TrainStep

# `Feed.store`: the pictures on the devices.
Store = dict[str, Any]
# `train(state, teacher, store, item) -> (state, scalars)`; `state` is given up to the result.
JittedStep = Callable[[TrainState, Weights | None, Store, PyTree], Stepped]
# `train(state, teacher, store, span, count) -> (state, scalars)`; scalars are as long as the span.
JittedSteps = Callable[[TrainState, Weights | None, Store, PyTree, jax.typing.ArrayLike], Stepped]
_Train = TypeVar("_Train", JittedStep, JittedSteps)
# `fetch(store, item) -> batch`
Fetch = Callable[[Store, PyTree], dict[str, Any]]


def whole_step(
    step: TrainStep,
    fetch: Fetch,
    recipe: Recipe,
    preprocessing: Preprocessing | Views,
    steps: int | None = None,
    split: Callable[[PyTree], PyTree] = lambda arrays: arrays,
) -> JittedStep:
    """Returns the whole step as a pure function: fetch, augment, teach, learn.

    `steps` of a generation is what a recipe that changes over training goes by; `split` says where
    a batch's arrays are to lie.
    """

    def train(state: TrainState, teacher: Weights | None, store: Store, item: PyTree) -> Stepped:
        batch = split(fetch(store, item))
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
        augment_key, step_key = jax.random.split(key)
        progress = None if steps is None else state.step.astype(jnp.float32) / steps
        images = split(augment(augment_key, batch["images"], recipe, preprocessing, progress))
        return step(state, {**batch, "images": images}, step_key, teacher)

    return train


def jit_train_step(
    step: TrainStep,
    fetch: Fetch,
    recipe: Recipe,
    preprocessing: Preprocessing | Views,
    placement: Placement,
    steps: int | None = None,
    like: TrainState | None = None,
) -> JittedStep:
    """Returns `whole_step` on the devices.

    The state lives where the placement puts one like `like`, the teacher as its weights; without
    it, on every device.
    """
    train = whole_step(step, fetch, recipe, preprocessing, steps, _by_batch(placement))
    return _placed(train, placement, like, placement.by_batch)


def jit_train_steps(
    step: TrainStep,
    fetch: Fetch,
    recipe: Recipe,
    preprocessing: Preprocessing | Views,
    placement: Placement,
    steps: int | None = None,
    like: TrainState | None = None,
) -> JittedSteps:
    """Returns several of `whole_step` in one call: of the first `count` items of a `Feed.spans`.

    The count is an argument, so that calls of any number of steps are one program, and give the
    same bits as that many calls of one step each. (They are not always those of `jit_train_step`:
    inside a loop XLA may compile a network in another way; for CPUs it does, and so slowly that
    several steps in a call are no use there.) State and teacher live as in `jit_train_step`.
    """
    whole = whole_step(step, fetch, recipe, preprocessing, steps, _by_batch(placement))

    def train(
        state: TrainState,
        teacher: Weights | None,
        store: Store,
        span: PyTree,
        count: jax.typing.ArrayLike,
    ) -> Stepped:
        def at(index: jax.typing.ArrayLike, state: TrainState) -> Stepped:
            item = jax.tree.map(
                lambda x: jax.lax.dynamic_index_in_dim(x, index, keepdims=False), span
            )
            return whole(state, teacher, store, item)

        _, shapes = jax.eval_shape(at, 0, state)
        length = len(jax.tree.leaves(span)[0])
        empty = jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), shapes)

        def body(index: jax.Array, carry: Stepped) -> Stepped:
            state, rows = carry
            state, scalars = at(index, state)
            return state, jax.tree.map(lambda row, x: row.at[index].set(x), rows, scalars)

        return jax.lax.fori_loop(0, count, body, (state, empty))

    return _placed(train, placement, like, placement.by_batch_of(1), placement.replicated)


def _placed(
    train: _Train, placement: Placement, like: TrainState | None, *items: jax.sharding.Sharding
) -> _Train:
    """Jits a step of (state, teacher, store, items, ...), with the places of each."""
    everywhere = placement.replicated
    places = everywhere if like is None else placement.shardings(like)
    taught = everywhere if like is None else None  # the first generation has no teacher
    return jax.jit(
        train,
        donate_argnums=0,
        in_shardings=(places, taught, None, *items),  # the store keeps its own
        out_shardings=(places, everywhere),
    )


def _by_batch(placement: Placement) -> Callable[[PyTree], PyTree]:
    return functools.partial(jax.lax.with_sharding_constraint, shardings=placement.by_batch)
