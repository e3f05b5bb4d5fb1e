"""Pictures, tables and lists that were made, or broken, to mislead or to exhaust a reader."""

import io
import json
import os
import random
import struct
import time
import zipfile
import zlib

import numpy as np
import openpyxl
import pytest
import scipy.io
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.datasets import catalogue, matlab
from ldl_jax.data.feed.part import Part
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.splits import protocols, split_file
from ldl_jax.files import content_of
from ldl_jax.isolated import children


def noise(width=96, height=80):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def refused(content, size=16):
    """The reason that each way to read a picture gives; all refuse it."""
    reasons = []
    for read in (lambda: pictures.decode_one(content, size), lambda: pictures.read(content)):
        with pytest.raises(DataError, match="cannot be read as a picture") as caught:
            read()
        reasons.append(str(caught.value))
    with pytest.raises(DataError):
        pictures.check(content)
    return reasons[0]


# Damage

EXIF = Image.Exif()
EXIF[0x0112] = 6
KINDS = {
    "plain": (noise(), {}),
    "turned": (noise(), {"exif": EXIF}),
    "grey": (noise().convert("L"), {}),
    "cmyk": (noise().convert("CMYK"), {}),
    "progressive": (noise(), {"progressive": True}),
    "large": (noise(400, 300), {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_jpeg_with_an_end_marker_is_no_picture(kind):
    image, options = KINDS[kind]
    content = encoded(image, "JPEG", **options)
    pictures.decode_one(content, 16)
    refused(content[: len(content) // 2] + b"\xff\xd9")
    refused(content[:-2])


def test_what_the_jpeg_decoder_objects_to_is_not_answered():
    """Bytes of the coded pixels changed: what is read has only valid codes, what is not is said."""
    rng = random.Random(0)
    content = encoded(noise(64, 64), "JPEG")
    start = content.index(b"\xff\xda") + 14
    outcomes = {"refused": 0, "read": 0}
    for _ in range(60):
        damaged = bytearray(content)
        damaged[rng.randrange(start, len(content) - 2)] ^= 1 << rng.randrange(8)
        try:
            pictures.decode_one(bytes(damaged), 16)
            outcomes["read"] += 1
        except DataError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 15, outcomes


def test_a_png_s_check_sums_are_honoured():
    rng = random.Random(0)
    content = encoded(noise(), "PNG")
    assert pictures.decode_one(content, 16).shape == (16, 16, 3)
    for _ in range(100):
        position = rng.randrange(8, len(content) - 12)
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.randrange(8)
        refused(bytes(damaged))
    refused(content[:-12])


# Time and memory


def test_a_jpeg_of_five_hundred_scans_is_refused_at_once():
    content = encoded(noise(512, 512), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    scans = content[last:-2] * 500
    started = time.monotonic()
    assert "scans, more than the 100" in refused(content[:-2] + scans + b"\xff\xd9")
    assert time.monotonic() - started < 3


def webp_of(width, height):
    """A WebP file whose header declares a size."""
    content = bytearray(encoded(Image.new("RGB", (64, 64)), "WEBP"))
    at = content.index(b"VP8 ") + 14
    content[at : at + 4] = struct.pack("<HH", width, height)
    return bytes(content)


def png_of(width, height):
    content = encoded(Image.new("RGB", (1, 1)), "PNG")
    body = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + body + struct.pack(">I", zlib.crc32(body)) + content[33:]


@pytest.mark.parametrize("content", [webp_of(16383, 16383), png_of(30_000, 30_000)])
def test_a_declared_size_is_checked_before_memory_is_taken(content):
    before = peak()
    assert "pixels" in refused(content)
    assert peak() - before < 100e6


def peak():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_counts_twice(monkeypatch, mode):
    """What is composed on white is kept several times: 2.7 GB for a file of 340 KB, before."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    small, large = (encoded(Image.new(mode, (side, 100)), "PNG") for side in (50, 51))
    assert pictures.decode_one(small, 16).shape == (16, 16, 3)
    assert "it declares 5,100 pixels, more than the 5,000 that are read" in refused(large)
    assert pictures.decode_one(encoded(Image.new("RGB", (100, 100)), "PNG"), 16).any() == 0


def test_only_formats_of_pictures_are_opened():
    assert "of no known format" in refused(encoded(noise(), "EPS"))  # Pillow starts Ghostscript
    refused(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")


def test_a_matlab_file_that_takes_too_much_ends_its_reader_alone(tmp_path, monkeypatch):
    path = tmp_path / "wiki.mat"
    large = {"wiki": {"dob": np.zeros(30_000_000)}}
    scipy.io.savemat(path, large, do_compression=True)
    assert path.stat().st_size < 300_000
    monkeypatch.setattr(children, "MEMORY", 500 * 2**20)
    with pytest.raises(DataError, match=r"wiki.mat: cannot be read as a MATLAB file \(its reader"):
        matlab.fields(path, "wiki", ("dob",))
    monkeypatch.setattr(children, "MEMORY", 4 * 2**30)
    monkeypatch.setattr(children, "SECONDS", 0.05)
    with pytest.raises(DataError, match=r"took more than 0\.05 s"):
        matlab.fields(path, "wiki", ("dob",))


def test_entities_of_a_spreadsheet_are_not_expanded(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    book = openpyxl.Workbook()
    for row in (["path", "label"], ["a.jpg", 30]):
        book.active.append(row)
    plain = tmp_path / "plain.xlsx"
    book.save(plain)
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(tmp_path / "faces.xlsx", "w") as new:
        for name in old.namelist():
            member = old.read(name)
            if name.endswith("sheet1.xml"):
                end = member.index(b"?>") + 2 if member.startswith(b"<?xml") else 0
                member = member[:end] + bomb + member[end:]
            new.writestr(name, member)
    assert len(catalogue.read("csv_folder", tmp_path, csv="plain.xlsx")) == 1
    with pytest.raises(DataError, match=r"^faces.xlsx: xl/worksheets/sheet1.xml declares entities"):
        catalogue.read("csv_folder", tmp_path, csv="faces.xlsx")


YAML = "- database: db.json\n  tag: DB\n  split:\n  - {trn: [0], val: [1], tst: [2]}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n",
            "aliases .* are not read",
        ),
        (YAML.replace("[0]", "[0_1]"), "must be a whole number, got '0_1'"),
        (YAML.replace("[0]", "[true]"), "expected whole numbers of folders"),
        ("[" * 5000, "expected a list"),
        (YAML + "#" * 400_000, "characters, more than"),
    ],
)
def test_yaml_that_multiplies_or_misleads(tmp_path, text, says):
    (tmp_path / "db.yaml").write_text(text)
    with pytest.raises(DataError, match=f"^db.yaml: .*{says}"):
        catalogue.read("face_benchmark", tmp_path, csv="db.yaml")


@pytest.mark.parametrize(
    ("age", "says"),
    [
        ("true", "expected a number, got True"),
        ('"4_6"', "got '4_6'"),
        ("[3]", "got"),
        ("1e999", ""),
    ],
)
def test_what_is_no_age_in_json(tmp_path, age, says):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "db.json").write_text(f'[{{"img_path": "a.png", "age": {age}, "folder": 0}}]')
    with pytest.raises(DataError, match=f"^db.json entry 1: .*{says}"):
        catalogue.read("face_benchmark", tmp_path, csv="db.json")


# Quotes


@pytest.mark.parametrize(
    ("rows", "row", "says"),
    [
        (['a.jpg,30,"x', *["a.jpg,30,y"] * 9], 2, "a quote is opened and not closed"),
        (['a.jpg,30,"x', "b.jpg,31,y", 'c.jpg,32,z"'], 2, "a quote takes in the rows after it"),
        (['a.jpg,"30,x', 'b.jpg,31",y'], 2, "a quote takes in the rows after it"),
        (["a.jpg,30,x", "b.jpg,31,5'11\" tall"], 3, "a quote .* stands within a cell"),
        (['a.jpg,30,"x" y'], 2, "a quote ends before its cell does"),
    ],
)
def test_a_stray_quote_loses_no_row(tmp_path, rows, row, says):
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"")
    (tmp_path / "faces.csv").write_text("path,label,note\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=f"faces.csv row {row}: {says}"):
        catalogue.read("csv_folder", tmp_path, csv="faces.csv")


def test_quotes_in_their_place_are_read(tmp_path):
    for name in ("a, b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    text = 'path,label,note\n"a, b.jpg","30","two\nlines, ""quoted"""\nc.jpg,31,\n'
    (tmp_path / "faces.csv").write_text(text)
    records = catalogue.read("csv_folder", tmp_path, csv="faces.csv")
    assert dict(zip(records.ids, records.labels, strict=True)) == {"a, b.jpg": 30, "c.jpg": 31}


@pytest.mark.parametrize("unreadable", ["stop", "skip"])
def test_a_column_without_a_name_is_none_of_ours(tmp_path, unreadable):
    """As the index that pandas writes: it was read as whatever the file had no column for."""
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(b"")
    (tmp_path / "faces.csv").write_text(",path,label\n0,a.jpg,30\n1,b.jpg,31\n")
    records = catalogue.read("csv_folder", tmp_path, csv="faces.csv", unreadable=unreadable)
    assert records.labels.tolist() == [30, 31]
    assert records.sigma is None
    assert records.folds is None
    assert not any(records.subjects)
    assert not any(records.split)


# Files that are none, and files that change


def test_a_pipe_is_opened_nowhere(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        content_of(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        content_of("/dev/zero")
    with pytest.raises(DataError, match="no regular file"):
        pictures.decode_one(tmp_path / "pipe", 8)
    (tmp_path / "faces.csv").write_text("path,label\npipe,30\n")
    with pytest.raises(DataError, match="1 of 1 listed pictures are no regular files"):
        catalogue.read("csv_folder", tmp_path, csv="faces.csv")
    for name in ("pipe", "pipe.xlsx", "pipe.yaml", "pipe.json"):
        (tmp_path / name).unlink(missing_ok=True)
        os.mkfifo(tmp_path / name)
        dataset = "face_benchmark" if name.endswith(("yaml", "json")) else "csv_folder"
        with pytest.raises(DataError, match="no regular file"):
            catalogue.read(dataset, tmp_path, csv=name)


def test_a_picture_that_goes_or_grows_during_a_run_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(noise(), "JPEG"))
    part = Part(("a.jpg",), np.ones(1), np.ones(1), 16, paths=[path])
    assert part.picture(0).shape == (16, 16, 3)
    reads = os.read

    def grows(descriptor, count):
        with path.open("ab") as file:
            file.write(b"more")
        return reads(descriptor, count)

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", grows)
        with pytest.raises(DataError, match=r"a.jpg: .*it changed while it was read"):
            part.picture(0)
    path.unlink()
    with pytest.raises(DataError, match=r"a.jpg: cannot be read as a picture"):
        part.picture(0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["test"].append(c["train"][0]), "lists .* in train and again in test"),
        (lambda c: c["train"].append(c["train"][0]), "lists .* in train and again in train"),
        (lambda c: c["train"].pop(), "was made for other pictures, labels or parts"),
        (lambda c: c.update(seed=True), "is no split: seed"),
        (lambda c: c["test"].append("z"), "toy has no 'z'"),
        (lambda c: c["test"].append(3), "is no split: test"),
    ],
)
def test_an_edited_split_is_refused(tmp_path, change, says):
    labels = np.arange(6, dtype=np.float32)
    images = np.zeros((6, 4, 4, 3), np.uint8)
    records = Records("toy", tuple("abcdef"), labels, tuple("abcdef"), images=images)
    content = json.loads(split_file.dumped(records, protocols.split(records, "random")))
    change(content)
    path = tmp_path / "split.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"^split.json: {says}"):
        split_file.read(path, records)
