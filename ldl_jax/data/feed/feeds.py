"""Brings pictures to the devices: kept there whole, or streamed with Grain, in the same order.

A feed gives items, and a pure `fetch(store, item)` inside the jitted step makes a batch of an item.
If the pictures are kept on the device, an item is a row of indices; if they are streamed, it is the
batch itself. The step is the same either way, and so are the batches, on any number of devices and
processes.
"""

from jax.sharding import NamedSharding

from ldl_jax.data.feed.order import EpochOrder, once_each
from ldl_jax.data.feed.part import Feed, Part, Place, Rows, Split
from ldl_jax.data.feed.resident import resident
from ldl_jax.data.feed.stream import streamed

__all__ = ["EpochOrder", "Feed", "Part", "Rows", "feed", "once_each"]


def feed(
    part: Part,
    place: Place,
    split: Split,
    across: NamedSharding | None = None,
    stream: bool | None = None,
    shard: tuple[int, int] = (0, 1),
) -> Feed:
    """Returns the feed of a part: from device memory, or streamed.

    Args:
      part: the pictures.
      place: puts arrays on every device.
      split: `split(tree, axis=0)` hands arrays to a jitted function with that axis split over the
        devices (`Placement.device_put`); of several processes each gives its share.
      across: how the pictures in device memory are split over the devices; None for a copy on every
        device.
      stream: whether pictures are streamed; None streams those that are not in memory.
      shard: (index, count) of this process among those that share a batch: it gives the columns
        [index B / count, (index + 1) B / count) of every row.
    """
    if stream is None:
        stream = part.stored is None
    if not stream and part.stored is None:
        raise ValueError("part: only pictures in memory stay on the devices; these are in files")
    return streamed(part, split, shard) if stream else resident(part, place, split, across, shard)
