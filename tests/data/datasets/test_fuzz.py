"""A thousand damaged files: each is read, or refused in one line; nothing else is written."""

import collections
import functools
import io
import json
import random
import zipfile

import numpy as np
import pytest
import scipy.io
from imitation import book, write
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.datasets import catalogue
from ldl_jax.data.records import Records
from ldl_jax.data.splits import protocols, split_file
from ldl_jax.workdir import read_json, read_rows

ROUNDS = 1000  # over all kinds of files
SPECIAL = (
    b"\0", b"\n", b"\r\n", b'"', b",", b";", b"\t", b"-", b"nan", b"inf", b"1e999", b"../", b"/",
    b"{", b"}", b"[", b"]", b"null", b"\xef\xbb\xbf", b"\xff\xfe", b"9" * 400, b"\xff\xff\xff\xff",
)  # fmt: skip


@pytest.fixture
def seed():
    """Made fresh; a failure shows it."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def mutated(rng, content):
    """One or two changes: a byte flipped, a piece cut off, inserted, taken out, or two swapped."""
    out = bytearray(content)
    for _ in range(rng.randint(1, 2)):
        a, b = sorted(rng.randint(0, len(out)) for _ in "ab")
        b = min(b, a + 40)
        kind = rng.choice(("flip", "flip", "cut", "insert", "take", "swap", "double"))
        if kind == "flip" and out:
            out[min(a, len(out) - 1)] ^= rng.randint(1, 255)
        elif kind == "cut":
            del out[a:]
        elif kind == "insert":
            out[a:a] = rng.choice(SPECIAL)
        elif kind == "take":
            del out[a:b]
        elif kind == "swap":
            out[a:b] = out[a:b][::-1]
        elif kind == "double":
            out[a:a] = out[a:b]
    return bytes(out)


def outcome(read, *where):
    """Whether it was read, or refused in one line a fault; a failure names what `where` holds."""
    try:
        read()
    except ValueError as error:
        text = str(error).replace("\n  - ", "; ")  # the faults of one file are listed
        # A bare decoding error names no file.
        if not text.isprintable() or isinstance(error, UnicodeError | json.JSONDecodeError):
            raise AssertionError(f"{where}: {text!r}") from error
        return "refused"
    except Exception as error:
        raise AssertionError(f"{where}: {type(error).__name__}") from error
    return "read"


def labels_of(name, root, **arguments):
    records = catalogue.read(name, root, **arguments)
    if not np.isfinite(records.labels).all():
        raise TypeError("labels that are no numbers")


PARTS = ("train", "test")
FACES = "".join(f"f{n}.png,{20 + n},2.5,p{n // 2},{PARTS[n % 2]},{n % 3}\n" for n in range(6))
QUAD = [0, 0, 9, 0, 9, 9, 0, 9]
ENTRIES = [
    {"img_path": f"f{n}.png", "age": n, "folder": n % 3, "id_num": n // 2, "aligned_bbox": QUAD}
    for n in range(6)
]
YAML = "- database: db.json\n  tag: DB\n  split:\n  - trn: [0]\n    val: [1]\n    tst: [2]\n"


def lists(root):
    """Every text file that a reader reads: dataset, arguments, the file, its content."""
    write(root, {f"f{n}.png": "" for n in range(6)})
    write(root, {f"Images/f{n}.png": "" for n in range(6)})
    write(root, {f"aligned faces/0000{n}A2{n}.jpg": "" for n in range(6)})
    folder = "train_test_files"
    texts = {
        "faces.csv": "path,label,sigma,subject,split,fold\n" + FACES,
        "morph.csv": "path,age,subject\n" + "".join(f"f{n}.png,{n},s{n}\n" for n in range(6)),
        "db.json": json.dumps(ENTRIES),
        "db.yaml": YAML,
        "image sets/train.txt": "".join(f"0000{n}A2{n}.jpg {n % 2}\n" for n in range(3)),
        "image sets/val.txt": "".join(f"0000{n}A2{n}.jpg {n % 2}\n" for n in range(3, 6)),
        f"{folder}/train.txt": "".join(f"f{n}.png 3.{n}\n" for n in range(3)),
        f"{folder}/test.txt": "".join(f"f{n}.png 2.{n}\n" for n in range(3, 6)),
        "norming.csv": "Model,Attractive\nWF-001,3.2\nWF-002,4.5\n",
    }
    write(root, texts)
    write(root, {f"Images/CFD-WF-00{n}-00{n}-N.jpg": "" for n in (1, 2)})
    return (
        ("csv_folder", {"csv": "faces.csv"}, "faces.csv"),
        ("morph", {}, "morph.csv"),
        ("face_benchmark", {"csv": "db.json"}, "db.json"),
        ("face_benchmark", {"csv": "db.yaml"}, "db.yaml"),
        ("face_benchmark", {"csv": "db.yaml", "tag": "DB"}, "db.json"),
        ("aaf", {}, "image sets/train.txt"),
        ("scut_fbp5500", {}, f"{folder}/test.txt"),
        ("cfd", {}, "norming.csv"),
    )


def tree(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_lists(tmp_path, seed):
    rng = random.Random(seed)
    kinds = lists(tmp_path)
    before = tree(tmp_path)
    for name, arguments, _ in kinds:
        labels_of(name, tmp_path, **arguments)  # whole, each can be read
    outcomes = collections.Counter()
    for turn in range(ROUNDS // 2):
        name, arguments, file = kinds[turn % len(kinds)]
        path = tmp_path / file
        path.write_bytes(mutated(rng, before[path]))
        read = functools.partial(labels_of, name, tmp_path, **arguments)
        outcomes[outcome(read, seed, turn, path.read_bytes())] += 1
        path.write_bytes(before[path])
    assert tree(tmp_path) == before
    assert min(outcomes["read"], outcomes["refused"]) > 5, outcomes


def test_sheets(tmp_path, seed):
    """The archive damaged, or a part within it."""
    rng = random.Random(seed)
    write(tmp_path, {f"Images/CFD-WF-00{n}-00{n}-N.jpg": "" for n in (1, 2)})
    path = tmp_path / "norming.xlsx"
    book(path, {"CFD": [["Model", "Age", "Attractive"], ["WF-001", 30, 3.2], ["WF-002", 31.5, 4]]})
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    used = [name for name in parts if "theme" not in name and "docProps" not in name]
    read = functools.partial(labels_of, "cfd", tmp_path)
    read()
    outcomes = collections.Counter()
    for turn in range(ROUNDS // 4):
        if turn % 2:
            path.write_bytes(mutated(rng, whole))
        else:
            worst = rng.choice(used)
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in parts.items():
                    archive.writestr(name, mutated(rng, content) if name == worst else content)
        outcomes[outcome(read, seed, turn)] += 1
    assert min(outcomes["read"], outcomes["refused"]) > 5, outcomes


def test_matlab_files(tmp_path, seed):
    """SciPy's reader itself crashes on some."""
    rng = random.Random(seed)
    count = 4
    fields = {
        "dob": np.full(count, 700_000.0),
        "photo_taken": np.full(count, 1990.0),
        "full_path": np.array([f"f{n}.png" for n in range(count)], object),
        "face_score": np.full(count, 3.0),
        "second_face_score": np.full(count, np.nan),
    }
    file = io.BytesIO()
    scipy.io.savemat(file, {"wiki": fields})
    write(tmp_path, {f"f{n}.png": "" for n in range(count)})
    read = functools.partial(labels_of, "imdb_wiki", tmp_path)
    for turn in range(4):  # each is read in a process of its own
        content = mutated(rng, file.getvalue()) if turn else file.getvalue()
        (tmp_path / "wiki.mat").write_bytes(content)
        found = outcome(read, seed, turn)
        assert turn or found == "read"


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, on what it does not understand
def test_pictures(seed):
    rng = random.Random(seed)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8))
    whole = []
    for kind in ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP"):
        file = io.BytesIO()
        image.save(file, kind)
        whole.append(file.getvalue())
    whole += [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"<html></html>"]
    outcomes = collections.Counter()
    for turn in range(ROUNDS // 4):
        content = mutated(rng, whole[turn % len(whole)])
        read = functools.partial(pictures.decode_one, content, 16)
        outcomes[outcome(read, seed, turn, content)] += 1
    assert min(outcomes["read"], outcomes["refused"]) > 5, outcomes


def test_a_run_s_own_files(tmp_path, seed):
    rng = random.Random(seed)
    records = Records(
        name="toy",
        ids=tuple("abcdef"),
        labels=np.arange(6, dtype=np.float32),
        sources=tuple("abcdef"),
        images=np.zeros((6, 4, 4, 3), np.uint8),
    )
    parts = protocols.split(records, "random")
    rows = b"".join(json.dumps({"kind": "train", "step": n}).encode() + b"\n" for n in range(4))
    result = json.dumps({"generation": 1, "mae": 3.5}).encode()
    readers = (
        ("split.json", split_file.dumped(records, parts), split_file.read, (records,)),
        ("generation_1.json", result, read_json, ()),
        ("metrics.jsonl", rows, read_rows, ()),
    )
    for turn in range(ROUNDS // 4):
        name, content, read, more = readers[turn % len(readers)]
        path = tmp_path / name
        path.write_bytes(mutated(rng, content))
        outcome(functools.partial(read, path, *more), seed, turn, path.read_bytes())
    assert {path.name for path in tmp_path.iterdir()} == {name for name, *_ in readers}
