"""Runs that may be trained together: those that differ in their seed, fold or numbers alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ldl_jax import processes
from ldl_jax.methods import Method
from ldl_jax.train import generations, memory
from ldl_jax.train.generations import Job
from ldl_jax.train.loop import whole_step
from ldl_jax.train.state import TrainState, Weights
from ldl_jax.train.step import make_train_step
from ldl_jax.train.together.stack import OneStep, stack_of

# By dotted key of a config; of a group's runs those in which they differ.
Numbers = Mapping[str, Any]
# `rebuild(numbers)`: the group's method and optimizer with these numbers, which may be traced.
Rebuild = Callable[[Numbers], tuple[Method, optax.GradientTransformation]]


@dataclasses.dataclass(frozen=True)
class Replica:
    """One run of a group.

    Attributes:
      name: for messages.
      job: the run, as it would be trained alone.
      numbers: its values of the keys in which the group's runs differ.
    """

    name: str
    job: Job
    numbers: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs whose arrays have the same shapes.

    Attributes:
      replicas: the runs.
      rebuild: makes the method and the optimizer of a run of the group.
      devices: that the runs are spread over.

    Raises:
      ValueError: the runs do not fit into one program.
    """

    replicas: tuple[Replica, ...]
    rebuild: Rebuild
    devices: tuple[jax.Device, ...]

    def __post_init__(self) -> None:
        first = self.replicas[0]
        for one in self.replicas:
            if not one.job.train.store:
                raise ValueError(
                    "replicas: runs that are trained together need their pictures in memory; take "
                    "data.feed='memory', or replicas='one_by_one'"
                )
            if one.job.placement.splits or processes.count() > 1:
                raise ValueError(
                    "replicas: runs that are trained together have their weights whole on one "
                    "device of one process; take mesh.fsdp=1 and a single process, or "
                    "replicas='one_by_one'"
                )
            if kind(one.job) != kind(first.job):
                raise ValueError(
                    f"replicas: {first.name} and {one.name} have other label values or numbers of "
                    "steps; take replicas='one_by_one'"
                )

    def step(self, job: Job) -> OneStep:
        """The pure step of one of the runs."""

        def one(
            state: TrainState, teacher: Weights | None, store: Any, item: Any, numbers: Any
        ) -> tuple[TrainState, Any]:
            method, optimizer = self.rebuild(numbers)
            step = make_train_step(
                job.model,
                method,
                optimizer,
                frozen=job.frozen,
                accumulate=job.accumulate,
                ema=job.ema,
                faults=job.faults,
            )
            whole = whole_step(step, _fetch, job.recipe, job.preprocessing, len(job.order(1)))
            return whole(state, teacher, store, item)

        return one


def _fetch(store: dict[str, Any], item: Any) -> dict[str, Any]:
    """The batch of a row of indices: every device has all pictures, whatever a run alone has."""
    return {name: jnp.take(array, item, axis=0, mode="clip") for name, array in store.items()}


def kind(job: Job) -> tuple[Any, ...]:
    """What runs of one group must share, though their configs do not say it."""
    return job.method.space, len(job.order(1)), job.order(1).steps_per_epoch


def fitting(group: Group) -> int:
    """How many of the runs the devices' memory holds at one time: an estimate, before compiling."""
    left = memory.memory_of(group.devices[0]) - _bytes_of_pictures(group)
    return max(0, left // _bytes_of_one(group)) * len(group.devices)


def check_memory(group: Group) -> None:
    """Checks that the devices' memory holds all runs at one time, by an estimate.

    Raises:
      ValueError: it does not.
    """
    fits = fitting(group)
    if len(group.replicas) > fits:
        each = stack_of(len(group.replicas), group.devices).each
        needed = each * _bytes_of_one(group) + _bytes_of_pictures(group)
        limit = memory.memory_of(group.devices[0])
        raise ValueError(
            f"replicas: {len(group.replicas)} runs together need about {needed / 1e9:.2f} GB of "
            f"each device's {limit / 1e9:.2f} GB, which may hold {fits}; take replicas='auto', or "
            "a smaller batch_size"
        )


def _bytes_of_pictures(group: Group) -> int:
    """Of the training pictures; those of several folds overlap, and are counted once and a half."""
    sizes = [sum(x.nbytes for x in one.job.train.store.values()) for one in group.replicas]
    stores = {id(one.job.train.store) for one in group.replicas}
    return max(sizes) if len(stores) == 1 else max(sizes) * 3 // 2


def _bytes_of_one(group: Group) -> int:
    replica = group.replicas[0]
    job = replica.job
    state = generations.like(job)
    teacher = state.weights if job.chain.generations > 1 else None
    item = jax.ShapeDtypeStruct((job.batch,), np.int32)
    store = {  # a single picture: all of them are counted once, not for each run
        name: jax.ShapeDtypeStruct((1, *array.shape[1:]), array.dtype)
        for name, array in job.train.store.items()
    }
    return memory.peak_bytes(
        group.step(job), state, teacher, store, item, arrays_of(replica.numbers)
    )


def arrays_of(numbers: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Numbers as what a program is called with."""
    return {key: np.asarray(x, np.float32) for key, x in numbers.items()}
