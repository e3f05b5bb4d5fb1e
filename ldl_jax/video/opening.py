"""Opens films and cameras with PyAV, which is imported here and only when it is needed."""

import dataclasses
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ldl_jax.data.records import DataError

SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
    *(".ogv", ".ts", ".webm", ".wmv"),
)
MOST_PIXELS = 178_000_000  # of a frame, as of a picture
# FFmpeg's names of containers. Playlists, which name other files, and texts are not among them.
_CONTAINERS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,flv,asf,ogg,ivf"
_FLATTEST = 10.0  # of a pixel's sides; FFmpeg reads any ratio from a damaged header


@dataclasses.dataclass(frozen=True)
class Opened:
    """An open film or camera, and what its header says.

    Attributes:
      name: the film's path, or the camera's name.
      container: PyAV's.
      stream: the film in it.
      fps: frames a second; None where the header does not say.
      announced: the frames that the header counts; 0 where it does not, or not exactly.
      ends: the time stamp, in seconds, at which the header says that the film ends, and by how many
        seconds that may be wrong; None where it does not say.
      size: width and height of a frame as it is stored.
      shape: a pixel's width over its height.
      has_sound: whether there is sound.
    """

    name: str
    container: Any
    stream: Any
    fps: float | None
    announced: int
    ends: tuple[float, float] | None
    size: tuple[int, int]
    shape: float
    has_sound: bool


def pyav() -> ModuleType:
    """Imports PyAV.

    Raises:
      ValueError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise ValueError(
            f"films and cameras are read with PyAV: pip install 'ldl_jax[video]' ({error})"
        ) from None
    return av


def reason_of(error: Exception) -> str:
    """Returns FFmpeg's words for an error, without its number and the file's name."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


def open_film(path: Path, most: int = MOST_PIXELS) -> Opened:
    """Opens a film file.

    Args:
      path: a regular file.
      most: pixels of a frame.

    Raises:
      DataError: it is no film, or its frames have no pixels or too many.
      ValueError: PyAV is not installed.
    """
    av = pyav()
    if not path.stat().st_size:
        raise DataError(f"{path}: is empty")
    # The prefix makes FFmpeg take a name such as "http://a.mp4" for a file's.
    only_this = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    try:
        container = av.open(f"file:{path}", options=only_this)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = reason_of(error)
        if _is_without_index(path):
            reason = "it is cut off: its index, which stands at its end, is not there"
        raise DataError(f"{path}: cannot be read as a film ({reason})") from error
    return _opened(container, str(path), most)


def open_camera(name: str, most: int = MOST_PIXELS) -> Opened:
    """Opens a camera by its number, from 0, or by the system's own name for it.

    Raises:
      DataError: there is no such camera, or it cannot be opened.
      ValueError: PyAV is not installed.
    """
    av = pyav()
    try:
        address, kind, options = camera_place(name)
        container = av.open(address, format=kind, options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"camera {name}: cannot be opened ({reason_of(error)})") from error
    return _opened(container, f"camera {name}", most)


def camera_place(name: str) -> tuple[str, str | None, dict[str, str]]:
    """Returns where FFmpeg finds a camera: its place, the kind of device, and options.

    Raises:
      DataError: this system has no such camera.
    """
    if sys.platform == "darwin":
        return f"{name}:none", "avfoundation", {"framerate": "30"}
    if sys.platform == "win32":
        if not name.isdecimal():
            return f"video={name}", "dshow", {}
        listed = pyav().enumerate_input_devices("dshow")
        cameras = [device.name for device in listed if "video" in device.media_types]
        if int(name) >= len(cameras):
            raise DataError(f"there are {len(cameras)} cameras, counted from 0")
        return f"video={cameras[int(name)]}", "dshow", {}
    device = Path(f"/dev/video{name}" if name.isdecimal() else name)
    if not device.is_char_device():
        there = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
        raise DataError(f"{device} is no camera; there are: {there}")
    return str(device), "v4l2", {}


def _opened(container: Any, name: str, most: int) -> Opened:
    try:
        stream = _stream(container, name)
        context = stream.codec_context
        width, height = context.width, context.height
        if not width or not height:
            raise DataError(f"{name}: its frames have no size ({width} x {height} pixels)")
        if width * height > most:
            raise DataError(
                f"{name}: its frames have {width} x {height} pixels, more than {most / 1e6:g} "
                "million (see --max-megapixels)"
            )
        # Two threads for whole frames: decoding then goes on beside the network.
        context.thread_type, context.thread_count = "AUTO", 2
        shape = float(stream.sample_aspect_ratio or 1)
        plausible = 1 / _FLATTEST <= shape <= _FLATTEST
        sound = bool(container.streams.audio)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        return Opened(
            name,
            container,
            stream,
            rate if 0 < rate < 1000 else None,
            # AVI counts the places of frames that were never there too.
            stream.frames if container.format.name.startswith("mov") else 0,
            _ends(container, stream, sound),
            (width, height),
            shape if plausible else 1.0,
            sound,
        )
    except BaseException:
        container.close()
        raise


def _stream(container: Any, name: str) -> Any:
    """Returns the first stream of moving pictures; a cover of a piece of music is none."""
    covers = 0x400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC
    for stream in container.streams.video:
        if not int(getattr(stream, "disposition", 0)) & covers:
            if stream.codec_context is None:
                raise DataError(f"{name}: no decoder reads this kind of film")
            return stream
    kinds = sorted({stream.type for stream in container.streams})
    raise DataError(f"{name}: holds no film ({', '.join(kinds) or 'no stream at all'})")


def _ends(container: Any, stream: Any, sound: bool) -> tuple[float, float] | None:
    """Returns when the header says that the film ends, and how wrong that may be."""
    text = stream.metadata.get("DURATION", "")  # Matroska's "00:00:04.800000000"
    try:
        hours, minutes, seconds = map(float, text.split(":"))
        end = 3600 * hours + 60 * minutes + seconds
    except ValueError:
        end = 0.0
    if 0 < end < math.inf:
        return end, max(0.1, 0.02 * end)
    if stream.duration and stream.time_base:
        end = float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    elif container.duration and not sound:  # it would be the longer one's
        end = (container.duration + (container.start_time or 0)) / 1e6
    return (end, max(1.0, 0.1 * end)) if end > 0 else None


def _is_without_index(path: Path) -> bool:
    """Returns whether a file is an MP4 or MOV whose index, often its last part, is not there."""
    names: set[bytes] = set()
    end, start = path.stat().st_size, 0
    with path.open("rb") as file:
        while len(head := file.read(16)) >= 8 and len(names) < 64:
            size, name = int.from_bytes(head[:4], "big"), head[4:8]
            size = int.from_bytes(head[8:], "big") if size == 1 else size
            if name != b"moov" or start + size <= end:
                names.add(name)
            if size < 8:  # the rest of the file
                break
            start += size
            file.seek(min(start, end))
    return bool(names & {b"ftyp", b"mdat", b"wide"}) and b"moov" not in names
