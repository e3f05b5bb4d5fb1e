"""Hashes in a file: the same again, and none at all where the pictures or the file changed."""

import os

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data.records import Records
from ldl_jax.data.splits import hashes, hashes_file
from ldl_jax.data.synthetic import faces


@pytest.fixture
def kept(tmp_path):
    """Records of four files, one of them no picture, and the file of their hashes."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{n}.png" for n in range(4)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(path)
    paths[2].write_bytes(b"no picture")
    names = tuple(path.name for path in paths)
    records = Records("toy", names, np.zeros(4, np.float32), names, tuple(paths))
    file = tmp_path / "prints.npz"
    taken = hashes.take(records)
    file.write_bytes(hashes_file.dumped(records, taken))
    return records, file, taken


def test_what_was_kept_is_read(kept):
    records, file, taken = kept
    found = hashes_file.read(file, records)
    assert found.files == taken.files
    assert found.unreadable == taken.unreadable == (2,)
    np.testing.assert_array_equal(found.hashes, taken.hashes)
    np.testing.assert_array_equal(found.looks, taken.looks)
    assert hashes_file.dumped(records, found) == file.read_bytes()


def test_a_changed_picture_is_noticed(kept):
    records, file, _ = kept
    state = records.paths[1].stat()
    os.utime(records.paths[1], ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert hashes_file.read(file, records) is None


def test_a_damaged_file_is_ignored(kept):
    records, file, _ = kept
    content = file.read_bytes()
    rng = np.random.default_rng()
    for cut in rng.integers(0, len(content), 30):
        file.write_bytes(content[:cut])
        assert hashes_file.read(file, records) is None
    for place in rng.integers(0, len(content), 100):
        damaged = bytearray(content)
        damaged[place] ^= int(rng.integers(1, 256))
        file.write_bytes(damaged)
        found = hashes_file.read(file, records)  # a flipped time in the archive does no harm
        assert found is None or hashes_file.dumped(records, found) == content, place
    file.unlink()
    assert hashes_file.read(file, records) is None


def test_pictures_in_memory_are_not_told_apart(tmp_path):
    records = faces.faces(8, 32)
    (tmp_path / "prints.npz").write_bytes(b"")
    assert hashes_file.read(tmp_path / "prints.npz", records) is None
