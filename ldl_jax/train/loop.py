"""One generation's training: items in, steps, rows out, a checkpoint now and then."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ldl_jax.data.augment import Preprocessing, Recipe, augment
from ldl_jax.data.pipeline import EpochOrder, Feed
from ldl_jax.layout import Layout
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.state import TrainState, Weights
from ldl_jax.train.step import TrainStep

# `train(state, teacher, store, item) -> (state, scalars)`; `state` is given up to the result.
JittedStep = Callable[[TrainState, Weights | None, Any, Any], tuple[TrainState, Any]]


class NotFiniteError(RuntimeError):
    """The loss or its gradient is not a number any more; the message names the step."""


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
    """When things happen, in steps of one generation."""

    log: int
    checkpoint: int
    validate: int


@dataclasses.dataclass
class Hooks:
    """What the loop hands its results to.

    Attributes:
      write: a row of scalars of one step, and the speed in images/s.
      save: a state as a checkpoint.
      validate: evaluates and writes a row; None where there is no validation part.
    """

    write: Callable[[dict[str, Any], float | None], None]
    save: Callable[[TrainState], None]
    validate: Callable[[TrainState], None] | None


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
    layout: Layout,
    steps: int | None = None,
) -> JittedStep:
    """`whole_step` on the devices."""

    def constrained(arrays: Any) -> Any:
        return jax.lax.with_sharding_constraint(arrays, layout.by_batch)

    train = whole_step(step, fetch, recipe, preprocessing, steps, constrained)
    same, split = layout.replicated, layout.by_batch
    return jax.jit(
        train,
        donate_argnums=0,
        in_shardings=(same, same, same, split),
        out_shardings=(same, same),
    )


def train_generation(
    state: TrainState,
    teacher: Weights | None,
    train: JittedStep,
    feed: Feed,
    order: EpochOrder,
    schedule: Schedule,
    rate: optax.Schedule,
    hooks: Hooks,
    interrupt: Interrupt,
    watcher: Watcher,
) -> TrainState:
    """Takes the steps from `state.step` to the end of `order`.

    Raises:
      Interrupted: a signal came; a checkpoint of the last step is saved.
      NotFiniteError: a loss or gradient is not finite; no checkpoint holds what came of it.
    """
    generation, start = int(state.generation), int(state.step)
    pending: list[tuple[int, Any]] = []
    clock = time.perf_counter()
    logged = start

    def flush() -> None:
        nonlocal pending, clock, logged
        if not pending:
            return
        values = jax.device_get([scalars for _, scalars in pending])
        for (number, _), scalars in zip(pending, values, strict=True):
            check_finite(scalars, generation, number)
        number = pending[-1][0]
        if number % schedule.log == 0 or number == len(order):
            now = time.perf_counter()
            speed = (number - logged) * order.batch / (now - clock)
            row = row_of(number, order, values[-1], float(rate(number - 1)))
            hooks.write(row, speed)
            watcher.log(row["loss"], speed)
            clock, logged = now, number
        pending = []

    for number, item in enumerate(feed.items(order, start), start + 1):
        state, scalars = train(state, teacher, feed.store, item)
        pending.append((number, scalars))
        watcher.step((number - 1) // order.steps_per_epoch + 1)
        last = number == len(order)
        validates = hooks.validate is not None and (number % schedule.validate == 0 or last)
        saves = number % schedule.checkpoint == 0 or last
        stops = interrupt.number is not None
        if number % schedule.log == 0 or validates or saves or stops:
            flush()
        if validates and hooks.validate is not None:
            hooks.validate(state)
        if saves or stops:
            hooks.save(state)
        if stops and not last:
            assert interrupt.number is not None
            raise Interrupted(interrupt.number, generation, number)
    return state


def row_of(number: int, order: EpochOrder, scalars: Any, rate: float) -> dict[str, Any]:
    """What is written of a step: its number, its scalars and its learning rate."""
    values = {name: float(np.float32(value)) for name, value in scalars.items()}
    epoch = number / order.steps_per_epoch
    return {"step": number, "epoch": round(epoch, 4), **values, "learning_rate": rate}


def check_finite(scalars: Any, generation: int, number: int) -> None:
    """Raises NotFiniteError where a step's loss or gradient is not finite."""
    for name in ("loss", "gradient_norm"):
        if not np.isfinite(scalars[name]):
            raise NotFiniteError(
                f"the {name.replace('_', ' ')} is {float(scalars[name])} in generation "
                f"{generation} at step {number}; the last checkpoint is kept. Lower "
                "optimizer.learning_rate or raise optimizer.warmup_epochs"
            )
