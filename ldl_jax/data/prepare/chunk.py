"""A chunk of pictures made ready and written to a part: the work of one process."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ldl_jax.data import align, pictures
from ldl_jax.data.align import Alignment, Detect, Face, Square
from ldl_jax.data.datasets import prepared_index
from ldl_jax.data.records import DataError, Records
from ldl_jax.files import whole

FACES = ("skip", "largest", "centre")
QUALITY = 95  # of JPEGs
UNREADABLE = "the picture cannot be read"
WRONG = "its landmarks cannot be right"
_OUTSIDE = 8  # a square more than so many times as wide as its picture is a mistake


class LeftOut(ValueError):  # noqa: N818 - it is a reason, not an error
    """A picture that the policy on faces leaves out; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Form:
    """What is done to each picture.

    Attributes:
      alignment: how the face is cut out; "none" takes the picture whole.
      size: side of the result in pixels; 0 for about as many as the picture has there.
      png: write PNGs, without loss, instead of JPEGs of quality 95.
      faces: where a detector looks for faces, "skip" takes pictures with exactly one, "largest"
        the largest of several (as the unified benchmark), "centre" the one nearest the middle.
        Pictures without a face are left out.
    """

    alignment: Alignment = dataclasses.field(default_factory=Alignment)
    size: int = 0
    png: bool = False
    faces: str = "largest"

    def __post_init__(self) -> None:
        if not 0 <= self.size <= 4096:
            raise ValueError(f"size: expected 0 to 4096, got {self.size}")
        if self.faces not in FACES:
            raise ValueError(f"faces: expected one of {', '.join(FACES)}, got {self.faces!r}")

    @property
    def aligned(self) -> bool:
        """Whether faces are cut out."""
        return self.alignment.kind != "none"

    @property
    def untouched(self) -> bool:
        """Whether pictures' files are kept as they are, byte for byte."""
        return not (self.aligned or self.size or self.png)


class Left(NamedTuple):
    """A picture that was left out: its row, why, and what is wrong with which file."""

    row: int
    reason: str
    text: str


class Part(NamedTuple):
    """The files of a chunk that is done: its pictures, one after the other, and the rest.

    The second is written last.
    """

    pictures: Path
    columns: Path


def part(folder: Path, number: int) -> Part:
    """Where the chunk of that number goes."""
    return Part(folder / f"{number:06d}.pictures", folder / f"{number:06d}.npz")


def write(
    records: Records,
    first: int,
    to: Part,
    form: Form,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Left]:
    """Makes a chunk's pictures ready and writes its part, all of it or none.

    Args:
      records: the chunk.
      first: the number of its first row in the whole set.
      to: the files to write.
      form: what is done to each picture.
      stopped: asked before each picture; InterruptedError is raised where it is true.

    Returns:
      What was left out.
    """
    kept: list[int] = []
    lengths: list[int] = []
    left: list[Left] = []
    with whole(to.pictures) as file:
        for row in range(len(records)):
            if stopped():
                raise InterruptedError("stopped")
            try:
                content = encoded(records, row, form)
            except DataError as error:
                left.append(Left(first + row, UNREADABLE, f"{records.sources[row]}: {error}"))
            except LeftOut as reason:
                left.append(Left(first + row, str(reason), f"{records.ids[row]}"))
            else:
                file.write(content)
                kept.append(row)
                lengths.append(len(content))
    rows = np.asarray(kept, np.int64)
    columns: Any = prepared_index.to_arrays(records.take(rows)) if kept else {}
    said = np.frombuffer(json.dumps(left).encode("ascii"), np.uint8)
    with whole(to.columns) as file:
        np.savez(file, rows=first + rows, lengths=np.asarray(lengths, np.int64), left=said,
                 **columns)  # fmt: skip
    return left


def left_out(of: Part) -> list[Left]:
    """What a part that is done has left out."""
    with np.load(of.columns) as arrays:
        return [Left(*one) for one in json.loads(arrays["left"].tobytes())]


def count(of: Part) -> int:
    """How many pictures a part that is done holds."""
    with np.load(of.columns) as arrays:
        return len(arrays["rows"])


def encoded(records: Records, row: int, form: Form) -> bytes:
    """A picture's file in that form.

    Raises:
      DataError: it cannot be read.
      LeftOut: the policy on faces leaves it out.
    """
    if form.untouched and records.images is None:
        content, name = _content(records, row)
        pictures.check(content, name)
        return content
    image = picture(records, row)
    if form.aligned:
        square = chosen_square(records, row, image, form)
        image = align.cut(image, square, form.size or max(1, round(square.side)))
    if form.size:
        image = Image.fromarray(pictures.fit(image, form.size))
    buffer = io.BytesIO()
    # What was only ever in memory loses nothing either. Runs alone, without looking for matches:
    # pictures with noise come out as small as by Pillow's default, in a third of the time.
    if form.png or form.untouched:
        image.save(buffer, "PNG", compress_type=zlib.Z_RLE)
    else:
        image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def picture(records: Records, row: int) -> Image.Image:
    """A picture of the records, whole.

    Raises:
      DataError: it cannot be read.
    """
    if records.images is not None:
        return Image.fromarray(records.images[row])
    return pictures.read(*_content(records, row))


def chosen_square(records: Records, row: int, image: Image.Image, form: Form) -> Square:
    """The square to cut out: of the places that come with the dataset, or else of a face found.

    Raises:
      LeftOut: there is no such square.
    """
    try:
        square = _square(records, row, image, form)
    except LeftOut:
        raise
    except ValueError as error:
        raise LeftOut(WRONG) from error
    if not 1 <= square.side <= _OUTSIDE * max(image.size):
        raise LeftOut(WRONG)
    return square


def is_given(records: Records, form: Form) -> np.ndarray:
    """Which pictures' faces need no detector, bool [N]."""
    if not form.aligned:
        return np.ones(len(records), bool)
    given = np.zeros(len(records), bool)
    if form.alignment.kind == "quad" and records.quads is not None:
        given |= np.isfinite(records.quads).all(axis=(1, 2))
    if records.points is not None:
        given |= np.isfinite(records.points).all(axis=(1, 2))
    return given


def _square(records: Records, row: int, image: Image.Image, form: Form) -> Square:
    alignment = form.alignment
    if alignment.kind == "quad" and records.quads is not None:
        corners = records.quads[row]
        if np.isfinite(corners).all():
            square = align.corners_square(corners)
            return square._replace(side=square.side * (1 + 2 * alignment.margin))
    if records.points is not None and np.isfinite(records.points[row]).all():
        return align.square_of(align.face_of(records.points[row]), alignment)
    return align.square_of(_face(_detector()(image), image, form.faces), alignment)


def _face(found: list[Face], image: Image.Image, policy: str) -> Face:
    if not found:
        raise LeftOut("no face was found")
    if len(found) > 1 and policy == "skip":
        raise LeftOut("several faces were found")
    return align.centred(found, image.size) if policy == "centre" else found[0]


@functools.cache  # one a process: it takes seconds to load
def _detector() -> Detect:
    return align.mtcnn()


def _content(records: Records, row: int) -> tuple[bytes, str]:
    """A picture's file and what messages call it."""
    if records.packed is not None:
        return records.packed[row], records.ids[row]
    path = records.paths[row]
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
