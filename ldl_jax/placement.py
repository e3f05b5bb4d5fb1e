"""Places arrays: batches are split over all devices, weights copied or split over some of them."""

import dataclasses
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from ldl_jax import processes

Tree = TypeVar("Tree")  # a tree of arrays
_SPLIT_FROM = 2**12  # elements; gathering a smaller array costs more than keeping copies of it


@dataclasses.dataclass(frozen=True)
class Placement:
    """The placement over a mesh of two axes, `data` and `fsdp`, of the devices of all processes.

    A batch is split over both. The state of training is copied along `data` and split along `fsdp`,
    each array along its largest dimension that the axis divides; with an axis of one device it is
    copied to all (Rajbhandari et al., "ZeRO", SC 2020; Zhao et al., "PyTorch FSDP", VLDB 2023).

    Attributes:
      replicated: a copy on every device.
      by_batch: the leading axis split over all devices.
    """

    replicated: NamedSharding
    by_batch: NamedSharding

    @property
    def devices(self) -> int:
        """The number of devices that share a batch."""
        return self.replicated.mesh.size

    @property
    def shard(self) -> tuple[int, int]:
        """(i, n), where this process feeds the i-th of n equal parts of every batch."""
        return processes.index(), processes.count()

    @property
    def splits(self) -> bool:
        """True where the training state is split over devices."""
        return self.replicated.mesh.shape["fsdp"] > 1

    def check_batch(self, name: str, size: int) -> None:
        """Raises ValueError where the devices do not divide a batch of that size."""
        if size % self.devices:
            raise ValueError(
                f"{name}: {size} is not a multiple of the {self.devices} devices; "
                f"{size - size % self.devices or self.devices} is"
            )

    def shardings(self, tree: Any) -> Any:
        """Returns the sharding of each array of a training state, or of weights."""
        return jax.tree.map(self._of_weights, tree)

    def place(self, tree: Tree) -> Tree:
        """Copies the arrays to every device where they are not yet.

        With several processes, each gives the same arrays.
        """
        return jax.tree.map(lambda x: _put(x, self.replicated), tree)

    def place_state(self, state: Tree) -> Tree:
        """Puts a training state, or weights, where `shardings` says."""
        return jax.tree.map(_put, state, self.shardings(state))

    def by_batch_of(self, axis: int) -> NamedSharding:
        """Returns the sharding that splits one axis over all devices."""
        spec = PartitionSpec(*(None,) * axis, *self.by_batch.spec)
        return NamedSharding(self.by_batch.mesh, spec)

    def split(self, tree: Tree, axis: int = 0) -> Tree:
        """Splits one axis of the arrays, by default the leading one, over the devices.

        With several processes, each gives its own `shard` of that axis, and gets the whole.
        """
        sharding = self.by_batch_of(axis)
        if processes.count() == 1:
            return jax.device_put(tree, sharding)
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree
        )

    def device_put(self, tree: Tree, axis: int = 0) -> Tree:
        """Splits arrays for a jitted function whose `in_shardings` say how that axis is split.

        Arrays for a single device stay as they are. The call itself takes them to the device,
        without `jax.device_put`, whose Python costs as much as a whole small step.
        """
        if self.devices == 1 and processes.count() == 1:
            return tree
        return self.split(tree, axis)

    def _of_weights(self, array: jax.Array | jax.ShapeDtypeStruct) -> NamedSharding:
        mesh = self.replicated.mesh
        axes = [axis for axis, size in enumerate(array.shape) if size % mesh.shape["fsdp"] == 0]
        if not self.splits or array.size < _SPLIT_FROM or not axes:
            return self.replicated
        axis = max(axes, key=lambda axis: array.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, "fsdp"))


def make_placement(devices: int | None = None, fsdp: int = 1) -> Placement:
    """Makes the placement over the first `devices` devices, or over those of all processes.

    Args:
      devices: the number of this process's devices to use; None for all devices of all processes.
      fsdp: the number of devices that the training state is split over.

    Raises:
      ValueError: the devices do not make up such a mesh.
    """
    chosen = jax.devices() if devices is None else jax.local_devices()[:devices]
    if devices is not None and processes.count() > 1:
        raise ValueError("devices: several processes use all of their devices")
    counts = processes.all_gather(jax.local_device_count())
    if len(set(counts)) > 1:
        raise ValueError(
            f"every process needs as many devices as the others, they have {counts}; give each "
            "the same number, as with CUDA_VISIBLE_DEVICES"
        )
    if not 1 <= fsdp <= len(chosen) or len(chosen) % fsdp:
        fitting = [str(n) for n in range(1, len(chosen) + 1) if len(chosen) % n == 0]
        raise ValueError(
            f"mesh.fsdp: {fsdp} does not divide the {len(chosen)} devices; "
            f"take {' or '.join(fitting)}"
        )
    mesh = Mesh(np.asarray(chosen).reshape(-1, fsdp), ("data", "fsdp"))
    rows = PartitionSpec(("data", "fsdp"))
    return Placement(NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, rows))


def _put(array: ArrayLike, sharding: NamedSharding) -> jax.Array:
    if processes.count() == 1 or not getattr(array, "is_fully_addressable", True):
        return jax.device_put(array, sharding)
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
