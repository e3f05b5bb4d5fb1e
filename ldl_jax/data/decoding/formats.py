"""Opens pictures' files of the formats that are read, after checks that no decoder makes.

The checks: a JPEG is refused where its decoder finds any damage, a PNG where a check sum is wrong,
and a picture whose header asks for more memory or time than a picture needs.
"""

import functools
import io
import re
import struct
import zlib

import simplejpeg
from PIL import Image

# EPS, which starts a program, and formats that no camera writes are not read.
_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")
_PNG = b"\x89PNG\r\n\x1a\n"
_SCANS = 100  # of a progressive JPEG; encoders write about ten, and each passes all pixels
_FEW = 20  # scans that any JPEG may have
_WORK = 2_000_000_000  # pixels in all scans of a JPEG with more: some seconds
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # none is within a scan's coded pixels


class TooManyPixelsError(ValueError):
    """Raised for a picture that declares more pixels than are decoded."""


def opened(content: bytes) -> Image.Image:
    """Opens a picture's file, checked as the module says.

    Raises:
      PIL.UnidentifiedImageError: it is of no format that is read.
      ValueError, OSError and others: it is damaged, or too large.
    """
    check_size(content)
    if content.startswith(b"\xff\xd8\xff"):
        _check_jpeg(content)
    elif content.startswith(_PNG):
        _check_png(content)
    return Image.open(io.BytesIO(content), formats=_formats())


def check_work(content: bytes, height: int, width: int) -> None:
    """Raises ValueError for a JPEG that has more pixels, or more scans, than are decoded."""
    check_pixels(height * width)
    scans = content.count(b"\xff\xda")
    if scans <= _FEW:
        return
    scans = _scans(content)
    if scans > _SCANS or (scans > _FEW and scans * height * width > _WORK):
        most = _SCANS if scans > _SCANS else max(_FEW, _WORK // (height * width))
        raise ValueError(f"it has {scans} scans, more than the {most} that are read at its size")


def check_size(content: bytes) -> None:
    """Raises ValueError for a WebP or AVIF file that declares more pixels than are decoded.

    Their decoders take memory for all of them, several times, before Pillow looks.
    """
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        pixels = _webp_pixels(content)
    elif content[4:8] == b"ftyp" and b"avi" in content[8:64]:
        sizes = [content[m.end() + 4 : m.end() + 12] for m in re.finditer(b"ispe", content)]
        whole = [struct.unpack(">II", size) for size in sizes if len(size) == 8]
        pixels = max((width * height for width, height in whole), default=0)
    else:
        return
    check_pixels(pixels, copies=2)


def check_pixels(pixels: int, copies: int = 1) -> None:
    """Raises TooManyPixelsError above Pillow's own limit, where that is set.

    That is twice MAX_IMAGE_PIXELS, shared out between the copies that a picture of its kind is
    kept in.
    """
    if Image.MAX_IMAGE_PIXELS is None:
        return
    most = 2 * Image.MAX_IMAGE_PIXELS // copies
    if pixels > most:
        raise TooManyPixelsError(
            f"it declares {pixels:,} pixels, more than the {most:,} that are read"
        )


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_jpeg(content: bytes) -> None:
    """Decodes a JPEG at an eighth of its size, and raises ValueError at the first damage.

    Pillow answers for whatever libjpeg makes of a damaged file.
    """
    height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
    check_work(content, height, width)
    simplejpeg.decode_jpeg(
        content,
        "CMYK" if colours in ("CMYK", "YCCK") else "GRAY",
        fastdct=True,
        fastupsample=True,
        min_height=1,
        min_width=1,
        min_factor=8,
    )


def _scans(content: bytes) -> int:
    """Counts the scans of a JPEG up to its end, not those of a thumbnail in its header."""
    position, count = 2, 0
    while match := _MARKER.search(content, position):
        marker = content[match.start() + 1]
        if marker == 0xD9:
            break
        count += marker == 0xDA
        length = content[match.end() : match.end() + 2]
        position = match.end() + int.from_bytes(length)
    return count


def _check_png(content: bytes) -> None:
    """Raises ValueError where a PNG's chunks are cut short or one's check sum is wrong.

    Pillow does not compare those of the pixels.
    """
    position = len(_PNG)
    while True:
        header = content[position : position + 8]
        if len(header) < 8:
            raise ValueError("the PNG is cut short: it has no end")
        length, kind = struct.unpack(">I4s", header)
        end = position + 8 + length
        if len(content) < end + 4:
            raise ValueError(f"the PNG is cut short, in its chunk {kind!r}")
        view = memoryview(content)
        if zlib.crc32(view[position + 4 : end]) != struct.unpack(">I", content[end : end + 4])[0]:
            raise ValueError(f"the PNG is damaged: its chunk {kind!r} has another check sum")
        if kind == b"IEND":
            return
        position = end + 4


def _webp_pixels(content: bytes) -> int:
    """Returns the most pixels that the chunks of a WebP file declare."""
    most = 0
    for match in re.finditer(rb"VP8[ LX]", content):
        start, kind = match.end() + 4, match.group()
        head = content[start : start + 10]
        if len(head) < 10:
            continue
        if kind == b"VP8X":
            width, height = (int.from_bytes(head[i : i + 3], "little") + 1 for i in (4, 7))
        elif kind == b"VP8L":
            packed = int.from_bytes(head[1:5], "little")
            width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        else:
            width, height = (int.from_bytes(head[i : i + 2], "little") & 0x3FFF for i in (6, 8))
        most = max(most, width * height)
        if match.start() > 64:
            break
    return most
