"""The kinds of files that are changed: who writes a sound one, who reads it, who may object."""

import dataclasses
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from PIL import Image
from safetensors.numpy import save_file

import ldl_jax
from ldl_jax.data import pictures
from ldl_jax.data.datasets import catalogue
from ldl_jax.data.records import Records
from ldl_jax.data.splits import protocols, split_file
from ldl_jax.evaluation import predictions
from ldl_jax.labels import AGE
from ldl_jax.models import weight_files
from ldl_jax.workdir import check, read_results, read_rows
from tests.data.datasets.imitation import book, ods, write, xls
from tests.soak import decoders, runs, torch_file

FACES = 6
PARTS = ("train", "test")
CSV = "path,label,sigma,subject,split,fold,note\n" + "".join(
    f'f{n}.png,{20 + n},2.5,p{n // 2},{PARTS[n % 2]},{n % 3},"a, b"\n' for n in range(FACES)
)
ENTRIES = [
    {"img_path": f"f{n}.png", "age": n, "folder": n % 3, "id_num": n // 2, "aligned_bbox": [0] * 8}
    for n in range(FACES)
]
YAML = "- database: db.json\n  tag: DB\n  split:\n  - trn: [0]\n    val: [1]\n    tst: [2]\n"
SHEET = {"CFD": [["Model", "Age", "Attractive"], ["WF-001", 30, 3.2], ["WF-002", 31.5, 4]]}
PORTRAITS = {f"Images/CFD-WF-00{n}-00{n}-N.jpg": "" for n in (1, 2)}


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
      make: writes a sound one into an empty folder, with all that a reader wants beside it.
      read: what a user calls; it answers, or raises ValueError or OSError.
      files: the pattern of the files in the folder that are changed.
      objects: returns why a decoder that is not ours refuses a file, given the file and what was
        answered; "" where it does not.
      weight: how often it is taken, beside 1 of the others.
    """

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    files: str
    objects: Callable[[Path, object], str] = lambda path, answer: ""
    weight: float = 1.0


def _records(name: str, **options: str) -> Callable[[Path], Records]:
    def read(folder: Path) -> Records:
        records = catalogue.read(name, folder, **options)
        if not np.isfinite(records.labels).all():
            raise TypeError("labels that are no numbers")
        return records

    return read


def _faces(**texts: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        write(folder, {f"f{n}.png": "" for n in range(FACES)})
        write(folder, {name.replace("_", "."): text for name, text in texts.items()})

    return make


def _picture(form: str, mode: str = "RGB", **options: object) -> Kind:
    def make(folder: Path) -> None:
        y, x = np.mgrid[0:40, 0:48]
        smooth = np.stack([y * 6, x * 5, (x + y) * 2], -1) % 256
        noise = np.random.default_rng(0).integers(0, 20, (40, 48, 3))
        image = Image.fromarray((smooth * 0.9 + noise).astype(np.uint8)).convert(mode)
        image.save(folder / f"face.{form.lower()}", form, **options)

    def read(folder: Path) -> object:
        [path] = folder.glob("face.*")
        pictures.check(path.read_bytes(), path.name)
        pictures.read(path)
        return pictures.decode_one(path, 24)

    return Kind(make, read, "face.*", decoders.of_picture)


def _sheet(ending: str, save: Callable[[Path, dict[str, list[list[object]]]], None]) -> Kind:
    def make(folder: Path) -> None:
        write(folder, PORTRAITS)
        path = folder / f"norming.{ending}"
        save(path, SHEET)
        if zipfile.is_zipfile(path):
            _without_times(path)

    return Kind(make, _records("cfd"), "norming.*", decoders.of_archive, 0.5)


def _without_times(path: Path) -> None:
    """Rewrites an archive so that the same seed changes it in the same way tomorrow."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            fixed = re.sub(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2020-01-01T00:00:00Z", member)
            archive.writestr(zipfile.ZipInfo(name), fixed)


def _matlab(folder: Path) -> None:
    fields = {
        "dob": np.full(4, 700_000.0),
        "photo_taken": np.full(4, 1990.0),
        "full_path": np.array([f"f{n}.png" for n in range(4)], object),
        "face_score": np.full(4, 3.0),
        "second_face_score": np.full(4, np.nan),
    }
    _faces()(folder)
    file = io.BytesIO()
    scipy.io.savemat(file, {"wiki": fields})
    header = b"MATLAB 5.0 MAT-file, without a time".ljust(116)
    (folder / "wiki.mat").write_bytes(header + file.getvalue()[116:])


def _weights(write_file: Callable[[Path, dict[str, np.ndarray]], object], ending: str) -> Kind:
    def make(folder: Path) -> None:
        rng = np.random.default_rng(0)
        shapes = {"conv1.weight": (4, 3, 3, 3), "bn1.bias": (4,), "fc.weight": (2, 4)}
        arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
        write_file(folder / f"weights.{ending}", arrays)

    def read(folder: Path) -> object:
        return weight_files.read(folder / f"weights.{ending}")

    return Kind(make, read, "weights.*", decoders.of_weights)


def _hdf5(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[f"{name}/{name}/kernel:0"] = array


def _predictions(folder: Path) -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(AGE.size), 4)
    predictions.write(
        folder / "generation_1.csv",
        predictions.Predictions(
            tuple("abcd"), np.arange(4.0), np.arange(4.0) + 0.5, probs, AGE, heads={}
        ),
    )


def _drawn() -> Records:
    return Records(
        name="toy",
        ids=tuple("abcdef"),
        labels=np.arange(6, dtype=np.float32),
        sources=tuple("abcdef"),
        images=np.zeros((6, 4, 4, 3), np.uint8),
    )


def _split(folder: Path) -> None:
    records = _drawn()
    parts = protocols.split(records, "random")
    (folder / "split.json").write_bytes(split_file.dumped(records, parts))


def _results(folder: Path) -> None:
    rows = [{"kind": "train", "generation": 1, "step": n, "total_step": n} for n in range(6)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for generation in (1, 2):
        result = json.dumps({"generation": generation, "mae": 3.5, "epsilon": 3})
        (folder / f"generation_{generation}.json").write_text(result)
    (folder / "config.json").write_text(json.dumps({"seed": 0, "data": {"size": 64}}))


def _read_results(folder: Path) -> object:
    check(folder, {"seed": 0, "data": {"size": 64}})
    return read_results(folder), read_rows(folder / "metrics.jsonl")


KINDS: dict[str, Kind] = {
    "jpeg": _picture("JPEG", quality=90),
    "progressive jpeg": _picture("JPEG", progressive=True),
    "grey jpeg": _picture("JPEG", "L"),
    "png": _picture("PNG"),
    "palette png": _picture("PNG", "P"),
    "webp": _picture("WEBP"),
    "gif": _picture("GIF"),
    "bmp": _picture("BMP"),
    "tiff": _picture("TIFF", compression="tiff_lzw"),
    "csv": Kind(
        _faces(faces_csv=CSV), _records("csv_folder", csv="faces.csv"), "faces.csv", decoders.of_csv
    ),
    "json": Kind(
        _faces(db_json=json.dumps(ENTRIES)),
        _records("face_benchmark", csv="db.json"),
        "db.json",
        decoders.of_json,
    ),
    "yaml": Kind(
        _faces(db_json=json.dumps(ENTRIES), db_yaml=YAML),
        _records("face_benchmark", csv="db.yaml"),
        "db.yaml",
        decoders.of_yaml,
    ),
    "xlsx": _sheet("xlsx", book),
    "ods": _sheet("ods", ods),
    "xls": _sheet("xls", xls),
    "mat": Kind(_matlab, _records("imdb_wiki"), "wiki.mat", weight=0.3),
    "hdf5": _weights(_hdf5, "h5"),
    "safetensors": _weights(lambda path, arrays: save_file(arrays, path), "safetensors"),
    "pth": _weights(torch_file.save, "pth"),
    "pth of before 1.6": _weights(torch_file.save_legacy, "pt"),
    "whole ssr-net": Kind(
        runs.make_ssrnet, lambda folder: ldl_jax.load(folder / "imdb.h5"), "imdb.h5", weight=0.1
    ),
    "checkpoint": Kind(
        runs.make, ldl_jax.load, "checkpoints/generation_1/1/**/*", runs.sealed, weight=0.3
    ),
    "seal": Kind(runs.make, ldl_jax.load, "checkpoints/generation_1/*.sha256", weight=0.1),
    "predictions": Kind(
        _predictions,
        lambda folder: predictions.read(folder / "generation_1.csv"),
        "generation_1.csv",
        decoders.of_predictions,
    ),
    "split.json": Kind(
        _split,
        lambda folder: split_file.read(folder / "split.json", _drawn()),
        "split.json",
        decoders.of_json,
    ),
    "run folder": Kind(_results, _read_results, "*.json*", decoders.of_lines, 2.0),
}
