"""The whole train step of one run, jitted: pictures are fetched, augmented and learnt from."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from ldl_jax.data.augment.augmentation import Preprocessing, Recipe, augment
from ldl_jax.data.augment.mixup import mixed
from ldl_jax.data.augment.views import Views
from ldl_jax.placement import Placement
from ldl_jax.train.flat import Layout
from ldl_jax.train.state import PyTree, TrainState, Weights
from ldl_jax.train.step import Stepped, TrainStep

# `Feed.store`: the pictures on the devices.
Store = dict[str, Any]
# `train(state, teacher, store, item) -> (state, scalars)`; `state` is given up to the result.
JittedStep = Callable[[TrainState, Weights | None, Store, PyTree], Stepped]
# `train(state, teacher, store, span, count) -> (state, scalars)`; scalars are as long as the span.
Count = jax.typing.ArrayLike | None
JittedSteps = Callable[[TrainState, Weights | None, Store, PyTree, Count], Stepped]
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
        learnt = {**batch, "images": images}
        if not recipe.mixup.still:  # augmentation takes the data up to 4
            learnt = split(mixed(jax.random.fold_in(augment_key, 5), learnt, recipe.mixup))
        return step(state, learnt, step_key, teacher)

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
    layout: Layout | None = None,
) -> JittedSteps:
    """Returns several of `whole_step` in one call: of the first `count` items of a `Feed.spans`.

    With a count of None it takes all items. That is a program of its own, of a number of steps that
    the compiler knows: XLA sends the steps of a loop to a GPU without waiting for it only where it
    knows how many there are. Any other count is an argument, so that all shorter calls are one
    program. Both give the same bits as that many calls of one step each. (They are not always those
    of `jit_train_step`: inside a loop XLA may compile a network in another way; for CPUs it does,
    and so slowly that several steps in a call are no use there.) State and teacher live as in
    `jit_train_step`. A step with a `layout` has its states laid out so between the steps.
    """
    whole = whole_step(step, fetch, recipe, preprocessing, steps, _by_batch(placement))

    def train(
        state: TrainState,
        teacher: Weights | None,
        store: Store,
        span: PyTree,
        count: Count,
    ) -> Stepped:
        def at(index: jax.typing.ArrayLike, state: TrainState) -> Stepped:
            item = jax.tree.map(
                lambda x: jax.lax.dynamic_index_in_dim(x, index, keepdims=False), span
            )
            return whole(state, teacher, store, item)

        state = state if layout is None else layout.pack(state)
        _, shapes = jax.eval_shape(at, 0, state)
        length = len(jax.tree.leaves(span)[0])
        # One array of all scalars is written to by one operation a step.
        empty = jnp.zeros((length, len(shapes)), jnp.float32)

        def body(index: jax.Array, carry: tuple[TrainState, jax.Array]) -> tuple:
            state, rows = carry
            state, scalars = at(index, state)
            return state, rows.at[index].set(jnp.stack([scalars[name] for name in shapes]))

        end = length if count is None else count
        state, rows = jax.lax.fori_loop(0, end, body, (state, empty))
        scalars = {name: rows[:, column] for column, name in enumerate(shapes)}
        return state if layout is None else layout.unpack(state), scalars

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
