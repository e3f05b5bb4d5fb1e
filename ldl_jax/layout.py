"""Where arrays live: state replicated, batches split over the devices of one `data` axis."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


@dataclasses.dataclass(frozen=True)
class Layout:
    """Placement over a mesh of one axis, `data`.

    Attributes:
      replicated: a copy on every device.
      by_batch: the leading axis split over the devices.
    """

    replicated: NamedSharding
    by_batch: NamedSharding

    @property
    def devices(self) -> int:
        """How many devices share a batch."""
        return self.replicated.mesh.size

    def check_batch(self, name: str, size: int) -> None:
        """Raises ValueError where the devices do not divide a batch of that size."""
        if size % self.devices:
            raise ValueError(
                f"{name}: {size} is not a multiple of the {self.devices} devices; "
                f"{size - size % self.devices or self.devices} is"
            )

    def place(self, tree: Any) -> Any:
        """The arrays on every device; one that is there already is not copied."""
        return jax.device_put(tree, self.replicated)

    def split(self, tree: Any, axis: int = 0) -> Any:
        """The arrays with one axis, by default the leading one, split over the devices."""
        spec = PartitionSpec(*(None,) * axis, *self.by_batch.spec)
        return jax.device_put(tree, NamedSharding(self.by_batch.mesh, spec))


def layout(devices: int | None = None) -> Layout:
    """The layout over the first `devices` devices, or all."""
    chosen = jax.devices()[:devices]
    mesh = Mesh(np.asarray(chosen), ("data",))
    return Layout(NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data")))
