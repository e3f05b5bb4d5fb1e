"""Decodes pictures as they come, in threads that work ahead of the step, in the rows' order.

A thread decodes a whole batch, straight into the array that goes to the device. Decoding pictures
one by one and stacking them would take a fifth longer. Threads suffice, since decoding lets the
others run.
"""

import collections
import contextlib
import functools
import math
import os
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import SupportsIndex

import numpy as np

from ldl_jax import extras
from ldl_jax.data.feed.order import check_shard, own_columns, spans_of
from ldl_jax.data.feed.part import Batch, Feed, Part, Rows, Split, Store

HostBatch = dict[str, np.ndarray]
Decoded = Generator[HostBatch, None, None]
_AHEAD = 2  # batches on the devices before the step that reads them
_READY = 4  # batches decoded ahead of those that the threads are at
_ALIGNED = 64  # bytes; JAX takes arrays at multiples of it to a CPU without a copy


class _Stopped(Exception):  # noqa: N818 - it is no error
    """Raised when nobody wants the batch any more."""


class _Memory:
    """Lends memory for batches, and reuses it once no array views it: fresh pages cost time."""

    def __init__(self) -> None:
        self._free: collections.deque[np.ndarray] = collections.deque()

    def lend(self, shape: tuple[int, ...]) -> np.ndarray:
        """Returns a uint8 array of a shape, which must be the same in every call."""
        size = math.prod(shape)
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(size + _ALIGNED, np.uint8)
        start = -memory.ctypes.data % _ALIGNED
        # Every view refers to this array, and it refers to a buffer, which is no array. So the
        # array lives, and its memory stays lent, until the last view, here or in JAX, is gone.
        whole = np.frombuffer(memory.data, np.uint8, size, start)
        weakref.finalize(whole, self._free.append, memory).atexit = False
        return whole.reshape(shape)


class _Batches:
    """Decodes this process's share of the batch rows[s] as element s; a source for Grain."""

    def __init__(self, part: Part, rows: Rows, shard: tuple[int, int]) -> None:
        self._part, self._rows, self._shard = part, rows, shard
        self._memory = _Memory()
        self.stopped = threading.Event()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, step: SupportsIndex) -> HostBatch:
        part, row = self._part, own_columns(self._rows[int(step)], self._shard)
        images = self._memory.lend((len(row), part.size, part.size, 3))
        for position, index in enumerate(row):
            if self.stopped.is_set():
                raise _Stopped
            part.read(int(index), images[position])
        return {"images": images, **{name: column[row] for name, column in part.columns.items()}}


def streamed(part: Part, split: Split, shard: tuple[int, int]) -> Feed:
    """Returns the feed of pictures decoded as they come; see `ldl_jax.data.feed.feeds.feed`."""

    def fetch(store: Store, item: Batch) -> Batch:
        del store
        return dict(item)

    def items(rows: Rows, start: int = 0) -> Iterator[Batch]:
        return _ahead(batches(part, rows, start, shard), split)

    def spans(rows: Rows, ends: Iterable[int], start: int = 0, length: int = 0) -> Iterator[Batch]:
        stacks = _stacks(batches(part, rows, start, shard), ends, start, length)
        return _ahead(stacks, functools.partial(split, axis=1))

    return Feed(part, {}, fetch, items, spans)


def batches(part: Part, rows: Rows, start: int = 0, shard: tuple[int, int] = (0, 1)) -> Decoded:
    """Yields the batches of rows[start:], decoded ahead; process i of n gets its share of each.

    Raises:
      DataError: a picture cannot be read; raised when its batch is due, after which the threads
        end.
    """
    check_shard(rows, shard)
    grain = extras.needed("grain", "streaming pictures", "stream")
    source = _Batches(part, rows, shard)
    workers = cores()
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=workers + _READY)
    iterator = iter(grain.MapDataset.source(source)[start:].to_iter_dataset(options))
    try:
        yield from iterator
    finally:  # after an error, or if nobody reads on, threads end with the picture they are at
        source.stopped.set()
        iterator.close()


def cores() -> int:
    """Returns how many threads decode: one for each core of this process, at least two."""
    if hasattr(os, "sched_getaffinity"):
        return max(2, len(os.sched_getaffinity(0)))
    return max(2, os.cpu_count() or 2)


def _stacks(decoded: Decoded, ends: Iterable[int], start: int, length: int) -> Decoded:
    with contextlib.closing(decoded):
        for first, end in spans_of(ends, start):
            chosen = [next(decoded) for _ in range(first, end)]
            chosen += chosen[-1:] * (length - len(chosen))
            yield {name: np.stack([batch[name] for batch in chosen]) for name in chosen[0]}


def _ahead(decoded: Decoded, put: Callable[[HostBatch], Batch]) -> Iterator[Batch]:
    """Puts batches on the devices before they are asked for, so that copies run meanwhile.

    With one device the step's own call puts them there, see `Placement.device_put`.
    """
    ahead: collections.deque[Batch] = collections.deque()
    with contextlib.closing(decoded):
        for batch in decoded:
            ahead.append(put(batch))
            if len(ahead) > _AHEAD:
                yield ahead.popleft()
        yield from ahead
