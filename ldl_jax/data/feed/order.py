"""Orders the pictures: the batch of any step is known without those before it."""

import collections
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import SupportsIndex

import numpy as np

from ldl_jax.data.feed.part import Rows


class EpochOrder(Sequence[np.ndarray]):
    """Gives in row s the indices [batch] of training step s. Every epoch is a new permutation.

    Pictures that do not fill a batch at an epoch's end are left out of that epoch.
    """

    def __init__(self, count: int, batch: int, epochs: int, seed: int, generation: int) -> None:
        self.batch, self.epochs = batch, epochs
        self.steps_per_epoch = count // batch
        if self.steps_per_epoch == 0:
            raise ValueError(f"batch_size: {batch} is more than the {count} training pictures")
        self._count, self._seed = count, (seed, generation)
        self._drawn: collections.OrderedDict[int, np.ndarray] = collections.OrderedDict()
        self._lock = threading.Lock()  # a stream's threads ask at once

    def __len__(self) -> int:
        return self.epochs * self.steps_per_epoch

    def __getitem__(self, step: SupportsIndex) -> np.ndarray:  # type: ignore[override]
        index = int(step)
        if not 0 <= index < len(self):  # this ends an iteration over a sequence
            raise IndexError(f"step {index} of {len(self)}")
        epoch, position = divmod(index, self.steps_per_epoch)
        start = position * self.batch
        return self._permutation(epoch)[start : start + self.batch]

    def _permutation(self, epoch: int) -> np.ndarray:
        with self._lock:
            if epoch not in self._drawn:
                if len(self._drawn) == 2:  # two, since a stream reads across the end of an epoch
                    self._drawn.popitem(last=False)
                order = np.arange(self._count, dtype=np.int32)
                np.random.default_rng((*self._seed, epoch)).shuffle(order)
                order.flags.writeable = False
                self._drawn[epoch] = order
            return self._drawn[epoch]


def once_each(count: int, batch: int) -> np.ndarray:
    """Returns rows [M, batch] that visit `count` pictures once each, padded with index 0."""
    rows = -(-count // batch)
    order = np.zeros(rows * batch, np.int32)
    order[:count] = np.arange(count)
    return order.reshape(rows, batch)


def own_columns(row: np.ndarray, shard: tuple[int, int]) -> np.ndarray:
    """Returns the columns of a row that belong to process `index` of `count`."""
    index, count = shard
    each = len(row) // count
    return row[index * each : (index + 1) * each]


def check_shard(rows: Rows, shard: tuple[int, int]) -> None:
    """Raises ValueError where the processes do not divide a batch."""
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"shard: expected an index from 0 below the count, got {shard}")
    if len(rows) and len(rows[0]) % count:
        raise ValueError(f"shard: {count} processes do not divide a batch of {len(rows[0])}")


def spans_of(ends: Iterable[int], start: int) -> Iterator[tuple[int, int]]:
    """Yields the pairs (first, last + 1) of consecutive spans; ValueError if one is empty."""
    for end in ends:
        if end <= start:
            raise ValueError(f"ends: expected ends that rise from {start}, got {end}")
        yield start, end
        start = end
