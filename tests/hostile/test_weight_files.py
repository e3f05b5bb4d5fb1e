"""Hostile and broken weight files: one line each, quickly, and without the memory they ask for."""

import dataclasses
import json
import pickle
import resource
import struct
import zipfile

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import ldl_jax
from ldl_jax import models
from ldl_jax.models import layouts, pretrained, weight_files

ROOM = 300 * 2**20


def spent():
    """The processor's seconds of this process and of those that it has waited for."""
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


@pytest.fixture(autouse=True)
def bounded():
    """Each test stays within 10 s of work, whatever else the machine does, and little memory."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, spent()
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < ROOM
    assert spent() - start < 10


def refused(path, words):
    with pytest.raises(ValueError, match=words) as failed:
        weight_files.read(path)
    assert "\n" not in str(failed.value)
    assert str(path) in str(failed.value)
    with pytest.raises(ValueError, match=words):
        ldl_jax.load(path)


def write_zip(path, tree, storage=b"", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", tree)
        archive.writestr("archive/data/0", storage)


def rebuilt(shape, strides, count):
    """The pickle of a state dict of one float32 tensor."""
    tuples = b"".join(
        b"(" + b"".join(b"I%d\n" % n for n in numbers) + b"t" for numbers in (shape, strides)
    )
    return (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        b"I%d\ntQI0\n" % count + tuples + b"\x89NtRs."
    )


def test_an_archive_that_unpacks_to_gigabytes(tmp_path):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("archive/data.pkl", rebuilt((4,), (1,), 4))
        with archive.open("archive/data/0", "w", force_zip64=True) as part:
            for _ in range(256):
                part.write(bytes(2**20))
    refused(path, "its parts would take 268,4.* bytes, and the file has")
    write_zip(path, b"\x80\x02" + b"N0" * 3 * 2**20 + b"N.")
    refused(path, r"its data\.pkl would take")


@pytest.mark.parametrize(
    "tree",
    [
        b"\x80\x02Nr" + struct.pack("<I", 2**31 - 1) + b".",
        b"\x80\x02Np2000000000\n.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc.",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"abc.",
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"abc.",
        b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"abc.",
        b"\x80\x02(" + b"(" * 200_000 + b"t" * 200_000 + b".",
    ],
    ids=["memo", "memo in text", "bytes", "text", "bytearray", "long", "deep"],
)
def test_a_pickle_that_asks_for_memory(tmp_path, tree):
    write_zip(tmp_path / "x.pth", tree)
    refused(tmp_path / "x.pth", r"x\.pth")
    (tmp_path / "legacy").write_bytes(tree)
    refused(tmp_path / "legacy", "legacy")


def test_a_pickle_that_copies_and_copies(tmp_path):
    pairs = b"(" + b"(I1\nI2\nl" * 20_000 + b"lq\x00"
    copies = b"ccollections\nOrderedDict\nh\x00\x85R0" * 10_000
    write_zip(tmp_path / "x.pth", b"\x80\x02" + pairs + copies + b".")
    refused(tmp_path / "x.pth", "copies more than it holds")


@pytest.mark.parametrize("member", ["byteorder", "version", "data/0", "data.pkl"])
def test_the_check_sum_of_every_part_counts(tmp_path, member):
    path, four = tmp_path / "x.pth", np.arange(4, dtype=np.float32).tobytes()
    write_zip(path, rebuilt((4,), (1,), 4), four)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    assert weight_files.read(path)["w"].tolist() == [0, 1, 2, 3]
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(f"archive/{member}").header_offset
    content = bytearray(path.read_bytes())
    content[start + 30 + len(f"archive/{member}") + 1] ^= 1
    path.write_bytes(content)
    refused(path, r"x\.pth")


def test_a_tensor_of_terabytes_over_four_numbers(tmp_path):
    path = tmp_path / "x.pth"
    four = np.arange(4, dtype=np.float32).tobytes()
    write_zip(path, rebuilt((2**20, 2**20), (0, 0), 4), four)
    refused(path, r"w \[1048576, 1048576\] would take 4,398,046,511,104 bytes")
    write_zip(path, rebuilt((2, 4), (0, 1), 4), four)  # `expand` makes small ones
    np.testing.assert_array_equal(weight_files.read(path)["w"], [[0, 1, 2, 3]] * 2)


@pytest.mark.parametrize("chunks", [None, (1024, 1024)])
def test_a_small_hdf5_file_that_declares_gigabytes(tmp_path, chunks):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("w", (32_768, 32_768), "f4", chunks=chunks)
    refused(tmp_path / "x.h5", r"w \[32768, 32768\] would take 4,294,967,296 bytes")


def test_hdf5_groups_in_groups(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file
        for _ in range(2000):
            group = group.create_group("g")
        group["w"] = np.ones(3)
    refused(tmp_path / "x.h5", "32 levels")
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["loop"] = file["/"]
    refused(tmp_path / "y.h5", "32 levels")


def test_hdf5_that_reads_other_files(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(400))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["w"] = np.ones(100, "f4")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("w", (100,), "f4", external=[(str(tmp_path / "secret"), 0, 400)])
    refused(tmp_path / "a.h5", "w has its numbers in other files")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        layout = h5py.VirtualLayout((100,), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "w", (100,))
        file.create_virtual_dataset("w", layout)
    refused(tmp_path / "b.h5", "w has its numbers in other files")
    for name, link in (
        ("c.h5", h5py.ExternalLink(str(tmp_path / "other.h5"), "w")),
        ("d.h5", h5py.SoftLink("/nowhere")),
    ):
        with h5py.File(tmp_path / name, "w") as file:
            file["w"] = link
        refused(tmp_path / name, "w is a link to elsewhere")


@pytest.mark.parametrize(
    "make",
    [
        lambda file: file.create_dataset("w", data="text"),
        lambda file: file.create_dataset("w", data=h5py.Empty("f4")),
        lambda file: file.create_dataset("w", data=np.zeros(3, [("a", "f4"), ("b", "i4")])),
        lambda file: file.create_dataset("w", data=np.zeros(3, "c8")),
        lambda file: file.create_dataset("w", (3,), h5py.ref_dtype),
        lambda file: file.create_dataset("w", (3,), h5py.vlen_dtype(np.float32)),
    ],
    ids=["text", "empty", "compound", "complex", "reference", "ragged"],
)
def test_hdf5_of_odd_types(tmp_path, make):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        make(file)
    refused(tmp_path / "x.h5", "w is of type .*expected an array of numbers")


def test_hdf5_of_odd_shapes(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["conv2d_1/conv2d_1/kernel:0"] = np.float32(3)
        file["dense_1/dense_1/kernel:0"] = np.zeros((1,) * 20, "f4")
        file["pred_age_stage1/pred_age_stage1/bias:0"] = np.zeros(0, "f4")
    with pytest.raises(ValueError, match=r"conv2d_1/conv2d_1/kernel:0 is \[\], expected"):
        pretrained.load(tmp_path / "x.h5", models.build("ssrnet"))


def write_safetensors(path, header, content):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)


def test_safetensors_of_odd_headers(tmp_path):
    path = tmp_path / "x.safetensors"
    four = {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}
    write_safetensors(path, {"w": four}, bytes(2))
    refused(path, r"types of numbers that are not read: w \(F4\)|damaged safetensors")
    write_safetensors(path, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"")
    refused(path, "damaged safetensors")
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}")
    refused(path, "its header would take 1,099,511,627,776 bytes")
    huge = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}
    write_safetensors(path, {"w": huge}, bytes(4))
    refused(path, "damaged safetensors")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused_unless_allowed(tmp_path, value):
    path = tmp_path / "x.safetensors"
    save_file({"w": np.full(3, value)}, path)
    source = layouts.ArraySource("w", layouts.SAME)
    layout = layouts.WeightLayout("a test", lambda shapes: {("w",): source}, lambda shapes: {})
    tiny = dataclasses.replace(
        models.build("ssrnet"), name="one", init=lambda key: ({"w": jnp.zeros(3)}, {})
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pretrained.LAYOUTS, "one", (layout,))
        with pytest.raises(ValueError, match=r"NaN or infinite in w; .*--allow-nonfinite"):
            pretrained.load(path, tiny)
        got = pretrained.load(path, tiny, allow_nonfinite=True)
    expected = np.full(3, value if abs(value) != 1e300 else np.inf, np.float32)
    np.testing.assert_array_equal(got.params["w"], expected)


def test_mutations_are_one_line_each(tmp_path):
    """Bytes are changed, cut and repeated: what is read is read whole, all else is one line.

    `make soak` has thousands.
    """
    rng = np.random.default_rng(0)
    arrays = {f"layer{i}.weight": rng.normal(size=(3, 4)).astype(np.float32) for i in range(4)}
    save_file(arrays, tmp_path / "a")
    with h5py.File(tmp_path / "b", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    write_zip(tmp_path / "c", rebuilt((2, 2), (2, 1), 4), bytes(16))
    legacy = [pickle.dumps(x, protocol=2) for x in (0x1950A86A20F9469CFC6C, 1001, {})]
    legacy += [rebuilt((2, 2), (2, 1), 4), pickle.dumps(["0"], protocol=2)]
    (tmp_path / "d").write_bytes(b"".join(legacy) + struct.pack("<Q", 4) + bytes(16))
    assert all(len(weight_files.read(tmp_path / name)) for name in "abcd")
    outcomes = set()
    for index in range(24):
        content = bytearray((tmp_path / "abcd"[index % 4]).read_bytes())
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(content)))
            match rng.integers(3):
                case 0:
                    content[place] = int(rng.integers(256))
                case 1:
                    content[place : place + 8] = rng.bytes(8)
                case _:
                    del content[place : place + int(rng.integers(1, 40))]
        (tmp_path / "x").write_bytes(content)
        try:
            found = weight_files.read(tmp_path / "x")
            outcomes.add(all(isinstance(array, np.ndarray) for array in found.values()))
        except ValueError as error:
            outcomes.add("\n" in str(error) and "several lines")
    assert outcomes == {True, False}
