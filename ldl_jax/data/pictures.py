"""Decodes picture files into one uint8 array, in threads."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from ldl_jax.data.decoding import formats, modes
from ldl_jax.data.records import DataError
from ldl_jax.files import content_of

_SCAN = b"\xda"  # the marker before a JPEG's pixels
# The suffixes of pictures, in lower case, that are looked for in folders.
SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"),
    *(".ppm", ".tif", ".tiff", ".webp"),
)
CHUNK = 64  # pictures a task: few enough to report progress, enough to make tasks cheap


def decode_one(
    path: str | Path | bytes,
    size: int,
    crop: float = 1.0,
    name: str = "",
    *,
    square: bool = False,
) -> np.ndarray:
    """Decodes a picture file, or its bytes, to uint8 RGB [size, size, 3], resized as by `fit`.

    EXIF orientation is applied. Large JPEGs are decoded at 1/2, 1/4 or 1/8, to no less than twice
    the size on each side. `name` is what messages call the bytes.

    Raises:
      DataError: the file is missing, not a picture, or broken (a truncated JPEG is).
    """
    pixels = np.empty((size, size, 3), np.uint8)
    decode_into(path, pixels, crop, name, square=square)
    return pixels


def decode_into(
    path: str | Path | bytes,
    out: np.ndarray,
    crop: float = 1.0,
    name: str = "",
    *,
    square: bool = False,
) -> None:
    """Decodes as `decode_one`, into `out`, uint8 [size, size, 3], contiguous: a batch's row."""
    with _readable(path, name):
        content = path if isinstance(path, bytes) else content_of(path)
        enough = round(2 * len(out) / crop)
        if _plain_jpeg_into(content, enough, out, crop, square):
            return
        with formats.opened(content) as image:
            image.draft("RGB", (enough, enough))
            ImageOps.exif_transpose(image, in_place=True)
            out[...] = fit(modes.rgb(image), len(out), crop, square)


def read(path: str | Path | bytes, name: str = "") -> Image.Image:
    """Reads a picture file, or its bytes, whole, as RGB, with its EXIF orientation applied.

    `name` is what messages call the bytes.

    Raises:
      DataError: the file is missing, not a picture, or broken.
    """
    with opened(path, name) as image:
        ImageOps.exif_transpose(image, in_place=True)
        shown = modes.rgb(image)
        return shown.copy() if shown is image else shown


def check(content: bytes, name: str = "") -> None:
    """Raises DataError where the bytes of a picture file cannot be decoded to their end."""
    with opened(content, name) as image:
        image.draft("RGB", (1, 1))  # all of a JPEG is read, but only an eighth reconstructed
        modes.rgb(image)


@contextlib.contextmanager
def opened(source: str | Path | bytes, name: str = "") -> Iterator[Image.Image]:
    """Opens a picture's file or its bytes; errors until it is closed become a DataError."""
    with _readable(source, name):
        content = source if isinstance(source, bytes) else content_of(source)
        with formats.opened(content) as image:
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


def _name(source: str | Path | bytes) -> str:
    return f"{len(source)} bytes" if isinstance(source, bytes) else str(source)


def rgb(image: Image.Image) -> Image.Image:
    """Returns a picture as RGB; see `ldl_jax.data.decoding.modes.rgb`."""
    return modes.rgb(image)


def fit(image: Image.Image, size: int, crop: float = 1.0, square: bool = False) -> np.ndarray:
    """Resizes the middle of an RGB picture to uint8 [size, size, 3], bilinear and antialiased.

    `crop` is the share of the width and of the height that is kept; the aspect is not, unless
    `square` asks for the middle square, whose side is that share of the shorter side.
    """
    if image.size == (size, size) and crop == 1:
        return np.asarray(image)
    width, height = image.size
    left, top = width * (1 - crop) / 2, height * (1 - crop) / 2
    if square:
        side = min(width, height) * crop
        left, top = (width - side) / 2, (height - side) / 2
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
    square: bool = False,
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
      square: whether that is the middle square of the shorter side.

    Returns:
      pixels: uint8 RGB [M, size, size, 3], in the order of `paths`.
      kept: int64 [M], the indices into `paths`; M = N unless files were skipped.

    Raises:
      ValueError: size is not positive, crop not in (0, 1], or unreadable neither of the two.
      DataError: a file cannot be read (with "stop"), or none can (with "skip").
    """
    _check_arguments(size, unreadable, crop)
    pixels = np.zeros((len(paths), size, size, 3), np.uint8)
    readable = np.ones(len(paths), bool)

    def fill(start: int) -> int:
        stop = min(start + CHUNK, len(paths))
        for index in range(start, stop):
            try:
                decode_into(paths[index], pixels[index], crop, square=square)
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


def _check_arguments(size: int, unreadable: str, crop: float) -> None:
    if size < 1:
        raise ValueError(f"size: must be positive, got {size}")
    if not 0 < crop <= 1:
        raise ValueError(f"crop: expected more than 0 and at most 1, got {crop}")
    if unreadable not in ("stop", "skip"):
        raise ValueError(f"unreadable: expected 'stop' or 'skip', got {unreadable!r}")


def _plain_jpeg_into(
    content: bytes, enough: int, out: np.ndarray, crop: float, square: bool
) -> bool:
    """Decodes a JPEG in full colour that needs no turning; returns if it was one.

    What the decoder refuses raises ValueError: Pillow would answer for a damaged file, too.

    The decoder is libjpeg-turbo as in Pillow, and gives the same pixels, also where it decodes at
    1/2, 1/4 or 1/8, to no less than `enough` on each side. Without Pillow's copies of
    them it takes half the time, and other threads run meanwhile.
    """
    if not _unturned_jpeg(content):
        return False
    height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
    if colours != "YCbCr":
        return False
    formats.check_work(content, height, width)
    sides = height, width
    if crop == 1 and out.shape == (*sides, 3):
        simplejpeg.decode_jpeg(content, "RGB", buffer=out)
        return True
    reduced = next(factor for factor in (8, 4, 2, 1) if factor <= max(1, min(sides) // enough))
    least = [-(-side // reduced) for side in sides]  # as `Image.draft` chooses
    pixels = simplejpeg.decode_jpeg(
        content, "RGB", min_height=least[0], min_width=least[1], min_factor=reduced
    )
    out[...] = fit(Image.fromarray(pixels), len(out), crop, square)
    return True


def _unturned_jpeg(content: bytes) -> bool:
    """Returns whether these are a JPEG's bytes without an orientation before its pixels."""
    if not content.startswith(b"\xff\xd8\xff"):
        return False
    start = 2
    while content[start + 1 : start + 2] != _SCAN:
        marker = content[start : start + 4]
        if len(marker) < 4 or marker[0] != 0xFF or content.startswith(b"Exif\0\0", start + 4):
            return False
        start += 2 + int.from_bytes(marker[2:])
    return content[start] == 0xFF
