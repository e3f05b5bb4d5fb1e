"""Decodes picture files into one uint8 array, in threads."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from ldl_jax.data.records import DataError

_SCAN = 0xDA  # the marker before a JPEG's pixels
CHUNK = 64  # pictures a task: few enough to report progress, enough to make tasks cheap


def decode_one(path: str | Path | bytes, size: int, crop: float = 1.0) -> np.ndarray:
    """Decodes a picture file, or its bytes, to uint8 RGB [size, size, 3], resized as by `fit`.

    EXIF orientation is applied. Large JPEGs are decoded at 1/2, 1/4 or 1/8, to no less than twice
    the size on each side.

    Raises:
      DataError: the file is missing, not a picture, or broken (a truncated JPEG is).
    """
    pixels = np.empty((size, size, 3), np.uint8)
    decode_into(path, pixels, crop)
    return pixels


def decode_into(path: str | Path | bytes, out: np.ndarray, crop: float = 1.0) -> None:
    """Decodes as `decode_one`, into `out`, uint8 [size, size, 3], contiguous: a batch's row."""
    with _readable(path):
        content = path if isinstance(path, bytes) else _content(path)
        enough = round(2 * len(out) / crop)
        if _plain_jpeg_into(content, enough, out, crop):
            return
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (enough, enough))
            ImageOps.exif_transpose(image, in_place=True)
            out[...] = fit(_rgb(image), len(out), crop)


def read(path: str | Path | bytes, name: str = "") -> Image.Image:
    """Reads a picture file, or its bytes, whole, as RGB, with its EXIF orientation applied.

    `name` is what messages call the bytes.

    Raises:
      DataError: the file is missing, not a picture, or broken.
    """
    with _opened(path, name) as image:
        return _rgb(ImageOps.exif_transpose(image))


def check(content: bytes, name: str = "") -> None:
    """Raises DataError where the bytes of a picture file cannot be decoded to their end."""
    with _opened(content, name) as image:
        image.draft("RGB", (1, 1))  # all of a JPEG is read, but only an eighth reconstructed
        image.load()


@contextlib.contextmanager
def _opened(source: str | Path | bytes, name: str = "") -> Iterator[Image.Image]:
    """Opens a picture; errors until it is closed become a DataError."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    with _readable(source, name), Image.open(file) as image:
        yield image


@contextlib.contextmanager
def _readable(source: str | Path | bytes, name: str = "") -> Iterator[None]:
    """Turns errors inside into a DataError that names the picture."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # broken files raise OSError, SyntaxError, struct.error, ...
        why = str(error)
        if isinstance(error, UnidentifiedImageError):
            size = f"{len(source)} bytes" if isinstance(source, bytes) else "a file"
            why = f"{size} of no known format"  # Pillow names a buffer by its address
        raise DataError(f"{name or _name(source)}: cannot be read as a picture ({why})") from error


def _content(path: str | Path) -> bytes:
    """Reads a file. `open` would hold the interpreter three times as long, and threads wait."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        size = os.fstat(descriptor).st_size
        content = os.read(descriptor, size)
        while len(content) < size and (rest := os.read(descriptor, size - len(content))):
            content += rest
        return content
    finally:
        os.close(descriptor)


def _name(source: str | Path | bytes) -> str:
    return f"{len(source)} bytes" if isinstance(source, bytes) else str(source)


def fit(image: Image.Image, size: int, crop: float = 1.0) -> np.ndarray:
    """Resizes the middle of an RGB picture to uint8 [size, size, 3].

    `crop` is the share of the width and of the height that is kept. The weights are bilinear and
    antialiased; the aspect is not kept, since aligned face crops are close to square.
    """
    if image.size == (size, size) and crop == 1:
        return np.asarray(image)
    width, height = image.size
    left, top = width * (1 - crop) / 2, height * (1 - crop) / 2
    box = (left, top, width - left, height - top)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box, reducing_gap=3.0))


def decode(
    paths: Sequence[str | Path | bytes],
    size: int,
    unreadable: str = "stop",
    crop: float = 1.0,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    names: Sequence[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes picture files into one array, each as `decode_one` does.

    Args:
      paths: N picture files, or their bytes.
      size: width and height of the result, in pixels.
      unreadable: "stop" raises at the first file that cannot be read; "skip" leaves such out.
      crop: share of each picture's width and height that is kept, about its middle.
      workers: threads; None takes one a processor.
      progress: called, in the calling thread, with the number of files done so far.
      names: the pictures' names in errors, where `paths` holds bytes.

    Returns:
      pixels: uint8 RGB [M, size, size, 3], in the order of `paths`.
      kept: int64 [M], the indices into `paths`; M = N unless files were skipped.

    Raises:
      ValueError: size is not positive, crop not in (0, 1], or unreadable neither of the two.
      DataError: a file cannot be read (with "stop"), or none can (with "skip").
    """
    if size < 1:
        raise ValueError(f"size: must be positive, got {size}")
    if not 0 < crop <= 1:
        raise ValueError(f"crop: expected more than 0 and at most 1, got {crop}")
    if unreadable not in ("stop", "skip"):
        raise ValueError(f"unreadable: expected 'stop' or 'skip', got {unreadable!r}")
    pixels = np.zeros((len(paths), size, size, 3), np.uint8)
    readable = np.ones(len(paths), bool)

    def fill(start: int) -> int:
        stop = min(start + CHUNK, len(paths))
        for index in range(start, stop):
            try:
                decode_into(paths[index], pixels[index], crop)
            except DataError as error:
                if unreadable == "stop" and names is not None:
                    raise DataError(f"{names[index]}: {error}") from error
                if unreadable == "stop":
                    raise
                readable[index] = False
        return stop

    # Threads suffice: Pillow releases the GIL while it decodes and resizes.
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for done in pool.map(fill, range(0, len(paths), CHUNK)):
            if progress is not None:
                progress(done)
    rows = np.flatnonzero(readable)
    if len(paths) > 0 and rows.size == 0:
        first = _name((paths if names is None else names)[0])
        raise DataError(f"none of {len(paths)} pictures can be read; the first is {first}")
    return (pixels if rows.size == len(paths) else pixels[rows]), rows


def _plain_jpeg_into(content: bytes, enough: int, out: np.ndarray, crop: float) -> bool:
    """Decodes a JPEG in full colour that needs no turning and no reducing; returns if it was one.

    The decoder is libjpeg-turbo as in Pillow, and gives the same pixels. Without Pillow's copies of
    them it takes half the time, and other threads run meanwhile.
    """
    try:
        if not _unturned_jpeg(content):
            return False
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
        if colours != "YCbCr" or min(height, width) // enough >= 2:
            return False
        if crop == 1 and out.shape == (height, width, 3):
            simplejpeg.decode_jpeg(content, "RGB", buffer=out)
            return True
        pixels = simplejpeg.decode_jpeg(content, "RGB")
    except (ValueError, IndexError):
        return False  # Pillow says what is broken
    out[...] = fit(Image.fromarray(pixels), len(out), crop)
    return True


def _unturned_jpeg(content: bytes) -> bool:
    """Returns whether these are a JPEG's bytes without an orientation before its pixels."""
    if not content.startswith(b"\xff\xd8\xff"):
        return False
    start = 2
    while content[start + 1] != _SCAN:
        if content[start] != 0xFF or content.startswith(b"Exif\0\0", start + 4):
            return False
        start += 2 + int.from_bytes(content[start + 2 : start + 4])
    return content[start] == 0xFF


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):
        # Pillow's conversion of 16-bit grey clips at 255: every brighter pixel would turn white.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
