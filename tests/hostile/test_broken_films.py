"""Films that are broken, hostile or odd: what can be read is answered, the rest is one line."""

import contextlib
import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data.records import DataError
from ldl_jax.video import opening
from ldl_jax.video.opening import open_film
from ldl_jax.video.orientation import turn_of, upright
from ldl_jax.video.reading import FilmReader
from tests.video.drawn_film import ONE, SIDE, detector, draw_frame, encode, face_at, film

av = pytest.importorskip("av", reason="films need PyAV: pip install 'ldl_jax[video]'")
FIRST = {"container": {"movflags": "faststart"}}  # the index stands before the frames


def read(path):
    with FilmReader(open_film(path)) as reader:
        return list(reader.read()), reader.damage


def box_of(image):
    (face,) = detector()(image)
    return face.box


@pytest.mark.parametrize("part", [0.4, 0.7, 0.95, 0.995])
@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("a.mp4", FIRST),
        ("a.mkv", {}),
        ("a.mov", {**FIRST, "codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ],
)
def test_a_film_that_is_cut_off(tmp_path, name, keywords, part):
    path = film(tmp_path / name, 40, **keywords)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    frames, damage = read(path)
    assert 5 <= len(frames) < 40
    for frame in frames:  # those that are given out are whole
        x, y = face_at(frame.index)
        np.testing.assert_allclose(box_of(frame.image), (x, y, x + SIDE, y + SIDE), atol=2)
    # Matroska's header tells of a tenth of a second at best.
    if name != "a.mkv" or part < 0.9:
        assert damage.frame == len(frames)
        assert "cut off" in damage.reason


def test_an_mp4_without_its_index_is_said_to_be_cut_off(tmp_path):
    path = film(tmp_path / "phone.mp4", 20)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError, match="it is cut off: its index, which stands at its end"):
        open_film(path)


@pytest.mark.parametrize("seed", range(6))
def test_bytes_that_changed(tmp_path, seed):
    """What follows from a damaged frame is left out, to the next key frame."""
    path = film(tmp_path / "bad.mp4", 40, **FIRST, key_every=10)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    start = int(rng.uniform(0.5, 0.9) * len(content))
    content[start : start + 120] = rng.bytes(120)
    path.write_bytes(content)
    frames, damage = read(path)
    assert damage is not None
    assert damage.lost >= 1
    assert len(frames) + damage.lost >= 38
    wrong = 0
    for frame in frames:
        index = round(frame.seconds * 25)
        x, y = face_at(index)
        wrong += np.abs(np.subtract(box_of(frame.image), (x, y, x + SIDE, y + SIDE))).max() > 3
    assert wrong <= 1


def sound(path):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=16_000)
        wave = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        wave.rate, wave.pts = 16_000, 0
        file.mux(stream.encode(wave))
        file.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"hello\n" * 100, "cannot be read as a film"),
        (bytes(5000), "cannot be read as a film"),
        (b"\x00\x00\x00\x14ftypisom\x00\x00\x00\x00isom", "it is cut off: its index"),
        (b"#EXTM3U\n#EXTINF:1,\n{other}\n", "cannot be read as a film"),
        (b"ffconcat version 1.0\nfile '{other}'\n", "cannot be read as a film"),
        (sound, r"holds no film \(audio\)"),
    ],
)
def test_what_is_no_film_is_one_line(tmp_path, content, says):
    """A playlist would have FFmpeg open another file."""
    other = film(tmp_path / "other.mp4", 3)
    path = tmp_path / "file.mp4"
    path.write_bytes(
        content(path) if callable(content) else content.replace(b"{other}", bytes(other))
    )
    with pytest.raises(DataError, match=says) as error:
        open_film(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_noise_is_no_film_and_nothing_crashes(tmp_path):
    """Films of every container with many bytes changed are read in part or refused."""
    rng = np.random.default_rng(0)
    kinds = [("a.mp4", FIRST), ("a.mkv", {}), ("a.ts", {}), ("a.avi", {"codec": "mpeg4"})]
    for name, keywords in kinds:
        content = film(tmp_path / name, 12, **keywords).read_bytes()
        for case in range(8):
            changed = bytearray(content)
            for place in rng.integers(0, len(content), 10 * 2**case % 997):
                changed[place] = rng.integers(0, 256)
            path = tmp_path / f"{case}_{name}"
            path.write_bytes(changed)
            frames = []
            with contextlib.suppress(DataError):  # of anything else the test fails
                frames, _ = read(path)
            times = [frame.seconds for frame in frames]
            assert times == sorted(times)
            assert all(frame.image.mode == "RGB" for frame in frames)


def test_the_size_of_frames_has_a_limit(tmp_path):
    path = film(tmp_path / "a.mp4", 2)
    with pytest.raises(DataError, match=r"160 x 120 pixels, more than 0\.01 million"):
        open_film(path, 10_000)
    # A header that tells of huge frames.
    content = path.read_bytes()
    huge = content.replace(struct.pack(">HH", 160, 120), struct.pack(">HH", 65_000, 65_000))
    assert huge != content
    path.write_bytes(huge)
    frames, damage = read(path)  # FFmpeg believes the coded frames
    assert {frame.image.height for frame in frames} == {120}
    assert damage is None


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ((15_000, 15_000), "15000 x 15000 pixels, more than 178 million"),
        ((0, 0), "its frames have no size"),
        ((0, 120), "its frames have no size"),
        ((-5, 7), "its frames have no size"),
        ((2**31 - 1, 2**31 - 1), "its frames have no size"),
    ],
)
def test_sizes_that_a_header_makes_up(tmp_path, size, says):
    path = film(tmp_path / "raw.avi", 2, codec="rawvideo", pix_fmt="bgr24")
    content = path.read_bytes()
    start = content.index(b"strf") + 12
    path.write_bytes(content[:start] + struct.pack("<ii", *size) + content[start + 8 :])
    with pytest.raises(DataError, match=says):
        open_film(path)


def test_frames_that_change_their_size_are_read_as_they_are(tmp_path):
    first = film(tmp_path / "a.ts", 10).read_bytes()
    small = [draw_frame(index, ONE, size=(96, 80)) for index in range(10)]
    second = encode(tmp_path / "b.ts", small).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(first + second)
    frames, _ = read(path)
    assert {frame.image.size for frame in frames} == {(160, 120), (96, 80)}
    times = [frame.seconds for frame in frames]
    assert times == sorted(times)  # though the second film's begin anew
    assert np.diff(times).max() < 1
    assert len(set(times)) > 15
    with FilmReader(open_film(path), 10_000) as reader:
        assert {frame.image.size for frame in reader.read()} == {(96, 80)}
        assert "a frame has 160 x 120 pixels" in reader.damage.reason


TURNS = {  # the matrix's a, b, c, d, and where the face of the first frame is then
    "upright": ((1, 0, 0, 1), (10, 20)),
    "a quarter": ((0, 1, -1, 0), (120 - 20 - SIDE, 10)),
    "a half": ((-1, 0, 0, -1), (160 - 10 - SIDE, 120 - 20 - SIDE)),
    "three quarters": ((0, -1, 1, 0), (20, 160 - 10 - SIDE)),
    "mirrored": ((-1, 0, 0, 1), (160 - 10 - SIDE, 20)),
    "transposed": ((0, 1, 1, 0), (20, 10)),
    "nothing": ((0, 0, 0, 0), (10, 20)),
}


def with_matrix(path, entries):
    """Writes a display matrix into an MP4."""
    content = path.read_bytes()
    start = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * 65_536) for value in entries)
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content[:start] + matrix + content[start + 36 :])


@pytest.mark.parametrize("name", TURNS)
def test_a_turned_film_is_upright(tmp_path, name):
    entries, corner = TURNS[name]
    path = film(tmp_path / "turned.mp4", 1)
    with_matrix(path, entries)
    (frame,), _ = read(path)
    quarter = "quarter" in name or name == "transposed"
    assert frame.image.size == ((120, 160) if quarter else (160, 120))
    np.testing.assert_allclose(box_of(frame.image)[:2], corner, atol=1.5)


def test_a_slanting_film_is_turned_too(tmp_path):
    path = film(tmp_path / "turned.mp4", 1)
    cos, sin = math.cos(math.radians(30)), math.sin(math.radians(30))
    for mirrored in (1, -1):
        with_matrix(path, (cos * mirrored, sin * mirrored, -sin, cos))
        (frame,), _ = read(path)
        x, y = mirrored * (10 + SIDE / 2 - 80), 20 + SIDE / 2 - 60
        width, height = frame.image.size
        middle = np.reshape(box_of(frame.image), (2, 2)).mean(axis=0)
        expected = (width / 2 + cos * x - sin * y, height / 2 + sin * x + cos * y)
        np.testing.assert_allclose(middle, expected, atol=2.5)


def test_a_matrix_that_is_none():
    pixels = draw_frame(0, ONE)
    for matrix in (
        b"",
        bytes(35),
        bytes(36),
        struct.pack("<9i", 65_536, 0, 0, 65_536, 0, 0, 0, 0, 1),
    ):
        assert np.array_equal(np.asarray(upright(pixels, turn_of(matrix))), pixels)


@pytest.mark.parametrize("pix_fmt", ["gray", "yuv420p10le", "yuv444p", "yuvj420p"])
def test_pixels_of_other_kinds_are_rgb(tmp_path, pix_fmt):
    (frame, *_), damage = read(film(tmp_path / "a.mkv", 3, pix_fmt=pix_fmt))
    assert damage is None
    drawn = draw_frame(0, ONE).astype(float)
    if pix_fmt == "gray":
        drawn = np.repeat(np.asarray(Image.fromarray(draw_frame(0, ONE)).convert("L")), 3)
        drawn = drawn.reshape(120, 160, 3).astype(float)
    assert np.abs(np.asarray(frame.image) - drawn).mean() < 4


def test_pixels_that_are_not_square_and_times_without_a_rate(tmp_path):
    frames, _ = read(film(tmp_path / "wide.mkv", 4, shape=Fraction(2, 1)))
    assert frames[0].image.size == (320, 120)
    times = [0, 0.04, 0.5, 0.52]
    frames, damage = read(film(tmp_path / "vfr.mkv", 4, times=times))
    np.testing.assert_allclose([frame.seconds for frame in frames], times, atol=2e-3)
    assert damage is None


def test_a_name_that_looks_like_an_address_is_a_file_s(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "a.mp4", 2).rename(tmp_path / "concat:a|b.mp4")
    with FilmReader(open_film((tmp_path / "concat:a|b.mp4").relative_to(tmp_path))) as reader:
        assert len(list(reader.read())) == 2


def test_a_reader_that_is_left_early_ends_its_thread(tmp_path):
    with FilmReader(open_film(film(tmp_path / "a.mp4", 30))) as reader:
        frames = reader.read()
        next(frames)
        frames.close()
    assert reader.frames == 1


def test_a_camera_that_is_not_there(monkeypatch):
    with pytest.raises(DataError, match="camera 97: cannot be opened") as error:
        opening.open_camera("97")
    assert "\n" not in str(error.value)
    monkeypatch.setattr(opening, "camera_place", lambda name: ("/dev/null", "v4l2", {}))
    with pytest.raises(DataError, match="camera 0: cannot be opened"):
        opening.open_camera("0")
