"""Damaged lists of every reader: each is read, or refused in a line a fault; nothing is written.

Pictures, sheets, MATLAB files, weights and runs are changed by `tests/hostile/test_mutations.py`.
"""

import collections
import functools
import json
import random

import numpy as np
import pytest
from imitation import write

from ldl_jax.data.datasets import catalogue

ROUNDS = 500  # over all kinds of lists
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
        "lagenda_annotation.csv": "img_name,age,gender,face_x0,face_y0,face_x1,face_y1\n"
        + "".join(f"f{n}.png,{20 + n},F,1,2,{n},9\n" for n in range(6)),
    }
    for part in ("train", "val"):
        rows = "".join(f"{part}/{n}.jpg,10-19,Male,White,True\n" for n in range(3))
        texts[f"fairface_label_{part}.csv"] = f"file,age,gender,race,service_test\n{rows}"
        write(root, {f"{part}/{n}.jpg": "" for n in range(3)})
    for part in ("train", "valid", "test"):
        rows = f"00/nm1_{part}.jpg,30,M,1,2,8,9\n"
        texts[f"imdb_{part}_new_1024.csv"] = f"filename,age,gender,x_min,y_min,x_max,y_max\n{rows}"
        write(root, {f"imdb-clean-1024/00/nm1_{part}.jpg": ""})
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
        ("fairface", {}, "fairface_label_train.csv"),
        ("imdb_clean", {}, "imdb_test_new_1024.csv"),
        ("lagenda", {}, "lagenda_annotation.csv"),
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
    for turn in range(ROUNDS):
        name, arguments, file = kinds[turn % len(kinds)]
        path = tmp_path / file
        path.write_bytes(mutated(rng, before[path]))
        read = functools.partial(labels_of, name, tmp_path, **arguments)
        outcomes[outcome(read, seed, turn, path.read_bytes())] += 1
        path.write_bytes(before[path])
    assert tree(tmp_path) == before
    assert min(outcomes["read"], outcomes["refused"]) > 5, outcomes
