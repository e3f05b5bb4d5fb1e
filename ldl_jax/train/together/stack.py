"""The arrays of several runs as one, with a leading axis that is spread over the devices."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ldl_jax.data.feed.feeds import Part
from ldl_jax.train.compiled import Store
from ldl_jax.train.state import PyTree, TrainState, Weights
from ldl_jax.train.step import Stepped

AXIS = "replica"
# `step(state, teacher, store, item, numbers) -> (state, scalars)` of a single run.
OneStep = Callable[[TrainState, Weights | None, Store, PyTree, PyTree], Stepped]


@dataclasses.dataclass(frozen=True)
class Stack:
    """Places for R runs on a mesh of one axis, `replica`.

    Each device has as many places; those past R repeat the last run.
    """

    mesh: Mesh
    runs: int

    @property
    def each(self) -> int:
        """The number of runs that a device has."""
        return -(-self.runs // self.mesh.size)

    def put(self, trees: Sequence[PyTree]) -> PyTree:
        """Returns R trees of arrays as one whose leading axis is spread over the devices."""
        padded = [*trees, *[trees[-1]] * (self.each * self.mesh.size - self.runs)]
        sharding = NamedSharding(self.mesh, PartitionSpec(AXIS))

        def join(*leaves: jax.Array) -> jax.Array:
            return jax.device_put(np.stack([np.asarray(leaf) for leaf in leaves]), sharding)

        return jax.tree.map(join, *padded)

    def take(self, tree: PyTree) -> list[PyTree]:
        """Returns the R trees again, as NumPy arrays."""
        whole = jax.device_get(tree)
        # Copies: what is given up to the next step may lie under an array of NumPy's.
        return [jax.tree.map(lambda x, at=at: np.array(x[at]), whole) for at in range(self.runs)]

    def share(self, tree: PyTree) -> PyTree:
        """Returns one tree of arrays, on every device."""
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec()))

    def jit(self, step: OneStep) -> OneStep:
        """Returns the step of all runs: a device takes its runs by vmap, or its only one as it is.

        States are given up to the result. All but the store have the leading axis.
        """

        def device_step(
            states: TrainState,
            teachers: Weights | None,
            store: Store,
            items: PyTree,
            numbers: PyTree,
        ) -> Stepped:
            if self.each > 1:
                every = jax.vmap(step, in_axes=(0, 0, None, 0, 0))
                return every(states, teachers, store, items, numbers)
            stacked = (states, teachers, items, numbers)
            state, teacher, item, values = jax.tree.map(lambda x: x[0], stacked)
            result = step(state, teacher, store, item, values)
            return jax.tree.map(lambda x: x[None], result)

        spread, everywhere = PartitionSpec(AXIS), PartitionSpec()
        mapped = jax.shard_map(
            device_step,
            mesh=self.mesh,
            in_specs=(spread, spread, everywhere, spread, spread),
            out_specs=spread,
            check_vma=False,
        )
        return jax.jit(mapped, donate_argnums=0)


def stack_of(runs: int, devices: Sequence[jax.Device]) -> Stack:
    """Returns places for `runs` on the fewest devices that take no more steps than all would."""
    each = -(-runs // len(devices))
    used = -(-runs // each)
    return Stack(Mesh(np.asarray(devices[:used]), (AXIS,)), runs)


def shared_pictures(parts: Sequence[Part]) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Returns the pictures of all parts, each once, and the positions of each part's among them.

    The parts are of one dataset, their pictures in memory; a name and a label are one picture.
    Returns "images" uint8 [U, S, S, 3] (or features [U, W, D]), "labels" and "sigma" float32 [U];
    [N] int32 for each part.
    """
    keys = [list(zip(part.ids, part.labels.tolist(), strict=True)) for part in parts]
    columns = {"images": "stored", "labels": "labels", "sigma": "sigma"}
    if all(part_keys == keys[0] for part_keys in keys):
        rows = np.arange(len(parts[0]), dtype=np.int32)
        store = {name: getattr(parts[0], field) for name, field in columns.items()}
        return store, [rows] * len(parts)
    first: dict[tuple[str, float], tuple[int, int]] = {}  # its part, and its row there
    for index, part_keys in enumerate(keys):
        for row, key in enumerate(part_keys):
            first.setdefault(key, (index, row))
    fresh = [[row for at, row in first.values() if at == index] for index in range(len(parts))]
    pairs = list(zip(parts, fresh, strict=True))
    store = {
        name: np.concatenate([getattr(part, field)[new] for part, new in pairs])
        for name, field in columns.items()
    }
    position = {key: count for count, key in enumerate(first)}
    return store, [np.asarray([position[key] for key in part_keys], np.int32) for part_keys in keys]
