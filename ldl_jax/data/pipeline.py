"""Pictures to the device: kept there whole, or streamed with Grain, in the same order.

A feed gives items, and a pure `fetch(store, item)` inside the jitted step makes the batch of one:
of pictures kept on the device an item is a row of indices, of streamed ones the batch itself. So
the step is the same either way, and so are the batches.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grain
import jax.numpy as jnp
import numpy as np

from ldl_jax.data import pictures

Place = Callable[[Any], Any]
Rows = Sequence[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Part:
    """The pictures of one part (train, validation or test) of a dataset.

    Attributes:
      ids: N names.
      labels: float32 [N].
      sigma: float32 [N], NaN where unknown.
      size: side of a stored picture in pixels.
      crop: share of a picture's width and height that is kept.
      images: uint8 [N, size, size, 3] where the pictures are in memory.
      paths: N files where they are not,
      packed: or their bytes, each read when it is asked for.
      truth: float32 [N, K], the true distribution, where it is known.
    """

    ids: tuple[str, ...]
    labels: np.ndarray
    sigma: np.ndarray
    size: int
    crop: float = 1.0
    images: np.ndarray | None = None
    paths: tuple[Path, ...] = ()
    packed: Sequence[bytes] | None = None
    truth: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


class EpochOrder(Sequence[np.ndarray]):
    """Row s: the indices [batch] of training step s. Every epoch is a new permutation.

    What does not fill a batch at an epoch's end is left out of that epoch.
    """

    def __init__(self, count: int, batch: int, epochs: int, seed: int, generation: int) -> None:
        self.batch, self.epochs = batch, epochs
        self.steps_per_epoch = count // batch
        if self.steps_per_epoch == 0:
            raise ValueError(f"batch_size: {batch} is more than the {count} training pictures")

        @functools.lru_cache(maxsize=2)  # a stream reads across the end of an epoch
        def permutation(epoch: int) -> np.ndarray:
            return np.random.default_rng((seed, generation, epoch)).permutation(count)

        self._permutation = permutation

    def __len__(self) -> int:
        return self.epochs * self.steps_per_epoch

    def __getitem__(self, step: Any) -> Any:
        if not 0 <= step < len(self):  # what ends an iteration over a sequence
            raise IndexError(f"step {step} of {len(self)}")
        epoch, place = divmod(step, self.steps_per_epoch)
        start = place * self.batch
        return self._permutation(epoch)[start : start + self.batch].astype(np.int32)


def once_each(count: int, batch: int) -> np.ndarray:
    """Rows [M, batch] that visit each of `count` pictures once; the last is padded with index 0."""
    rows = -(-count // batch)
    order = np.zeros(rows * batch, np.int32)
    order[:count] = np.arange(count)
    return order.reshape(rows, batch)


@dataclasses.dataclass(frozen=True)
class Feed:
    """A part of a dataset as the jitted step sees it.

    Attributes:
      part: the pictures.
      store: arrays to pass to the jitted step, {} where the pictures are streamed.
      fetch: pure `fetch(store, item) -> batch` with uint8 "images" [B, S, S, 3], float32 "labels"
        and "sigma" [B].
      items: `items(rows, start)` yields the items of rows[start:], placed on the devices.
    """

    part: Part
    store: dict[str, Any]
    fetch: Callable[[dict[str, Any], Any], dict[str, Any]]
    items: Callable[..., Iterator[Any]]


def feed(part: Part, place: Place, split: Place, shard: tuple[int, int] = (0, 1)) -> Feed:
    """The feed of a part: from device memory where its pictures are in memory, else streamed.

    Args:
      part: the pictures.
      place: puts arrays on every device.
      split: puts arrays on the devices with the leading axis split; of several processes each
        gives its share.
      shard: (index, count) of this process among those that share a batch.
    """
    if part.images is not None:
        return _resident(part, place, split, shard)
    return _streamed(part, split, shard)


class _Own(Sequence[np.ndarray]):
    """The columns of rows that are a process's."""

    def __init__(self, rows: Rows, shard: tuple[int, int]) -> None:
        self._rows, self._shard = rows, shard

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        index, count = self._shard
        row = self._rows[place]
        return row[index * len(row) // count : (index + 1) * len(row) // count]


def _resident(part: Part, place: Place, split: Place, shard: tuple[int, int]) -> Feed:
    arrays = {"images": part.images, "labels": part.labels, "sigma": part.sigma}
    store = {name: place(array) for name, array in arrays.items()}

    def fetch(store: dict[str, Any], item: Any) -> dict[str, Any]:
        return {name: jnp.take(array, item, axis=0, mode="clip") for name, array in store.items()}

    def items(rows: Rows, start: int = 0) -> Iterator[Any]:
        own = _Own(rows, shard)
        for row in range(start, len(rows)):
            yield split(own[row])

    return Feed(part, store, fetch, items)


class _Schedule(grain.sources.RandomAccessDataSource):
    """Element i is picture rows[i // batch][i % batch], decoded."""

    def __init__(self, part: Part, rows: Rows) -> None:
        self._part, self._rows, self._batch = part, rows, len(rows[0])

    def __len__(self) -> int:
        return len(self._rows) * self._batch

    def __getitem__(self, place: Any) -> dict[str, Any]:
        row, column = divmod(int(place), self._batch)
        index = int(self._rows[row][column])
        part = self._part
        return {
            "images": pictures.decode_one(part.paths[index], part.size, part.crop),
            "labels": part.labels[index],
            "sigma": part.sigma[index],
        }


def _streamed(part: Part, split: Place, shard: tuple[int, int]) -> Feed:
    def fetch(store: dict[str, Any], item: Any) -> dict[str, Any]:
        del store
        return dict(item)

    def items(rows: Rows, start: int = 0) -> Iterator[Any]:
        own = _Own(rows, shard)
        batch = len(own[0])
        source = grain.MapDataset.source(_Schedule(part, own))[start * batch :]
        threads = max(2, os.cpu_count() or 2)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * batch)
        ahead: collections.deque[Any] = collections.deque()
        for item in source.to_iter_dataset(options).batch(batch):
            ahead.append(split(item))
            if len(ahead) > 2:  # copies to the device run ahead of the step that reads them
                yield ahead.popleft()
        yield from ahead

    return Feed(part, {}, fetch, items)
