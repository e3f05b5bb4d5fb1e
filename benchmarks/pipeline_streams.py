"""Streams beside a bare loop and PyTorch's DataLoader, and the memory that they take."""

from __future__ import annotations

import functools
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from benchmarks import timing
from benchmarks.pipeline_rows import Row, Sizes, columns
from ldl_jax.data import pictures
from ldl_jax.data.augment.augmentation import Preprocessing, Recipe, augment
from ldl_jax.data.feed import stream
from ldl_jax.data.feed.feeds import EpochOrder, Part, feed
from ldl_jax.data.synthetic import faces as synthetic
from ldl_jax.placement import make_placement


def write_files(folder: Path, sizes: Sizes) -> tuple[list[Path], Path]:
    """JPEGs of synthetic faces in files, and the same in one ArrayRecord."""
    faces = np.asarray(synthetic.faces(min(sizes.files, 64), size=sizes.size, seed=0).images)
    encoded = []
    for face in faces:
        file = io.BytesIO()
        Image.fromarray(face).save(file, "JPEG", quality=90)
        encoded.append(file.getvalue())
    archive = folder / "faces.array_record"
    writer = ArrayRecordWriter(str(archive), "group_size:1")
    paths = []
    for index in range(sizes.files):
        paths.append(folder / f"{index}.jpg")
        paths[-1].write_bytes(encoded[index % len(encoded)])
        writer.write(encoded[index % len(encoded)])
    writer.close()
    return paths, archive


def bare(paths: Sequence[Path], size: int, threads: int) -> timing.Run:
    """As many threads as a stream has, each decoding its share of the files, and no more."""

    def share(first: int) -> None:
        for path in paths[first::threads]:
            pictures.decode_one(path, size)

    def run(times: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(times):
                list(pool.map(share, range(threads)))

    return run


def streaming(
    part: Part, batch: int, then: Callable[[Any], Any] = lambda images: images[0, 0, 0, 0]
) -> timing.Run:
    """One epoch after another of a part that is streamed into a jitted function."""
    placement = make_placement(1)
    source = feed(part, placement.place, placement.device_put)
    jitted = jax.jit(lambda item: then(item["images"]), in_shardings=placement.by_batch)

    def run(times: int) -> None:
        rows = EpochOrder(len(part), batch, times, seed=0, generation=1)
        for item in source.items(rows):
            result = jitted(item)
        jax.block_until_ready(result)

    return run


def stream_rows(sizes: Sizes, torch_too: bool) -> Iterator[Row]:
    """Streams against the bare loop and PyTorch's DataLoader."""
    with tempfile.TemporaryDirectory() as folder:
        paths, archive = write_files(Path(folder), sizes)
        rest = columns(len(paths), sizes.size)
        files = Part(paths=paths, **rest)
        packed = Part(packed=grain.sources.ArrayRecordDataSource([str(archive)]), **rest)
        threads = stream.cores()
        ready = _augmented(sizes.size)
        runs = {
            "bare": bare(paths, sizes.size, threads),
            "files": streaming(files, sizes.batch),
            "packed": streaming(packed, sizes.batch),
            "ready": streaming(files, sizes.batch, ready),
        }
        if torch_too:
            from benchmarks import torch_loader

            runs["torch"] = torch_loader.epochs(paths, sizes.size, sizes.batch, threads)
        times = timing.in_turns(runs, sizes.repeats, least=sizes.seconds, most=60.0)
    beside = f"bare loop, {threads} threads"
    yield _rate("stream of files", sizes, times["files"], times["bare"], beside, "≥ 0.9")
    yield _rate("stream of an ArrayRecord", sizes, times["packed"], times["bare"], beside, "≥ 0.9")
    if torch_too:
        beside = f"DataLoader, {threads} workers"
        yield _rate("the same, augmented", sizes, times["ready"], times["torch"], beside, "> 1")
        yield _rate("stream of files", sizes, times["files"], times["torch"], beside, "> 1")


def _rate(
    case: str, sizes: Sizes, own: timing.Timing, other: timing.Timing, beside: str, wanted: str
) -> Row:
    count = sizes.files
    rates = count / own.median, count / other.median
    return Row(f"{case}, {sizes.size}", "pictures/s", *rates, beside, other.over(own), wanted)


def _augmented(size: int) -> Callable[[Any], Any]:
    recipe = functools.partial(augment, recipe=Recipe(), preprocessing=Preprocessing(size, size))
    return lambda images: recipe(jax.random.key(0), images)


class Simulated(Sequence[bytes]):
    """An archive of so many records, each the same small picture."""

    def __init__(self, count: int) -> None:
        self._count = count
        file = io.BytesIO()
        Image.new("RGB", (8, 8), (99, 99, 99)).save(file, "JPEG")
        self._content = file.getvalue()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return bytes(bytearray(self._content))  # a new one, as of a file


def resident_mb() -> float:
    """Memory of this process that is in use now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_rows(sizes: Sizes) -> Iterator[Row]:
    """Resident memory at the start, the middle and the end of an epoch of many records."""
    if not Path("/proc/self/statm").exists():
        return
    count, batch = sizes.records, 128
    archive: Any = Simulated(count)
    rest: dict[str, Any] = {
        "ids": range(count),
        "labels": np.zeros(count, np.float32),
        "sigma": np.full(count, np.nan, np.float32),
        "size": 8,
    }
    placement = make_placement(1)
    source = feed(Part(packed=archive, **rest), placement.place, placement.device_put)
    rows = EpochOrder(count, batch, 1, seed=0, generation=1)
    start, steps = min(100, len(rows) // 4), len(rows)
    used = {}
    for step, item in enumerate(source.items(rows), 1):
        del item
        if step in (start, steps // 2, steps):
            used[step] = resident_mb()
    for step, word in ((steps // 2, "half"), (steps, "all")):
        yield Row(
            f"memory after {word} of {count:,} records",
            "MB",
            used[step],
            used[start],
            f"after {start} batches",
            used[step] / used[start],
            "≤ 1.02",
        )
