"""Decoding: orientation, colours, sizes, order, and files that cannot be read."""

import io

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.records import DataError


def smooth(width, height):
    """A picture whose left is red, whose bottom is green, without fine detail."""
    x, y = np.meshgrid(np.linspace(1, 0, width), np.linspace(0, 1, height))
    return Image.fromarray((255 * np.stack([x, y, 0 * x + 0.5], -1)).astype(np.uint8))


def truncated(path):
    file = io.BytesIO()
    smooth(200, 200).save(file, "JPEG")
    path.write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    return path


def test_one_is_the_whole_picture_resized(tmp_path):
    smooth(90, 120).save(tmp_path / "a.png")
    pixels = pictures.decode_one(tmp_path / "a.png", 30)
    assert (pixels.shape, pixels.dtype) == ((30, 30, 3), np.uint8)
    expected = np.asarray(smooth(30, 30))
    np.testing.assert_allclose(pixels.astype(int), expected, atol=6)


def test_large_jpegs_look_as_if_decoded_in_full(tmp_path):
    smooth(1600, 1200).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        full = image.resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(
        pictures.decode_one(tmp_path / "a.jpg", 64).astype(int), np.asarray(full), atol=3
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    turn_back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = smooth(64, 96)
    if orientation > 1:
        stored = stored.transpose(turn_back[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", quality=95, subsampling=0, exif=exif)
    pixels = pictures.decode_one(tmp_path / "a.jpg", 32)
    np.testing.assert_allclose(pixels.astype(int), np.asarray(smooth(32, 32)), atol=10)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("P", "png"), ("RGBA", "png"), ("CMYK", "jpg"), ("1", "bmp")]
)
def test_every_mode_becomes_rgb(tmp_path, mode, suffix):
    smooth(40, 40).convert(mode).save(tmp_path / f"a.{suffix}")
    assert pictures.decode_one(tmp_path / f"a.{suffix}", 16).shape == (16, 16, 3)


def test_16_bit_grey_keeps_its_range(tmp_path):
    Image.fromarray(np.full((8, 8), 0x8000, np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pictures.decode_one(tmp_path / "a.png", 4), 128)


@pytest.mark.parametrize("size", [(64, 64), (65, 47), (17, 90), (403, 331), (1200, 801)])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0},
        {"subsampling": 1, "progressive": True},
        {"subsampling": 2, "quality": 30},
        {"subsampling": 2, "restart_marker_blocks": 3},
    ],
)
def test_the_quick_decoder_gives_pillow_s_pixels(tmp_path, monkeypatch, size, options):
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.blend(smooth(*size), Image.fromarray(noise), 0.3).save(tmp_path / "a.jpg", **options)
    with Image.open(tmp_path / "a.jpg") as image:
        expected = np.asarray(image)
    content = (tmp_path / "a.jpg").read_bytes()
    pixels = np.empty_like(expected)
    assert pictures._plain_jpeg_into(content, max(size), pixels, 1.0, False)
    np.testing.assert_array_equal(pixels, expected)
    for side, crop in ((64, 1.0), (40, 1.0), (40, 0.8)):
        quick = pictures.decode_one(tmp_path / "a.jpg", side, crop)
        with monkeypatch.context() as patch:
            patch.setattr(pictures, "_plain_jpeg_into", lambda *arguments: False)
            np.testing.assert_array_equal(quick, pictures.decode_one(content, side, crop))


@pytest.mark.parametrize("odd", ["exif", "gray", "CMYK", "png"])
def test_the_quick_decoder_leaves_the_rest_to_pillow(tmp_path, odd):
    image = smooth(64, 48).convert({"gray": "L", "CMYK": "CMYK"}.get(odd, "RGB"))
    options = {"exif": Image.Exif()} if odd == "exif" else {}
    if odd == "exif":
        options["exif"][0x0112] = 1
    image.save(tmp_path / "a", "PNG" if odd == "png" else "JPEG", **options)
    content = (tmp_path / "a").read_bytes()
    pixels = np.empty((48, 64, 3), np.uint8)
    assert not pictures._plain_jpeg_into(content, 25, pixels, 1.0, False)


def test_an_orientation_is_seen_wherever_it_is_written(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    smooth(32, 32).save(tmp_path / "a.jpg", quality=95, subsampling=0, exif=exif)
    content = (tmp_path / "a.jpg").read_bytes()
    at = content.index(b"Exif") - 4
    length = 2 + int.from_bytes(content[at + 2 : at + 4])
    segment, rest = content[at : at + length], content[:at] + content[at + length :]
    tables = rest.index(b"\xff\xc4")  # Huffman's: the segments just before the pixels
    late = rest[:tables] + segment + rest[tables:]
    turned = np.asarray(smooth(32, 32).transpose(Image.Transpose.ROTATE_180)).astype(int)
    for one in (content, late):
        np.testing.assert_allclose(pictures.decode_one(one, 32).astype(int), turned, atol=10)


def test_a_jpeg_cut_anywhere_before_its_pixels_is_told(tmp_path):
    smooth(32, 32).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    for end in range(content.index(b"\xff\xda") + 2):
        with pytest.raises(DataError, match="cannot be read as a picture"):
            pictures.decode_one(content[:end], 32)


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_many_come_in_order(tmp_path, workers, monkeypatch):
    monkeypatch.setattr(pictures, "CHUNK", 4)
    levels = np.random.default_rng().integers(0, 256, 11)
    paths = [tmp_path / f"{row}.png" for row in range(11)]
    for level, path in zip(levels, paths, strict=True):
        Image.new("RGB", (10, 20), (int(level), 0, 0)).save(path)
    done = []
    pixels, kept = pictures.decode(paths, 8, workers=workers, progress=done.append)
    assert (pixels.shape, pixels.dtype) == ((11, 8, 8, 3), np.uint8)
    np.testing.assert_array_equal(pixels[:, 0, 0, 0], levels)
    np.testing.assert_array_equal(kept, np.arange(11))
    assert done == [4, 8, 11]


def test_unreadable_files_stop_or_are_left_out(tmp_path):
    good = tmp_path / "good.png"
    Image.new("RGB", (9, 9), (7, 7, 7)).save(good)
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    broken = [truncated(tmp_path / "half.jpg"), text, tmp_path / "none.jpg", tmp_path]
    for path in broken:
        with pytest.raises(DataError, match="cannot be read as a picture") as caught:
            pictures.decode([good, path, good], 8)
        assert str(path) in str(caught.value)
        pixels, kept = pictures.decode([good, path, good], 8, unreadable="skip")
        np.testing.assert_array_equal(kept, [0, 2])
        np.testing.assert_array_equal(pixels, np.full((2, 8, 8, 3), 7))
    with pytest.raises(DataError, match="none of 4 pictures can be read"):
        pictures.decode(broken, 8, unreadable="skip")


def test_errors_call_bytes_by_their_names():
    with pytest.raises(DataError, match=r"^b: 3 bytes: cannot be read as a picture"):
        pictures.decode([b"abc"], 8, names=["b"])
    with pytest.raises(DataError, match="none of 1 pictures can be read; the first is b"):
        pictures.decode([b"abc"], 8, unreadable="skip", names=["b"])


def test_arguments(tmp_path):
    with pytest.raises(ValueError, match="unreadable: expected 'stop' or 'skip', got 'ignore'"):
        pictures.decode([], 8, unreadable="ignore")
    with pytest.raises(ValueError, match="size: must be positive, got 0"):
        pictures.decode([], 0)
    pixels, kept = pictures.decode([], 8)
    assert (pixels.shape, kept.shape) == ((0, 8, 8, 3), (0,))


def test_a_whole_picture_is_upright_and_of_its_own_size(tmp_path):
    image = smooth(90, 60)
    exif = image.getexif()
    exif[0x0112] = 6  # turned a quarter
    image.save(tmp_path / "a.jpg", quality=95, exif=exif)
    read = pictures.read(tmp_path / "a.jpg")
    assert (read.size, read.mode) == ((60, 90), "RGB")
    expected = np.asarray(image.transpose(Image.Transpose.ROTATE_270)).astype(int)
    np.testing.assert_allclose(np.asarray(read), expected, atol=6)
    for path in (truncated(tmp_path / "b.jpg"), tmp_path / "missing.png"):
        with pytest.raises(DataError, match=f"{path.name}: cannot be read as a picture"):
            pictures.read(path)


@pytest.mark.parametrize("shape", [(40, 24), (24, 40)])
def test_the_middle_square_keeps_the_aspect(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    top, left = ((side - 12) // 2 for side in shape)
    middle = pixels[top : top + 12, left : left + 12]
    image = Image.fromarray(pixels)
    np.testing.assert_array_equal(pictures.fit(image, 12, 0.5, square=True), middle)
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "a.jpg", quality=95)
    decoded, _ = pictures.decode([tmp_path / "a.png"], 12, crop=0.5, square=True)
    np.testing.assert_array_equal(decoded[0], middle)
    whole = pictures.decode_one(tmp_path / "a.jpg", 24, square=True).astype(int)
    again = pictures.fit(pictures.read(tmp_path / "a.jpg"), 24, square=True)
    np.testing.assert_array_equal(whole, again)
