"""Runs that may be trained together: those that differ in their seed, fold or numbers alone."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ldl_jax import processes
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import Method
from ldl_jax.train import memory, programs
from ldl_jax.train.compiled import Store, whole_step
from ldl_jax.train.job import Job
from ldl_jax.train.state import PyTree, TrainState, Weights
from ldl_jax.train.step import Stepped
from ldl_jax.train.together.stack import OneStep, stack_of

# The numbers in which a group's runs differ, by dotted key of a config.
Numbers = Mapping[str, jax.typing.ArrayLike]
# `rebuild(numbers)`: the group's method and optimizer with these numbers, which may be traced.
Rebuild = Callable[[Numbers], tuple[Method, optax.GradientTransformation]]


@dataclasses.dataclass(frozen=True)
class Replica:
    """A run of a group, and its values of the keys in which the group's runs differ."""

    name: str
    job: Job
    numbers: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Replicas:
    """A group of runs whose arrays have the same shapes, and the devices that take them.

    Raises:
      ValueError: the runs do not fit into one program.
    """

    replicas: tuple[Replica, ...]
    rebuild: Rebuild
    devices: tuple[jax.Device, ...]

    def __post_init__(self) -> None:
        first = self.replicas[0]
        for replica in self.replicas:
            if not replica.job.data.train.store:
                raise ValueError(
                    "replicas: runs that are trained together need their pictures in memory; take "
                    "data.feed='memory', or replicas='one_by_one'"
                )
            if replica.job.init.ensemble is not None:
                raise ValueError(
                    "replicas: runs with teachers of their own (init.teachers) are trained alone; "
                    "take replicas='one_by_one'"
                )
            if replica.job.placement.splits or processes.count() > 1:
                raise ValueError(
                    "replicas: runs that are trained together have their weights whole on one "
                    "device of one process; take mesh.fsdp=1 and a single process, or "
                    "replicas='one_by_one'"
                )
            if kind(replica.job) != kind(first.job):
                raise ValueError(
                    f"replicas: {first.name} and {replica.name} have other label values or numbers "
                    "of steps; take replicas='one_by_one'"
                )

    def step(self, job: Job) -> OneStep:
        """Returns the pure step of one of the runs."""

        def of_run(
            state: TrainState, teacher: Weights | None, store: Store, item: PyTree, numbers: Numbers
        ) -> Stepped:
            method, optimizer = self.rebuild(numbers)
            step = programs.train_step(job, job.model, method, optimizer)
            steps = len(job.order(1))
            whole = whole_step(step, _fetch, job.augment, job.data.preprocessing, steps)
            return whole(state, teacher, store, item)

        return of_run

    @functools.cached_property
    def bytes_of_one(self) -> int:
        """The bytes of a device that the step of one run needs, but for its training pictures."""
        job, numbers = self.replicas[0].job, arrays_of(self.replicas[0].numbers)
        state = programs.like(job)
        teacher = state.weights if job.chain.generations > 1 else None
        item = jax.ShapeDtypeStruct((job.batch_size,), np.int32)
        store = {  # a single picture: all of them are counted once, not for each run
            name: jax.ShapeDtypeStruct((1, *array.shape[1:]), array.dtype)
            for name, array in job.data.train.store.items()
        }
        return memory.compiled_bytes(self.step(job), state, teacher, store, item, numbers)


def _fetch(store: Store, item: jax.Array) -> dict[str, jax.Array]:
    """Returns the batch of a row of indices: here every device has all pictures."""
    return {name: jnp.take(array, item, axis=0, mode="clip") for name, array in store.items()}


def kind(job: Job) -> tuple[LabelSpace, int, int]:
    """Returns what the runs of one group must share, though their configs do not say it."""
    return job.method.space, len(job.order(1)), job.order(1).steps_per_epoch


def fitting(group: Replicas) -> int:
    """Estimates how many of the runs the devices' memory holds at one time.

    Each run is taken to need what the step of one needs by itself, which is compiled for it.
    """
    left = memory.memory_of(group.devices[0]) - _bytes_of_pictures(group)
    return max(0, left // group.bytes_of_one) * len(group.devices)


def check_memory(group: Replicas) -> None:
    """Checks that the devices' memory holds all runs at one time, by the estimate of `fitting`.

    Raises:
      ValueError: it does not.
    """
    fits, count = fitting(group), len(group.replicas)
    if count > fits:
        each = stack_of(count, group.devices).each
        needed = each * group.bytes_of_one + _bytes_of_pictures(group)
        limit = memory.memory_of(group.devices[0])
        raise ValueError(
            f"replicas: {count} runs together need about {needed / 1e9:.2f} GB of "
            f"each device's {limit / 1e9:.2f} GB, which may hold {fits}; take replicas='auto', or "
            "a smaller batch_size"
        )


def _bytes_of_pictures(group: Replicas) -> int:
    """Estimates the bytes of the training pictures.

    Those of several folds overlap, and are counted once and a half.
    """
    stores = [replica.job.data.train.store for replica in group.replicas]
    largest = max(sum(x.nbytes for x in store.values()) for store in stores)
    return largest if len({id(store) for store in stores}) == 1 else largest * 3 // 2


def arrays_of(numbers: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Returns numbers as arrays, which a program is called with."""
    return {key: np.asarray(x, np.float32) for key, x in numbers.items()}
