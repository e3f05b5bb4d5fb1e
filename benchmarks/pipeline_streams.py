"""Measures streams beside a bare loop and PyTorch's DataLoader, and the memory that they use."""

import functools
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import grain
import jax
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from benchmarks import timing
from benchmarks.pipeline_rows import Sizes, compared, part, row
from ldl_jax.data import pictures
from ldl_jax.data.augment.augmentation import Preprocessing, Recipe, augment
from ldl_jax.data.feed import stream
from ldl_jax.data.feed.feeds import EpochOrder, Part, feed
from ldl_jax.data.synthetic import faces as synthetic
from ldl_jax.placement import make_placement

T = TypeVar("T")


def write_files(folder: Path, sizes: Sizes) -> tuple[list[Path], Path]:
    """Writes JPEGs of synthetic faces into files, and the same into one ArrayRecord."""
    faces = np.asarray(synthetic.faces(min(sizes.files, 64), size=sizes.size, seed=0).images)
    encoded = [_encoded(Image.fromarray(face), quality=90) for face in faces]
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
    """Returns a bare loop: as many threads as a stream has, each of which decodes its share."""

    def share(first: int) -> None:
        for path in paths[first::threads]:
            pictures.decode_one(path, size)

    def run(times: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(times):
                list(pool.map(share, range(threads)))

    return run


def streaming(
    streamed: Part,
    batch: int,
    then: Callable[[jax.Array], jax.Array] = lambda images: images[0, 0, 0, 0],
) -> timing.Run:
    """Streams one epoch of a part after another into a jitted function."""
    placement = make_placement(1)
    source = feed(streamed, placement.place, placement.device_put)
    jitted = jax.jit(lambda item: then(item["images"]), in_shardings=placement.by_batch)

    def run(times: int) -> None:
        rows = EpochOrder(len(streamed), batch, times, seed=0, generation=1)
        for item in source.items(rows):
            result = jitted(item)
        jax.block_until_ready(result)

    return run


def stream_rows(sizes: Sizes, torch_too: bool) -> Iterator[str]:
    """Times streams against the bare loop and PyTorch's DataLoader."""
    with tempfile.TemporaryDirectory() as folder:
        paths, archive = write_files(Path(folder), sizes)
        files = part(len(paths), sizes.size, paths=paths)
        records = grain.sources.ArrayRecordDataSource([str(archive)])
        packed = part(len(paths), sizes.size, packed=records)
        threads = stream.cores()
        input_size = Preprocessing(sizes.size, sizes.size)
        ready = functools.partial(
            augment, jax.random.key(0), recipe=Recipe(), preprocessing=input_size
        )
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
    loop, loader = f"bare loop, {threads} threads", f"DataLoader, {threads} workers"
    rows = [
        ("stream of files", "files", "bare", loop, "≥ 0.9"),
        ("stream of an ArrayRecord", "packed", "bare", loop, "≥ 0.9"),
        ("the same, augmented", "ready", "torch", loader, "> 1"),
        ("stream of files", "files", "torch", loader, "> 1"),
    ]
    for case, library, reference, beside, wanted in rows:
        if reference in times:
            pair = times[library], times[reference]
            yield compared(f"{case}, {sizes.size}", pair, beside, wanted, sizes.files)


class Repeated(Sequence[T]):
    """A sequence of `count` elements, each of which is made anew when it is read."""

    def __init__(self, count: int, make: Callable[[], T]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> T:  # type: ignore[override]
        return self._make()


def _encoded(picture: Image.Image, quality: int = 75) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def resident_mb() -> float:
    """Returns the memory of this process that is in use now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_rows(sizes: Sizes) -> Iterator[str]:
    """Measures resident memory at the start, the middle and the end of a long epoch."""
    if not Path("/proc/self/statm").exists():
        return
    count, batch = sizes.records, 128
    content = _encoded(Image.new("RGB", (8, 8), (99, 99, 99)))
    records = Part(
        ids=Repeated(count, lambda: "the same"),
        labels=np.zeros(count, np.float32),
        sigma=np.full(count, np.nan, np.float32),
        size=8,
        packed=Repeated(count, lambda: bytes(bytearray(content))),  # as a file would be read
    )
    placement = make_placement(1)
    source = feed(records, placement.place, placement.device_put)
    rows = EpochOrder(count, batch, 1, seed=0, generation=1)
    start, steps = min(100, len(rows) // 4), len(rows)
    used = {}
    for step, item in enumerate(source.items(rows), 1):
        del item
        if step in (start, steps // 2, steps):
            used[step] = resident_mb()
    for step, word in ((steps // 2, "half"), (steps, "all")):
        case, ratio = f"memory after {word} of {count:,} records", used[step] / used[start]
        yield row(case, "MB", [used[step], used[start]], f"after {start} batches", ratio, "≤ 1.02")
