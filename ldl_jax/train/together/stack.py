"""Several runs' arrays as one, with a leading axis that is spread over the devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ldl_jax.data.feed.feeds import Part
from ldl_jax.train.state import TrainState, Weights

AXIS = "replica"
# `one(state, teacher, store, item, numbers) -> (state, scalars)` of a single run.
OneStep = Callable[[TrainState, Weights | None, Any, Any, Any], tuple[TrainState, Any]]


@dataclasses.dataclass(frozen=True)
class Stack:
    """Places for R runs on a mesh of one axis, `replica`.

    Attributes:
      mesh: the devices that are used.
      runs: R. Each device has as many places; those past R repeat the last run.
    """

    mesh: Mesh
    runs: int

    @property
    def each(self) -> int:
        """How many runs a device has."""
        return -(-self.runs // self.mesh.size)

    def put(self, trees: Sequence[Any]) -> Any:
        """R trees of arrays as one whose leading axis is spread over the devices."""
        padded = [*trees, *[trees[-1]] * (self.each * self.mesh.size - self.runs)]
        place = NamedSharding(self.mesh, PartitionSpec(AXIS))

        def join(*leaves: Any) -> jax.Array:
            return jax.device_put(np.stack([np.asarray(leaf) for leaf in leaves]), place)

        return jax.tree.map(join, *padded)

    def take(self, tree: Any) -> list[Any]:
        """The R trees again, as NumPy arrays."""
        whole = jax.device_get(tree)
        # Copies: what is given up to the next step may lie under an array of NumPy's.
        return [jax.tree.map(lambda x, at=at: np.array(x[at]), whole) for at in range(self.runs)]

    def share(self, tree: Any) -> Any:
        """One tree of arrays, on every device."""
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec()))

    def jit(self, one: OneStep) -> OneStep:
        """The step of all runs: each device's by vmap, one that has a device alone as it is.

        States are given up to the result. All but the store have the leading axis.
        """

        def own(states: Any, teachers: Any, store: Any, items: Any, numbers: Any) -> Any:
            def step(state: Any, teacher: Any, item: Any, number: Any) -> Any:
                return one(state, teacher, store, item, number)

            mine = (states, teachers, items, numbers)
            if self.each > 1:
                return jax.vmap(step)(*mine)
            result = step(*jax.tree.map(lambda x: x[0], mine))
            return jax.tree.map(lambda x: x[None], result)

        spread, same = PartitionSpec(AXIS), PartitionSpec()
        mapped = jax.shard_map(
            own,
            mesh=self.mesh,
            in_specs=(spread, spread, same, spread, spread),
            out_specs=spread,
            check_vma=False,
        )
        return jax.jit(mapped, donate_argnums=0)


def stack_of(runs: int, devices: Sequence[jax.Device]) -> Stack:
    """Places for so many runs on as few of the devices as take no more steps than all would."""
    each = -(-runs // len(devices))
    used = -(-runs // each)
    return Stack(Mesh(np.asarray(devices[:used]), (AXIS,)), runs)


def shared_pictures(parts: Sequence[Part]) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """The parts' pictures, each once, and where each part's lie among them.

    Args:
      parts: of one dataset, their pictures in memory; a name and a label are one picture.

    Returns:
      "images" uint8 [U, S, S, 3], "labels" and "sigma" float32 [U]; and [N] int32 for each part.
    """
    keys = [list(zip(part.ids, part.labels.tolist(), strict=True)) for part in parts]
    columns = ("images", "labels", "sigma")
    if all(one == keys[0] for one in keys):
        rows = np.arange(len(parts[0]), dtype=np.int32)
        return {name: getattr(parts[0], name) for name in columns}, [rows] * len(parts)
    place: dict[tuple[str, float], int] = {}
    fresh = []
    for part_keys in keys:
        new = {key: row for row, key in enumerate(part_keys) if key not in place}
        fresh.append(list(new.values()))
        place |= {key: len(place) + count for count, key in enumerate(new)}
    store = {
        name: np.concatenate(
            [getattr(part, name)[new] for part, new in zip(parts, fresh, strict=True)]
        )
        for name in columns
    }
    return store, [np.asarray([place[key] for key in one], np.int32) for one in keys]
