"""Measures training steps: the share of the augmentation, and pictures in device memory."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from benchmarks import timing
from benchmarks.pipeline_rows import Sizes, compared, part
from ldl_jax import models
from ldl_jax.data.augment.augmentation import Preprocessing, Recipe, augment
from ldl_jax.data.augment.recipes import RECIPES
from ldl_jax.data.feed import stream
from ldl_jax.data.feed.feeds import EpochOrder, Feed, Part, feed
from ldl_jax.labels import AGE
from ldl_jax.methods.cen import cen
from ldl_jax.placement import Placement, make_placement
from ldl_jax.train import optimizers
from ldl_jax.train.compiled import jit_train_step
from ldl_jax.train.state import init_state, init_weights
from ldl_jax.train.step import make_train_step

Item = TypeVar("Item")


def in_memory(count: int, size: int) -> Part:
    """Makes a part of pictures of noise in memory."""
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return part(count, size, images=images)


def training(
    sizes: Sizes, source: Feed, recipe: Recipe, placement: Placement
) -> Callable[[object], object]:
    """Returns `step(item)`, a training step of the library on an item of a feed."""
    model, method = models.build(sizes.network), cen(AGE)
    config = optimizers.OptimizerConfig()
    optimizer = optimizers.optimizer(config, optimizers.learning_rate(config, 1000, 100_000))
    draw = functools.partial(init_weights, model, method)
    # An optimised compilation of the random draws would take longer than the draws themselves.
    quick = {"xla_backend_optimization_level": 0}
    weights = jax.jit(draw, compiler_options=quick)(jax.random.key(0))
    state = placement.place(init_state(weights, optimizer, 1, jax.random.key(1)))
    step = jit_train_step(
        make_train_step(model, method, optimizer),
        source.fetch,
        recipe,
        Preprocessing(source.part.size, sizes.steps),
        placement,
        steps=10**6,
    )

    def take(item: object) -> object:
        nonlocal state
        state, scalars = step(state, None, source.store, item)
        return scalars

    return take


def _run(step: Callable[[Item], object], items: Iterator[Item]) -> timing.Run:
    def run(times: int) -> None:
        for item in itertools.islice(items, times):
            result = step(item)
        jax.block_until_ready(result)

    return run


def augment_rows(sizes: Sizes) -> Iterator[str]:
    """Times each recipe alone against a whole step that includes it."""
    placement, stored = make_placement(1), sizes.steps * 5 // 4
    noise = in_memory(4 * sizes.batch, stored)
    source = feed(noise, placement.place, placement.device_put)
    images = jnp.asarray(source.store["images"][: sizes.batch])
    bound = "≤ 0.3" if jax.default_backend() == "cpu" else "≤ 0.15"
    for name, recipe in RECIPES.items():
        preprocessing = Preprocessing(stored, sizes.steps)
        alone = functools.partial(augment, recipe=recipe, preprocessing=preprocessing, progress=0.5)
        rows = EpochOrder(len(noise), sizes.batch, 10**6, seed=0, generation=1)
        runs = {
            "alone": _run(
                functools.partial(jax.jit(alone), jax.random.key(0)), itertools.repeat(images)
            ),
            "step": _run(training(sizes, source, recipe, placement), source.items(rows)),
        }
        times = timing.in_turns(runs, sizes.repeats)
        case = f"recipe {name}, {sizes.steps}, batch {sizes.batch}"
        yield compared(case, (times["alone"], times["step"]), f"{sizes.network}'s step", bound)


def device_rows(sizes: Sizes) -> Iterator[str]:
    """Times a step with pictures from device memory against a step on one fixed batch."""
    placement = make_placement()
    batch = -(-sizes.batch // placement.devices) * placement.devices
    noise = in_memory(16 * batch, sizes.steps)
    rows = EpochOrder(len(noise), batch, 10**6, seed=0, generation=1)
    kinds: dict[str, NamedSharding | None] = {"a copy on every device": None}
    if placement.devices > 1:
        kinds["shares on the devices"] = placement.by_batch
    streamed = feed(noise, placement.place, placement.device_put, stream=True)
    fixed = placement.split(next(stream.batches(noise, rows)))
    runs = {"fixed": _run(training(sizes, streamed, Recipe(), placement), itertools.repeat(fixed))}
    for kind, across in kinds.items():
        source = feed(noise, placement.place, placement.device_put, across)
        runs[kind] = _run(training(sizes, source, Recipe(), placement), source.items(rows))
    times = timing.in_turns(runs, sizes.repeats)
    for kind in kinds:
        case = f"step, pictures from {kind}, {sizes.steps}, batch {batch}"
        yield compared(case, (times[kind], times["fixed"]), "one fixed batch", "≤ 1.02")
