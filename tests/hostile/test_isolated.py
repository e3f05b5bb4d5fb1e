"""Readers of foreign files in processes of their own: what they take is bounded, and they end."""

import json
import os
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from ldl_jax.isolated import children
from ldl_jax.models import weight_files


@pytest.fixture
def weights(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["w"] = np.arange(6.0).reshape(2, 3)
    return tmp_path / "w.h5"


@pytest.fixture
def started(monkeypatch):
    """The processes that were started."""
    known, start = [], subprocess.Popen

    def noted(*arguments, **options):
        known.append(start(*arguments, **options))
        return known[-1]

    monkeypatch.setattr(children.subprocess, "Popen", noted)
    return known


def speak(monkeypatch, code):
    """Has a program of this code answer in place of every reader."""
    command = [sys.executable, "-c", code]
    monkeypatch.setattr(children, "_command", lambda *_: command)


def refused(path, words):
    with pytest.raises(ValueError, match=words) as failed:
        weight_files.read(path)
    assert "\n" not in str(failed.value)
    assert str(failed.value).startswith(f"path: {path}")


def doubled(depth):
    """A dict one of whose keys is a tuple of two tuples of two tuples ..., all the same.

    To hash it takes 2^depth steps, in C, and so would to show it.
    """
    tuples = b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) + b"0"
                      for n in range(depth))  # fmt: skip
    return b"\x80\x02)q\x000" + tuples + b"}h" + bytes([depth]) + b"I1\ns."


def test_a_pickle_that_would_take_for_ever_is_stopped(tmp_path, monkeypatch, started):
    monkeypatch.setattr(weight_files, "_SECONDS", 1.0)
    (tmp_path / "x.pth").write_bytes(doubled(60))
    begin = time.monotonic()
    refused(tmp_path / "x.pth", r"its reader took more than 1 s$")
    assert time.monotonic() - begin < 10
    assert [process.poll() for process in started] == [-9]


def test_a_reader_has_so_much_memory(weights, monkeypatch):
    pytest.importorskip("resource")
    monkeypatch.setattr(children, "MEMORY", 60 * 2**20)  # too little for NumPy itself
    refused(weights, r"its reader ran out of memory, or crashed$")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("sys.exit()", "ran out of memory, or crashed"),
        ("import os; os.abort()", "ran out of memory, or crashed"),
        ("say(b'')\nsay(b'[' * 100_000)", "not described"),
        ("say(b'')\nsay(b'[1]')", "not described"),
        ("say(b'')\nsay(b'{\"w\": [\"O\", [1]]}')", "not described"),
        ("say(b'')\nsay(b'{\"w\": [\"float32\", [1.5]]}')", "not described"),
        ("say(b'')\nsay(b'{\"w\": [\"float32\", [-1]]}')\nsay(bytes(4))", "a shape below 0"),
        ("say(b'')\nsay(b'{\"w\": [\"float32\", [1099511627776]]}')", "would take 4,398"),
        ("say(b'')\nsay(b'{\"w\": [\"float32\", [2]]}')\nsay(bytes(80))", "or crashed"),
        (
            "say(b'')\nsay(b'{\"w\": [\"float32\", [2]]}')\nsay(bytes(4))",
            "gave other bytes",
        ),
        ("out.write(b'=' + b'\\xff' * 8)", "or crashed"),
        ("say(b'')\nout.write(b'=' + b'\\xff' * 8)", "or crashed"),
        ("say(b'')\nout.write(b'!' + b'\\xff' * 8)", "or crashed"),
        ("say(b'')\nsay(b': a\\x1b[31m\\nb', b'!')", r"a\\x1b\[31m b"),
    ],
)
def test_a_reader_that_was_led_astray_is_not_believed(weights, monkeypatch, code, words):
    speak(
        monkeypatch,
        "import sys\nout = sys.stdout.buffer\n"
        "def say(content, kind=b'='):\n"
        "    out.write(kind + len(content).to_bytes(8, 'little') + content)\n"
        f"    out.flush()\n{code}\nout.flush()\nsys.stdin.read()\n",
    )
    refused(weights, words)


def test_a_reader_imports_no_more_than_it_needs():
    """Neither JAX's threads nor its second of start."""
    code = (
        "import json, sys, ldl_jax.isolated.hdf5, ldl_jax.isolated.torch_files\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert {"numpy", "h5py"} <= loaded
    assert not {"jax", "flax", "orbax", "PIL"} & loaded


def test_readers_end_with_the_file_however_it_is_left(weights, started):
    with weight_files.opened(weights) as file:
        np.testing.assert_array_equal(file.read("w"), [[0, 1, 2], [3, 4, 5]])
        assert started[0].poll() is None
    with pytest.raises(KeyboardInterrupt), weight_files.opened(weights):
        raise KeyboardInterrupt
    assert [process.poll() is None for process in started] == [False, False]


def test_a_reader_has_its_limits(tmp_path):
    resource = pytest.importorskip("resource")
    (tmp_path / "x").touch()
    code = children._LIMITED.replace(
        'runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)',
        'print(*(resource.getrlimit(getattr(resource, "RLIMIT_" + k))[0]'
        ' for k in ("AS", "CPU", "CORE")))',
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(2**31), "7", os.curdir, "none"],
        capture_output=True,
        check=True,
        text=True,
    )
    least = [
        min(most, *(n for n in (resource.getrlimit(kind)[0], most) if n >= 0))
        for kind, most in ((resource.RLIMIT_AS, 2**31), (resource.RLIMIT_CPU, 7))
    ]
    assert list(map(int, done.stdout.split())) == [*least, 0]
