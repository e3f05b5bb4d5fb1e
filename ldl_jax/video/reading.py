"""Reads a film or a camera frame by frame: upright, in RGB, with what is damaged left out."""

import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from PIL import Image

from ldl_jax.video import opening
from ldl_jax.video.opening import Opened, pyav, reason_of
from ldl_jax.video.orientation import turn_of, upright

_AHEAD = 2**26  # bytes of frames that are decoded ahead
_BACK = 0.1  # seconds by which time stamps that run back begin anew, as in films put together


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a film.

    Attributes:
      index: its number among the frames that could be read, from 0.
      seconds: when it is shown.
      image: its picture; None where it was not asked for.
    """

    index: int
    seconds: float
    image: Image.Image | None


@dataclasses.dataclass
class Damage:
    """Says from where on a film is damaged, and what was lost."""

    frame: int  # how many frames could be read before
    seconds: float
    reason: str
    lost: int = 0  # frames after it that could not be read, as far as they are known


class FilmReader:
    """Reads an open film once, from its beginning; `close` it, or use it as a context.

    A frame that the decoder calls damaged is left out, and so are those after it to the next key
    frame, as they are made from it.

    Attributes:
      opened: the film.
      frames: how many were read and given out so far.
      damage: None while all is well; it may be ahead of `frames`.
    """

    def __init__(self, opened: Opened, most: int = opening.MOST_PIXELS) -> None:
        self.opened, self._most = opened, most
        self.frames = 0
        self.damage: Damage | None = None
        self._reading: Generator[Frame, None, None] | None = None
        self._packets, self._decoded_frames = 0, 0
        self._ends = 0.0  # the greatest time stamp at which a packet ends
        self._first: float | None = None  # the time stamp of the first frame
        self._last = -1.0  # seconds of the last one

    def __enter__(self) -> "FilmReader":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the reading, and closes the file or the camera."""
        if self._reading is not None:
            self._reading.close()  # its thread may be in the middle of a frame
        self.opened.container.close()

    def read(self, wanted: Callable[[int], bool] = lambda index: True) -> Iterator[Frame]:
        """Gives the frames, decoded ahead by another thread; `wanted` ones with their picture."""
        self._reading = self._read(wanted)
        return self._reading

    def _read(self, wanted: Callable[[int], bool]) -> Generator[Frame, None, None]:
        width, height = self.opened.size
        count = max(1, min(8, _AHEAD // (3 * width * height)))
        with contextlib.closing(_ahead(self._frames(wanted), count)) as frames:
            for frame in frames:
                self.frames = frame.index + 1
                yield frame

    @property
    def _step(self) -> float:
        """Returns the seconds from a frame to the next, where their time stamps do not say."""
        return 1 / (self.opened.fps or 25.0)

    def _frames(self, wanted: Callable[[int], bool]) -> Iterator[Frame]:
        av = pyav()
        try:
            for decoded in self._decoded():
                seconds, index = self._time(decoded), self._decoded_frames
                try:
                    image = self._picture(decoded) if wanted(index) else None
                except (av.error.FFmpegError, ValueError, MemoryError) as error:
                    self._lose(reason_of(error))
                    continue
                self._decoded_frames, self._last = index + 1, seconds
                yield Frame(index, seconds, image)
        except (av.error.FFmpegError, OSError) as error:  # of the file, or a camera pulled out
            self._lose(reason_of(error), 0)
        self._check_end()

    def _decoded(self) -> Iterator[Any]:
        """Yields PyAV's frames, those that are damaged left out."""
        av, broken = pyav(), False
        for packet in self.opened.container.demux(self.opened.stream):
            self._count(packet)
            try:
                if packet.size and packet.is_corrupt:
                    raise ValueError("a piece of the file is damaged or cut off")
                frames = packet.decode()
            except (av.error.FFmpegError, ValueError) as error:
                self._lose(reason_of(error))
                broken = True
                continue
            for frame in frames:
                broken = frame.is_corrupt or (broken and not frame.key_frame)
                if broken:
                    self._lose("a frame is damaged")
                else:
                    yield frame

    def _time(self, decoded: Any) -> float:
        """Returns when a frame is shown, counted from the first one; never before the last one."""
        follows = self._last + self._step if self._decoded_frames else 0.0
        if decoded.time is None:
            return follows
        back = self._first is not None and decoded.time - self._first < self._last - _BACK
        if self._first is None or back:
            self._first = decoded.time - follows
        return max(decoded.time - self._first, self._last, 0.0)

    def _picture(self, decoded: Any) -> Image.Image:
        """Returns a frame's picture: square pixels, upright, RGB of 8 bits."""
        width, height = decoded.width, decoded.height
        shown = max(1, round(width * self.opened.shape))
        if not 0 < shown * height <= self._most:  # a size may change in the middle of a film
            raise ValueError(f"a frame has {shown} x {height} pixels")
        pixels = decoded.to_ndarray(format="rgb24", width=shown, height=height)
        matrix = decoded.side_data.get("DISPLAYMATRIX")
        return upright(pixels, None if matrix is None else turn_of(bytes(matrix)))

    def _lose(self, reason: str, count: int = 1) -> None:
        """Takes note that frames could not be read."""
        if self.damage is None:
            self.damage = Damage(self._decoded_frames, max(self._last, 0.0), reason)
        self.damage.lost += count

    def _count(self, packet: Any) -> None:
        """Takes note of how much of the file has been read."""
        self._packets += packet.size > 0
        if packet.pts is not None and packet.time_base:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._ends = max(self._ends, end)

    def _check_end(self) -> None:
        """Takes note where the film ends before its header says."""
        announced = self.opened.announced
        if announced > self._packets:
            self._lose(f"it is cut off: {self._packets} of {announced} frames are there", 0)
        elif not announced and self.opened.ends:
            end, slack = self.opened.ends
            if end - self._ends > slack:
                self._lose(f"it is cut off: it ends at {self._ends:.1f} of {end:.1f} s", 0)
        if self.damage is not None:  # a decoder says nothing of some that it drops
            missing = max(announced, self._packets) - self._decoded_frames
            self.damage.lost = max(self.damage.lost, missing)


def _ahead(frames: Iterator[Frame], count: int) -> Generator[Frame, None, None]:
    """Yields what an iterator gives, which runs in a thread and at most `count` frames ahead."""
    pending: deque[Future[Frame | None]] = deque()
    with ThreadPoolExecutor(1) as pool:
        try:
            pending.extend(pool.submit(next, frames, None) for _ in range(count))
            while (frame := pending.popleft().result()) is not None:
                pending.append(pool.submit(next, frames, None))
                yield frame
        finally:
            pool.shutdown(cancel_futures=True)
