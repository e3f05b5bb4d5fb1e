"""Hashes pictures: by the bytes of their files, and by how they look (perceptual hashes)."""

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.pictures import CHUNK
from ldl_jax.data.records import Records

WIDTH, HEIGHT = 9, 8
LOOKS = 16  # the side of the gray thumbnail that settles whether two pictures look alike


@dataclasses.dataclass(frozen=True)
class PerceptualHashes:
    """The hashes of N pictures, as the auditor compares them."""

    files: tuple[str, ...]  # SHA-256 digests (hex) of the files' bytes, or the arrays' in memory
    hashes: np.ndarray  # uint64 [N], difference hashes; 0 where a picture cannot be read
    looks: np.ndarray  # uint8 [N, 16, 16], gray thumbnails stretched to the full range 0-255
    unreadable: tuple[int, ...] = ()  # the rows that cannot be read as pictures


def take(
    records: Records, workers: int | None = None, progress: Callable[[int], None] | None = None
) -> PerceptualHashes:
    """Hashes all pictures of records, in threads; raises DataError where a file is missing.

    Args:
      records: N pictures, as files, in memory, or packed.
      workers: threads; None for one a CPU core.
      progress: called with how many pictures are done.
    """
    count = len(records)
    hashes, looks = np.zeros(count, np.uint64), np.zeros((count, LOOKS, LOOKS), np.uint8)
    files, unreadable = [""] * count, []

    def chunk(start: int) -> list[int]:
        broken = []
        for row in range(start, min(start + CHUNK, count)):
            try:
                files[row], hashes[row], looks[row] = _hashed(records, row)
            except Image.UnidentifiedImageError as error:
                files[row] = str(error)
                broken.append(row)
        return broken

    # JPEG decoding and SHA-256 release the interpreter's lock, so threads are enough.
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for done, broken in enumerate(pool.map(chunk, range(0, count, CHUNK)), start=1):
            unreadable += broken
            if progress is not None:
                progress(min(done * CHUNK, count))
    return PerceptualHashes(tuple(files), hashes, looks, tuple(unreadable))


def difference_hash(image: Image.Image) -> np.uint64:
    """Returns the difference hash: bit 8 y + x is set if pixel (x + 1, y) is brighter than (x, y).

    The pixels are those of the picture in gray, resized to 9 x 8 (box filter). Close pictures
    differ in few bits; scaling, brightness, contrast and compression change hardly any.

    Source: N. Krawetz, "Kind of Like That", hackerfactor.com, 2013.
    """
    small = image.convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    gray = np.asarray(small).astype(np.int16)
    return np.packbits((np.diff(gray, axis=1) > 0).ravel()).view(np.uint64)[0]


def look(image: Image.Image) -> np.ndarray:
    """Returns the gray thumbnail uint8 [16, 16], stretched so that its extremes are 0 and 255."""
    gray = np.asarray(image.convert("L").resize((LOOKS, LOOKS), Image.Resampling.BOX), np.float32)
    low, high = float(gray.min()), float(gray.max())
    return np.round((gray - low) * (255 / max(high - low, 1))).astype(np.uint8)


def close_pairs(
    hashes: np.ndarray, rows: np.ndarray, other: np.ndarray, distance: int
) -> np.ndarray:
    """Returns the pairs (row, other row) whose hashes differ in at most `distance` bits, each once.

    Cut into distance + 1 bands of bits, two such hashes agree in at least one band, so only
    pictures that share a band's bits are compared.

    Args:
      hashes: uint64 [N].
      rows, other: rows of the two parts.
      distance: bits, 0 to 16.

    Returns:
      int64 [P, 2], sorted.

    Raises:
      ValueError: distance is out of range.
    """
    if not 0 <= distance <= 16:
        raise ValueError(f"distance: must be in 0..16 bits, got {distance}")
    pairs = [np.empty((0, 2), np.int64)]
    edges = np.linspace(0, 64, distance + 2).astype(int)
    for low, high in itertools.pairwise(edges):
        mask = np.uint64(((1 << int(high - low)) - 1) << int(low))
        pairs += _within(hashes, rows, other, mask, distance)
    return np.unique(np.concatenate(pairs), axis=0)


def _within(
    hashes: np.ndarray, rows: np.ndarray, other: np.ndarray, mask: np.uint64, distance: int
) -> list[np.ndarray]:
    """Returns the close pairs among those that agree in the masked bits."""
    keys = hashes[other] & mask
    order = np.argsort(keys, kind="stable")
    sorted_keys, sorted_other = keys[order], other[order]
    wanted, start_of_row = np.unique(hashes[rows] & mask, return_inverse=True)
    starts = np.searchsorted(sorted_keys, wanted, "left")
    ends = np.searchsorted(sorted_keys, wanted, "right")
    by_key = np.argsort(start_of_row, kind="stable")
    bounds = np.searchsorted(start_of_row[by_key], np.arange(len(wanted) + 1))
    pairs = []
    for key in np.flatnonzero(ends > starts):
        mine = rows[by_key[bounds[key] : bounds[key + 1]]]
        theirs = sorted_other[starts[key] : ends[key]]
        for row in mine:
            bits = np.bitwise_count(hashes[theirs] ^ hashes[row])
            close = theirs[bits <= distance]
            if close.size:
                pairs.append(np.stack([np.full(close.size, row), close], axis=1))
    return pairs


def _hashed(records: Records, row: int) -> tuple[str, np.uint64, np.ndarray]:
    if records.images is not None and not records.paths and records.packed is None:
        pixels = np.ascontiguousarray(records.images[row])
        image = Image.fromarray(pixels)
        return hashlib.sha256(pixels.tobytes()).hexdigest(), difference_hash(image), look(image)
    content = records.content(row)
    digest = hashlib.sha256(content).hexdigest()
    try:
        with pictures.opened(content) as image:
            # JPEGs are decoded at 1/2 to 1/8 of their size, if that is enough for the thumbnail.
            image.draft("L", (4 * LOOKS, 4 * LOOKS))
            image.load()
            shown = image if image.mode == "L" else pictures.rgb(image)
            return digest, difference_hash(shown), look(shown)
    except MemoryError:
        raise
    except Exception as error:  # broken files raise OSError, SyntaxError, struct.error, ...
        raise Image.UnidentifiedImageError(digest) from error
