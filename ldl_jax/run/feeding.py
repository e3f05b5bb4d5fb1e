"""The feeds of a run: the pictures of its parts, on their way to the device."""

import dataclasses
from typing import Any

import numpy as np

from ldl_jax import extras, processes
from ldl_jax.data import pictures
from ldl_jax.data.feed.choice import GB, SHARES, STREAM, Memory, choose, least, measure
from ldl_jax.data.feed.feeds import Feed, Part, feed
from ldl_jax.data.lazy import LazyImages
from ldl_jax.data.records import Chosen, Records
from ldl_jax.data.splits import protocols
from ldl_jax.labels import LabelSpace
from ldl_jax.placement import Placement
from ldl_jax.run import votes
from ldl_jax.run.config import DataConfig
from ldl_jax.run.data import LogLine, stored_size

_GLANCE = 8  # pixels, of a picture that is only looked at for damage


def feeds_of(
    config: DataConfig,
    records: Records,
    parts: protocols.Parts,
    space: LabelSpace,
    placement: Placement,
    log: LogLine,
) -> dict[str, Feed]:
    """Returns the feeds of the parts that have pictures, by name."""
    rows = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    rows = {name: chosen for name, chosen in rows.items() if len(chosen)}
    size = stored_size(config)
    stored = sum(map(len, rows.values())) * size * size * 3.0  # bytes
    free = measure(placement.replicated.mesh.devices.flatten().tolist())
    memory = least([Memory(*each) for each in processes.all_gather(list(free))])
    choice = choose(stored, memory, config.feed, config.memory_gb * GB)
    streams = choice.where == STREAM
    if streams:
        extras.check("grain", f"data.feed: streaming pictures ({choice.reason})", "stream")
    log(
        f"{records.name}: "
        + ", ".join(f"{len(chosen):,} {name}" for name, chosen in rows.items())
        + f" pictures, labels {space.low:g} to {space.high:g} {space.unit}, "
        + f"{stored / 1e9:.2f} GB at {size}x{size}, {choice}"
    )
    across = placement.by_batch if choice.where == SHARES else None
    way = (placement.place, placement.device_put, across, streams, placement.shard)
    return {
        name: feed(_part(config, records, chosen, space, streams, log), *way)
        for name, chosen in rows.items()
    }


def labelled(config: DataConfig, records: Records, rows: np.ndarray, space: LabelSpace) -> Part:
    """Returns a part with all that is known of its pictures, but without them."""
    sigma = np.full(len(records), np.nan, np.float32) if records.sigma is None else records.sigma
    truth = None
    if records.truth is not None and np.array_equal(
        np.asarray(records.truth_values, np.float32), np.asarray(space.values, np.float32)
    ):
        truth = records.truth[rows]
    counts = votes.counted(records, rows, space)
    if truth is None:
        truth = votes.shares(counts)
    return Part(
        ids=tuple(records.ids[row] for row in rows),
        labels=records.labels[rows].astype(np.float32),
        sigma=sigma[rows].astype(np.float32),
        size=stored_size(config),
        crop=config.crop,
        square=config.square,
        truth=truth,
        votes=counts,
        groups={kind: tuple(of[row] for row in rows) for kind, of in records.groups.items()},
        subjects=tuple(records.subjects[row] for row in rows) if records.subjects else (),
    )


def _part(
    config: DataConfig,
    records: Records,
    rows: np.ndarray,
    space: LabelSpace,
    streams: bool,
    log: LogLine,
) -> Part:
    images = records.images
    if images is not None:
        lazy = streams and isinstance(images, LazyImages)
        images = images.take(rows) if lazy else images[rows]
    elif not streams or config.unreadable == "skip":
        files: Any = records.paths if records.packed is None else records.packed
        names = None if records.packed is None else Chosen(records.ids, rows)
        # Streamed pictures are looked through once, so that the bad ones are known at the start.
        size = _GLANCE if streams else stored_size(config)
        chosen, crop, square = Chosen(files, rows), config.crop, config.square
        images, readable = pictures.decode(
            chosen, size, config.unreadable, crop, names=names, square=square
        )
        if len(readable) < len(rows):
            first = np.setdiff1d(rows, rows[readable])[0]
            log(
                f"skipped {len(rows) - len(readable)} unreadable pictures of {len(rows)}; the "
                f"first is {(records.paths or records.ids)[first]} ({records.sources[first]})"
            )
        rows = rows[readable]
        images = None if streams else images
    return dataclasses.replace(
        labelled(config, records, rows, space),
        images=images,
        paths=Chosen(records.paths, rows) if records.paths else (),
        packed=None if records.packed is None else Chosen(records.packed, rows),
    )
