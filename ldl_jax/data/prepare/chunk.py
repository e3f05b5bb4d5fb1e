"""Makes a chunk of pictures ready and writes it to files: the work of one process."""

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
from ldl_jax.data.detect import choice
from ldl_jax.data.records import DataError, Records
from ldl_jax.files import whole

FACES = ("skip", "largest", "centre")
QUALITY = 95  # the JPEGs' quality
UNREADABLE = "the picture cannot be read"
WRONG = "its landmarks cannot be right"
LEAST_OVERLAP = 0.2  # of what both boxes cover; detectors differ in how much of a head is a face


class LeftOut(ValueError):  # noqa: N818 - it is a reason, not an error
    """Raised for a picture that the policy on faces leaves out; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class PictureForm:
    """Says how each picture is made ready.

    `detector` names what looks for faces (`ldl_jax.data.detect.choice`). Where the dataset has the
    face's box, "box" needs no detector, and the other forms take the found face that overlaps it
    most. Of those found elsewhere `faces` "skip" takes pictures with exactly one, "largest" the
    largest of several (as the unified benchmark), "centre" the one nearest the middle. Pictures
    without a face are left out.
    """

    # How the face is cut out; "none" takes the picture whole.
    alignment: Alignment = dataclasses.field(default_factory=Alignment)
    size: int = 0  # side of the result in pixels; 0 for about as many as the picture has there
    png: bool = False  # write PNGs, without loss, instead of JPEGs of quality 95
    faces: str = "largest"
    detector: str = choice.MTCNN

    def __post_init__(self) -> None:
        if not 0 <= self.size <= 4096:
            raise ValueError(f"size: expected 0 to 4096, got {self.size}")
        if self.faces not in FACES:
            raise ValueError(f"faces: expected one of {', '.join(FACES)}, got {self.faces!r}")

    @property
    def aligned(self) -> bool:
        """True if faces are cut out."""
        return self.alignment.kind != "none"

    @property
    def untouched(self) -> bool:
        """True if pictures' files are kept as they are, byte for byte."""
        return not (self.aligned or self.size or self.png)


class Left(NamedTuple):
    """Describes a picture that was left out: its row, why, and what is wrong with which file."""

    row: int
    reason: str
    text: str


class ChunkFiles(NamedTuple):
    """The two files of a chunk that is done."""

    pictures: Path  # one after the other
    columns: Path  # the rest, written last


def files_of(folder: Path, index: int) -> ChunkFiles:
    """Returns the files of the chunk with an index."""
    return ChunkFiles(folder / f"{index:06d}.pictures", folder / f"{index:06d}.npz")


def write(
    records: Records,
    first: int,
    to: ChunkFiles,
    form: PictureForm,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Left]:
    """Makes a chunk's pictures ready and writes its files, whole or not at all.

    Args:
      records: the chunk.
      first: the index of its first row in the whole set.
      to: the files to write.
      form: how each picture is made ready.
      stopped: asked before each picture; InterruptedError is raised where it is true.

    Returns:
      The pictures that were left out.
    """
    rows_done: list[int] = []
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
                rows_done.append(row)
                lengths.append(len(content))
    rows = np.asarray(rows_done, np.int64)
    columns: Any = prepared_index.to_arrays(records.take(rows)) if rows_done else {}
    left_json = np.frombuffer(json.dumps(left).encode("ascii"), np.uint8)
    with whole(to.columns) as file:
        np.savez(file, rows=first + rows, lengths=np.asarray(lengths, np.int64), left=left_json,
                 **columns)  # fmt: skip
    return left


def left_out(of: ChunkFiles) -> list[Left]:
    """Returns the pictures that a chunk that is done has left out."""
    with np.load(of.columns) as arrays:
        return [Left(*fields) for fields in json.loads(arrays["left"].tobytes())]


def count(of: ChunkFiles) -> int:
    """Returns how many pictures the files of a chunk hold."""
    with np.load(of.columns) as arrays:
        return len(arrays["rows"])


def encoded(records: Records, row: int, form: PictureForm) -> bytes:
    """Returns a picture's file, made ready.

    Raises:
      DataError: it cannot be read.
      LeftOut: the policy on faces leaves it out.
    """
    if form.untouched and records.images is None:
        content = records.content(row)
        pictures.check(content, _name(records, row))
        return content
    image = picture(records, row)
    if form.aligned:
        square = chosen_square(records, row, image, form)
        image = align.cut(image, square, form.size or max(1, round(square.side)))
    if form.size:
        image = Image.fromarray(pictures.fit(image, form.size))
    buffer = io.BytesIO()
    # Pictures that were only ever in memory lose nothing either. Z_RLE looks for runs alone, not
    # for matches: noisy pictures come out as small as by Pillow's default, in a third of the time.
    if form.png or form.untouched:
        image.save(buffer, "PNG", compress_type=zlib.Z_RLE)
    else:
        image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def picture(records: Records, row: int) -> Image.Image:
    """Returns a picture of the records, whole; raises DataError where it cannot be read."""
    if records.images is not None:
        return Image.fromarray(records.images[row])
    return pictures.read(records.content(row), _name(records, row))


def chosen_square(records: Records, row: int, image: Image.Image, form: PictureForm) -> Square:
    """Returns the square to cut out, by the dataset's landmarks or a detector; LeftOut if none."""
    try:
        square = _square(records, row, image, form)
    except LeftOut:
        raise
    except ValueError as error:
        raise LeftOut(WRONG) from error
    if not align.is_plausible(square, image.size):
        raise LeftOut(WRONG)
    return square


def is_given(records: Records, form: PictureForm) -> np.ndarray:
    """Returns which pictures' faces need no detector, bool [N]."""
    if not form.aligned:
        return np.ones(len(records), bool)
    known = np.zeros(len(records), bool)
    if form.alignment.kind == "quad" and records.quads is not None:
        known |= np.isfinite(records.quads).all(axis=(1, 2))
    if records.points is not None:
        known |= np.isfinite(records.points).all(axis=(1, 2))
    if form.alignment.kind == "box" and records.boxes is not None:
        known |= np.isfinite(records.boxes).all(axis=1)
    return known


def _square(records: Records, row: int, image: Image.Image, form: PictureForm) -> Square:
    alignment = form.alignment
    if alignment.kind == "quad" and records.quads is not None:
        corners = records.quads[row]
        if np.isfinite(corners).all():
            square = align.corners_square(corners)
            return square._replace(side=square.side * (1 + 2 * alignment.margin))
    if records.points is not None and np.isfinite(records.points[row]).all():
        return align.square_of(align.face_of(records.points[row]), alignment)
    box = None if records.boxes is None else records.boxes[row]
    if box is None or not np.isfinite(box).all():
        face = _face(_detector(form.detector)(image), image, form.faces)
    elif alignment.kind == "box":
        return align.box_square(box, alignment)
    else:
        face = _face_in(box, _detector(form.detector)(image))
    return align.square_of(face, alignment)


def _face_in(box: np.ndarray, faces: list[Face]) -> Face:
    """Returns the face that was found where the dataset says that it is."""
    shares = [align.overlap(face.box, box) for face in faces]
    if not shares or max(shares) < LEAST_OVERLAP:
        raise LeftOut("no face was found in the dataset's box")
    return faces[int(np.argmax(shares))]


def _face(faces: list[Face], image: Image.Image, policy: str) -> Face:
    if not faces:
        raise LeftOut("no face was found")
    if len(faces) > 1 and policy == "skip":
        raise LeftOut("several faces were found")
    return align.centred(faces, image.size) if policy == "centre" else faces[0]


@functools.cache  # a process loads it once, which takes seconds
def _detector(name: str) -> Detect:
    return choice.load(name)


def _name(records: Records, row: int) -> str:
    return records.ids[row] if records.packed is not None else str(records.paths[row])
