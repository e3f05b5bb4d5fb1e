"""Writes a film with the answers drawn on its frames."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ldl_jax.evaluation.annotate import annotate
from ldl_jax.files import whole
from ldl_jax.labels import LabelSpace
from ldl_jax.video.answering import Seen
from ldl_jax.video.opening import pyav, reason_of

# A file's suffix, and FFmpeg's name of its format.
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# The encoders in the order in which they are tried, with their options: H.264, else MPEG-4.
_ENCODERS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "libopenh264": {},
    "h264_videotoolbox": {},
    "h264_mf": {},
    "mpeg4": {"flags": "+qscale", "global_quality": "354"},  # 3 of 31, in units of 1/118
}
_TICKS = 60_000  # a second; MPEG-4 takes no more than 65,535
_NARROWEST = 20  # a frame's longer side over its shorter one: small frames are enlarged
_BITS_A_PIXEL = 0.15  # of encoders that have no setting of quality
_TAG, _INK = "#E69F00", "#000000"


class Writer:
    """Writes frames into a file that takes its name when all of it is there.

    Used as a context: without an error inside, or any frame, nothing is written. There is no sound.
    Frames keep their time stamps, and all have the first one's size, with even sides.

    Attributes:
      failed: why the file could not be written, or None.
    """

    def __init__(self, path: Path, fps: float | None) -> None:
        """Makes ready to write; the file is opened with the first frame.

        Args:
          path: the film, whose suffix is one of `FORMATS`.
          fps: frames a second, for players; None takes 25.

        Raises:
          ValueError: the suffix is another.
        """
        if path.suffix.lower() not in FORMATS:
            raise ValueError(f"{path}: expected a film's name, ending in {', '.join(FORMATS)}")
        self._path, self._rate = path, Fraction(fps or 25).limit_denominator(1001)
        self._file = contextlib.ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._ticks = -1
        self.failed: OSError | None = None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._container is None:
            return
        if error is None:
            with self._noted():
                self._container.mux(self._stream.encode(None))
                self._container.close()
                self._file.close()
        else:
            self._discard(error)

    def write(self, seen: Seen, space: LabelSpace) -> None:
        """Draws the answers of a frame on it, and writes it; nothing after it failed once."""
        if self.failed is not None:
            return
        av = pyav()
        assert seen.frame.image is not None, "a frame that is written has its picture"
        with self._noted():
            _check_drawable(seen.frame.image.size)
            image = drawn(seen, space)
            if self._container is None:
                self._open(image.size)
            size = (self._stream.width, self._stream.height)
            width, height = (side - side % 2 for side in image.size)
            image = image.crop((0, 0, width, height))
            frame = av.VideoFrame.from_image(image if image.size == size else image.resize(size))
            self._ticks = max(self._ticks + 1, round(seen.frame.seconds * _TICKS))
            frame.pts, frame.time_base = self._ticks, Fraction(1, _TICKS)
            self._container.mux(self._stream.encode(frame))

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """Takes note of an error, and leaves no file."""
        try:
            yield
        except (pyav().error.FFmpegError, OSError) as error:
            self.failed = OSError(f"{self._path}: cannot be written ({reason_of(error)})")
            self._discard(self.failed)

    def _discard(self, error: BaseException) -> None:
        with contextlib.suppress(pyav().error.FFmpegError, OSError):
            if self._container is not None:
                self._container.close()
        self._container = None
        with contextlib.suppress(OSError):
            self._file.__exit__(type(error), error, None)

    def _open(self, size: tuple[int, int]) -> None:
        av = pyav()
        name = next((name for name in _ENCODERS if _is_encoder(name)), None)
        if name is None:
            raise OSError(f"{self._path}: this PyAV encodes neither H.264 nor MPEG-4")
        file = self._file.enter_context(whole(self._path))
        kind = FORMATS[self._path.suffix.lower()]
        self._container = av.open(file, "w", format=kind)
        stream = self._container.add_stream(name, rate=self._rate, options=_ENCODERS[name])
        stream.width, stream.height = (max(2, side - side % 2) for side in size)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        if not _ENCODERS[name]:
            rate = _BITS_A_PIXEL * float(self._rate) * stream.width * stream.height
            stream.bit_rate = round(rate)
        self._stream = stream


def drawn(seen: Seen, space: LabelSpace) -> Image.Image:
    """Returns a frame with each face's box, number, value, interval and distribution."""
    assert seen.frame.image is not None, "a frame that is drawn on has its picture"
    image = annotate(seen.frame.image, seen.answers, space)
    scale = image.width / seen.frame.image.width
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(11, min(image.size) / 30))
    for answer in seen.answers:
        if answer.box is not None:
            left, top = (edge * scale for edge in answer.box[:2])
            text = f" {answer.face} "
            draw.rectangle(draw.textbbox((left, top), text, font), fill=_TAG)
            draw.text((left, top), text, _INK, font)
    return image


def _check_drawable(size: tuple[int, int]) -> None:
    if max(size) > _NARROWEST * min(size):
        raise OSError(f"frames of {size[0]} x {size[1]} pixels are too narrow to draw on")


def _is_encoder(name: str) -> bool:
    av = pyav()
    try:
        return bool(av.codec.Codec(name, "w"))
    except (av.error.FFmpegError, ValueError):
        return False
