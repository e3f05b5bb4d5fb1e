"""Keeps pictures in device memory: a copy on every device, or a share of them on each.

An item is a row of indices. With a copy, every device takes its own slice of the batch. With
shares, every device takes the pictures of the whole batch that it holds, and a reduce-scatter of
uint8 brings each picture to the device whose slice it is in. So a batch travels between the devices
once, and it is the same as with copies, bit by bit.
"""

from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from ldl_jax.data.feed.order import check_shard, own_columns, spans_of
from ldl_jax.data.feed.part import Batch, Feed, Part, Place, Rows, Split, Store


def resident(
    part: Part, place: Place, split: Split, across: NamedSharding | None, shard: tuple[int, int]
) -> Feed:
    """Returns the feed of pictures in memory; see `ldl_jax.data.feed.feeds.feed`."""
    images = np.asarray(part.stored)
    store = {"labels": place(part.labels), "sigma": place(part.sigma)}
    store["images"] = place(images) if across is None else _shares(images, across)
    take = _take if across is None else _take_across(across)

    def fetch(store: Store, item: jax.Array) -> Batch:
        return {
            "images": take(store["images"], item),
            "labels": _take(store["labels"], item),
            "sigma": _take(store["sigma"], item),
        }

    def items(rows: Rows, start: int = 0) -> Iterator[jax.Array]:
        check_shard(rows, shard)
        for row in range(start, len(rows)):
            yield split(own_columns(rows[row], shard))

    def spans(
        rows: Rows, ends: Iterable[int], start: int = 0, length: int = 0
    ) -> Iterator[jax.Array]:
        check_shard(rows, shard)
        for first, end in spans_of(ends, start):
            chosen = [own_columns(rows[row], shard) for row in range(first, end)]
            chosen += chosen[-1:] * (length - len(chosen))
            yield split(np.stack(chosen), axis=1)

    return Feed(part, store, fetch, items, spans)


def _take(array: jax.Array, item: jax.Array) -> jax.Array:
    return jnp.take(array, item, axis=0, mode="clip")


def _shares(images: np.ndarray, across: NamedSharding) -> jax.Array:
    """Splits pictures [N, ...] over the devices, with N filled up to a multiple of them."""
    count = across.mesh.size
    each = -(-len(images) // count)

    def share(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index is not None
        held = images[index[0]]
        missing = each - len(held)
        return held if not missing else np.pad(held, [(0, missing), *[(0, 0)] * (held.ndim - 1)])

    return jax.make_array_from_callback((count * each, *images.shape[1:]), across, share)


def _take_across(across: NamedSharding) -> Callable[[jax.Array, jax.Array], jax.Array]:
    axis = across.spec[0]

    def slice_of(share: jax.Array, item: jax.Array) -> jax.Array:
        everyones = jax.lax.all_gather(item, axis, tiled=True)
        index = everyones - jax.lax.axis_index(axis) * len(share)
        here = (index >= 0) & (index < len(share))
        held = _take(share, index)
        held = jnp.where(here.reshape(-1, *(1,) * (share.ndim - 1)), held, jnp.zeros_like(held))
        return jax.lax.psum_scatter(held, axis, tiled=True)

    spec = PartitionSpec(axis)
    return jax.shard_map(slice_of, mesh=across.mesh, in_specs=(spec, spec), out_specs=spec)
