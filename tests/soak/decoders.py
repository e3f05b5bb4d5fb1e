"""Decoders that are not ours, and what they object to in a file that was answered."""

import csv
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import simplejpeg
import yaml
from PIL import Image


def of_picture(path: Path, answer: object) -> str:
    """libjpeg's warnings, PNG's check sums, and for other formats Pillow's own decoder."""
    content = path.read_bytes()
    try:
        if content.startswith(b"\xff\xd8"):
            simplejpeg.decode_jpeg(content, "RGB")
        elif content.startswith(b"\x89PNG"):
            _check_png(content)
        else:
            with Image.open(io.BytesIO(content)) as image:
                image.load()
    except Exception as error:
        if str(error).startswith("Warning: "):  # of libjpeg, on a header that changes no pixel
            return ""
        return f"{type(error).__name__}: {error}"
    return ""


def _check_png(content: bytes) -> None:
    at, data, kind = 8, b"", b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + length]
        (sum_,) = struct.unpack(">I", content[at + 8 + length : at + 12 + length])
        if zlib.crc32(kind + body) != sum_:
            raise ValueError(f"the check sum of {kind!r}")
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    zlib.decompress(data)


def of_csv(path: Path, answer: object, errors: str = "strict") -> str:
    """Python's strict parser, and that no row is lost."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors=errors)
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if any(row)]
    except (csv.Error, UnicodeDecodeError) as error:
        return str(error)
    lost = len(rows) - 1 - len(answer.ids)  # type: ignore[attr-defined]
    return f"{lost} of {len(rows) - 1} rows are lost" if lost else ""


def of_predictions(path: Path, answer: object) -> str:
    """As `of_csv`, for files that name pictures, whose names may be any bytes."""
    return of_csv(path, answer, errors="surrogateescape")


def of_json(path: Path, answer: object) -> str:
    """Python's parser."""
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def of_lines(path: Path, answer: object) -> str:
    """Python's parser; only the last line of a metrics.jsonl may be torn."""
    if path.suffix == ".json":
        return of_json(path, answer)
    lines = path.read_text(errors="replace").split("\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            if not isinstance(json.loads(line), dict):
                return f"line {number} is no row"
        except (ValueError, RecursionError) as error:
            rest = any(line.strip() for line in lines[number:])
            if rest:
                return f"line {number}: {error}"
    return ""


def of_yaml(path: Path, answer: object) -> str:
    """PyYAML's own parser."""
    try:
        yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return " ".join(str(error).split())
    return ""


def of_archive(path: Path, answer: object) -> str:
    """The check sums of a zip archive's members; old .xls files have none."""
    if path.suffix == ".xls":
        return ""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except Exception as error:  # zlib's errors, and those of an unknown compression
        return f"{type(error).__name__}: {error}"
    return f"the check sum of {bad}" if bad else ""


def of_weights(path: Path, answer: object) -> str:
    """The check sums of a .pth's archive; the other formats of weights have none."""
    return of_archive(path, answer) if path.suffix == ".pth" else ""
