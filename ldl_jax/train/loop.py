"""One generation's training: items in, steps, rows out, a checkpoint now and then."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ldl_jax.data.augment.augmentation import Preprocessing, Recipe, augment
from ldl_jax.data.feed.feeds import EpochOrder, Feed
from ldl_jax.placement import Placement
from ldl_jax.train.faults import FaultConfig
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.log import Log
from ldl_jax.train.state import TrainState, Weights
from ldl_jax.train.step import TrainStep
from ldl_jax.train.trace import Trace

# `train(state, teacher, store, item) -> (state, scalars)`; `state` is given up to the result.
JittedStep = Callable[[TrainState, Weights | None, Any, Any], tuple[TrainState, Any]]
# `train(state, teacher, store, span, count) -> (state, scalars)`; scalars are as long as the span.
JittedSteps = Callable[[TrainState, Weights | None, Any, Any, Any], tuple[TrainState, Any]]


class Watcher(Protocol):
    """What looks on: a progress bar, or nothing."""

    def generation(self, generation: int, steps: int, step: int) -> None:
        """A generation starts, or goes on at `step`."""

    def step(self, epoch: int) -> None:
        """A step was sent to the devices."""

    def log(self, loss: float, speed: float) -> None:
        """The newest known loss, and the images/s since the last one."""

    def evaluation(self, done: int, count: int) -> None:
        """So many of the pictures are evaluated."""

    def say(self, text: str) -> None:
        """A line for the user."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When things happen, in steps of one generation.

    Attributes:
      log: between rows.
      checkpoint: between checkpoints.
      validate: between evaluations of the validation part.
      call: that one call takes, at most.
    """

    log: int
    checkpoint: int
    validate: int
    call: int = 1


@dataclasses.dataclass
class Hooks:
    """What the loop hands its results to.

    Attributes:
      write: a row of scalars of one step, and the speed in images/s.
      save: a state as a checkpoint.
      validate: evaluates and writes a row; None where there is no validation part.
      fault: a row that names a fault of one step.
    """

    write: Callable[[dict[str, Any], float | None], None]
    save: Callable[[TrainState], None]
    validate: Callable[[TrainState], None] | None
    fault: Callable[[dict[str, Any]], None] = lambda row: None


def whole_step(
    step: TrainStep,
    fetch: Callable[[Any, Any], dict[str, Any]],
    recipe: Recipe,
    preprocessing: Preprocessing,
    steps: int | None = None,
    split: Callable[[Any], Any] = lambda arrays: arrays,
) -> JittedStep:
    """The whole step as a pure function: fetch, augment, teach, learn.

    `steps` of a generation is what a recipe that changes over training goes by; `split` says where
    a batch's arrays are to lie.
    """

    def train(
        state: TrainState, teacher: Weights | None, store: Any, item: Any
    ) -> tuple[TrainState, Any]:
        batch = split(fetch(store, item))
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
        augment_key, step_key = jax.random.split(key)
        progress = None if steps is None else state.step.astype(jnp.float32) / steps
        images = split(augment(augment_key, batch["images"], recipe, preprocessing, progress))
        return step(state, {**batch, "images": images}, step_key, teacher)

    return train


def jit_train_step(
    step: TrainStep,
    fetch: Callable[[Any, Any], dict[str, Any]],
    recipe: Recipe,
    preprocessing: Preprocessing,
    placement: Placement,
    steps: int | None = None,
    like: TrainState | None = None,
) -> JittedStep:
    """`whole_step` on the devices.

    The state lives where the placement puts one like `like`, the teacher as its weights; without
    it, on every device.
    """
    train = _constrained(step, fetch, recipe, preprocessing, placement, steps)
    return _placed(train, placement, like, placement.by_batch)


def jit_train_steps(
    step: TrainStep,
    fetch: Callable[[Any, Any], dict[str, Any]],
    recipe: Recipe,
    preprocessing: Preprocessing,
    placement: Placement,
    steps: int | None = None,
    like: TrainState | None = None,
) -> JittedSteps:
    """Several of `whole_step` in one call: of the first `count` items of a span, of `Feed.spans`.

    The count is an argument, so that calls of any number of steps are one program, and give the
    same bits as that many calls of one step each. (They are not always those of `jit_train_step`:
    inside a loop XLA may compile a network in another way; for CPUs it does, and so slowly that
    several steps in a call are no use there.) State and teacher live as in `jit_train_step`.
    """
    one = _constrained(step, fetch, recipe, preprocessing, placement, steps)

    def train(
        state: TrainState, teacher: Weights | None, store: Any, span: Any, count: Any
    ) -> tuple[TrainState, Any]:
        def at(place: Any, state: TrainState) -> tuple[TrainState, Any]:
            item = jax.tree.map(
                lambda x: jax.lax.dynamic_index_in_dim(x, place, keepdims=False), span
            )
            return one(state, teacher, store, item)

        _, shapes = jax.eval_shape(at, 0, state)
        length = len(jax.tree.leaves(span)[0])
        empty = jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), shapes)

        def body(place: Any, carry: Any) -> Any:
            state, rows = carry
            state, scalars = at(place, state)
            return state, jax.tree.map(lambda row, x: row.at[place].set(x), rows, scalars)

        return jax.lax.fori_loop(0, count, body, (state, empty))

    return _placed(train, placement, like, placement.by_batch_of(1), placement.replicated)


def _placed(
    train: Any, placement: Placement, like: TrainState | None, items: Any, *more: Any
) -> Any:
    """A step of (state, teacher, store, items, ...), jitted with the places of each."""
    same = placement.replicated
    places = same if like is None else placement.shardings(like)
    taught = same if like is None else None  # the first generation has no teacher
    return jax.jit(
        train,
        donate_argnums=0,
        in_shardings=(places, taught, None, items, *more),  # the store keeps its own
        out_shardings=(places, same),
    )


def _constrained(
    step: TrainStep,
    fetch: Callable[[Any, Any], dict[str, Any]],
    recipe: Recipe,
    preprocessing: Preprocessing,
    placement: Placement,
    steps: int | None,
) -> JittedStep:
    def constrained(arrays: Any) -> Any:
        return jax.lax.with_sharding_constraint(arrays, placement.by_batch)

    return whole_step(step, fetch, recipe, preprocessing, steps, constrained)


def train_generation(
    state: TrainState,
    teacher: Weights | None,
    train: JittedStep | JittedSteps,
    feed: Feed,
    order: EpochOrder,
    schedule: Schedule,
    rate: optax.Schedule,
    hooks: Hooks,
    interrupt: Interrupt,
    watcher: Watcher,
    faults: FaultConfig | None = None,
    trace: Trace | None = None,
) -> TrainState:
    """Takes the steps from `state.step` to the end of `order`.

    `train` is of `jit_train_step` where `schedule.call` is 1, else of `jit_train_steps`. Nothing
    waits for the devices but a checkpoint, an evaluation, and scalars that are two calls old.

    Raises:
      Interrupted: a signal came; a checkpoint of the last step is saved.
      NotFiniteError: a loss or gradient is not finite; no checkpoint holds what came of it.
    """
    generation, start = int(state.generation), int(state.step)
    policy = faults or FaultConfig()
    log = Log(generation, order, schedule.log, rate, policy, hooks.write, hooks.fault, watcher)
    ends = [schedule.checkpoint, *([] if hooks.validate is None else [schedule.validate])]
    for first, number, item in _items(feed, order, start, schedule.call, ends):
        count = () if schedule.call == 1 else (np.int32(number - first + 1),)
        state, scalars = train(state, teacher, feed.store, item, *count)
        log.add(first, number, scalars)
        for step in range(first, number + 1):
            watcher.step((step - 1) // order.steps_per_epoch + 1)
        if trace is not None:
            trace.after(number, state)
        last = number == len(order)
        validates = hooks.validate is not None and (number % schedule.validate == 0 or last)
        saves = number % schedule.checkpoint == 0 or last
        stops = interrupt.check() is not None
        if validates or saves or stops:
            log.flush()
        if validates and hooks.validate is not None:
            hooks.validate(state)
        if saves or stops:
            hooks.save(state)
        if stops and not last:
            assert interrupt.number is not None
            raise Interrupted(interrupt.number, generation, number)
        if validates or saves:
            log.resume()
    return state


def _calls(start: int, total: int, most: int, ends: list[int]) -> Iterator[tuple[int, int]]:
    """The (first, last) step of each call, none across a multiple of one of the ends."""
    done = start
    while done < total:
        last = min(done + most, total, *(done - done % end + end for end in ends))
        yield done + 1, last
        done = last


def _items(
    feed: Feed, order: EpochOrder, start: int, most: int, ends: list[int]
) -> Iterator[tuple[int, int, Any]]:
    """The (first, last) step of each call, and what it takes."""
    calls = list(_calls(start, len(order), most, ends))
    if most == 1:
        items = feed.items(order, start)
    else:  # always as long, since another length would be another program
        items = feed.spans(order, [last for _, last in calls], start, most)
    for (first, last), item in zip(calls, items, strict=True):
        yield first, last, item
