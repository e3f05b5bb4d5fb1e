"""A model file that is damaged, foreign, newer or hostile is refused in one line."""

import json
import struct

import jax
import numpy as np
import pytest
import safetensors.numpy

import ldl_jax
from ldl_jax import methods
from ldl_jax.labels import AGE
from ldl_jax.predict.one_file import Notes
from ldl_jax.train import model_file, transfer

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture
def content(make_record, draw_weights, tiny_model):
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE), seed=3)
    return model_file.dumps(make_record(), weights, Notes("card", "licence", ("data",)))


def split(content):
    """The header of a file, and the bytes of its arrays."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header, arrays):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + arrays


def with_metadata(content, **texts):
    """A file with other texts, and with its check sum anew, as its author could make it."""
    header, arrays = split(content)
    texts = header["__metadata__"] | texts
    if "record" in texts and "sha256" in texts:
        stored = safetensors.numpy.load(content)
        texts["sha256"] = model_file.digest(texts["record"] or "", stored)
    kept = {name: text for name, text in texts.items() if text is not None}
    return joined(header | {"__metadata__": kept}, arrays)


def with_record(content, **fields):
    record = json.loads(split(content)[0]["__metadata__"]["record"])
    return with_metadata(content, record=json.dumps(record | fields))


def refused(tmp_path, content):
    """The line that refuses a file, which is the same for `init.path`."""
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.safetensors") as failed:
        ldl_jax.load(path)
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 1000
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    return str(failed.value)


def outcome(path):
    """The line that refuses a file, or "" where it answers: a change may be of the card alone."""
    try:
        ldl_jax.load(path)
    except ValueError as error:
        return str(error)
    return ""


def test_a_file_that_is_cut_off(tmp_path, content):
    for share in np.linspace(0, 1, 30, endpoint=False):
        refused(tmp_path, content[: int(share * len(content))])
    refused(tmp_path, content + b"\0")


def test_a_header_with_changed_bytes_is_refused_or_harmless(tmp_path, content):
    rng, seen = np.random.default_rng(0), set()
    length = int.from_bytes(content[:8], "little")
    for _ in range(100):
        changed = bytearray(content)
        for place in rng.integers(0, length + 8, rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        path = tmp_path / "m.safetensors"
        path.write_bytes(changed)
        line = outcome(path)
        assert "\n" not in line
        seen.add(line.partition("m.safetensors")[2][:30])
    assert len(seen) > 3


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("2", "is a model file of version 2, and this release reads up to 1"),
        ("999999999", "version 999999999"),
        ("0", "version 0"),
        ("-1", "its version: expected a number, got '-1'"),
        ("1.0", "expected a number"),
        ("٣", "expected a number"),
        ("9" * 5000, "expected a number"),
        ("", "expected a number, got ''"),
        (None, "expected a number, got ''"),
    ],
)
def test_another_version(tmp_path, content, version, words):
    assert words in refused(tmp_path, with_metadata(content, version=version))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (None, "its record: expected an object, got None"),
        ("[1]", "its record: expected an object"),
        ("{", "its record: is not JSON"),
        ("[" * 100_000, "its record: is not JSON"),
        ('{"version": NaN}', "its record: is not JSON (NaN is no number)"),
        ("{}", "model is missing"),
        ('{"version": 99}', "its record has version 99"),
        ('{"version": ' + "9" * 5000 + "}", "its record: is not JSON"),
    ],
)
def test_metadata_that_are_no_record(tmp_path, content, record, words):
    assert words in refused(tmp_path, with_metadata(content, record=record))


@pytest.mark.parametrize("notes", ["[]", "3", '{"data": 3}', '{"licence": 3}', "{", "null"])
def test_metadata_that_are_no_notes(tmp_path, content, notes):
    refused(tmp_path, with_metadata(content, notes=notes))


INPUTS = {"stored_size": 32, "size": 32, "mean": [1.0] * 3, "std": [1.0] * 3, "crop": 1.0}
INPUTS |= {"channels": "rgb", "square": False}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": {"name": "nothing"}}, "unknown network 'nothing'"),
        ({"model": {"name": "tiny", "x": 1}}, "has no such option"),
        ({"model": {"name": "densenet", "depth": 3 * 10**9 + 1}}, "model.depth"),
        ({"model": {"name": "vit_b16", "depth": 10**9}}, "model.depth"),
        ({"model": {"name": "vit_b16", "size": 2**40}}, "model.size"),
        ({"model": {"name": "efficientnet_b0", "depth": 1e9}}, "model.depth"),
        ({"model": {"name": "ssrnet", "stages": [1] * 100_000}}, "model.stages"),
        ({"method": {"name": "ssr", "stages": [1] * 100_000}}, "method.stages"),
        ({"method": {"name": "dldl", "space": 1}}, "its record's model or method"),
        ({"hidden": [1] * 100_000}, "model.hidden"),
        ({"hidden": [10**30]}, "model.hidden"),
        ({"preprocessing": INPUTS | {"size": 10**9}}, "size, stored_size"),
        ({"preprocessing": INPUTS | {"size": 0}}, "size, stored_size"),
        ({"preprocessing": INPUTS | {"crop": 0.0}}, "crop"),
        ({"preprocessing": INPUTS | {"std": [0.0] * 3}}, "std above 0"),
        ({"preprocessing": INPUTS | {"crop": 10**400}}, "crop: expected float"),
        ({"space": {"values": [1.0], "unit": "years", "bounds": []}}, "at least 2 values"),
    ],
)
def test_a_record_that_asks_for_what_is_not_or_for_too_much(tmp_path, content, fields, words):
    assert words in refused(tmp_path, with_record(content, **fields))


def test_shapes_that_the_file_has_no_bytes_for(tmp_path, content):
    header, arrays = split(content)
    for shape in ([2**40], [2**31, 2**31], [2**62, 4], [0], [-1], []):
        changed = json.loads(json.dumps(header))
        changed["head.logits.bias"]["shape"] = shape
        refused(tmp_path, joined(changed, arrays))
    header["more"] = {"dtype": "F32", "shape": [2**50], "data_offsets": [0, 2**52]}
    refused(tmp_path, joined(header, arrays))


def rewritten(content, change):
    header, _ = split(content)
    arrays = safetensors.numpy.load(content)
    change(arrays)
    return with_metadata(safetensors.numpy.save(arrays, header["__metadata__"]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("head.logits.bias"), "missing"),
        (lambda a: a.update({"head.more": np.ones(2, "f4")}), "left over"),
        (lambda a: a.update({"other.more": np.ones(2, "f4")}), "other.more is of no part"),
        (lambda a: a.update({"backbone": np.ones(2, "f4")}), "a part of its name"),
        (lambda a: a.update({"head.logits.bias.x": np.ones(2, "f4")}), "m.safetensors"),
        (lambda a: a.update({"head.logits": np.ones(2, "f4")}), "m.safetensors"),
        (lambda a: a.update({"head.logits.bias": np.ones(3, "f4")}), "is [3], expected [101]"),
        (lambda a: a.update({"head.logits.bias": np.ones(101, "f8")}), "is float64, expected"),
        (lambda a: a.update({"head.logits.bias": np.ones(101, "i4")}), "m.safetensors"),
        (lambda a: a["head.logits.bias"].fill(np.nan), "NaN or infinite in"),
        (lambda a: a["backbone.dense.kernel"].fill(np.inf), "NaN or infinite in"),
    ],
)
def test_arrays_that_are_not_the_model_s(tmp_path, content, change, words):
    assert words in refused(tmp_path, rewritten(content, change))


def test_weights_that_are_not_finite_are_taken_where_that_is_asked_for(tmp_path, content):
    path = tmp_path / "m.safetensors"
    path.write_bytes(rewritten(content, lambda a: a["head.logits.bias"].fill(np.nan)))
    assert ldl_jax.load(path, allow_nonfinite=True).space == AGE


def test_other_safetensors_are_as_foreign_as_before(tmp_path, content):
    arrays = safetensors.numpy.load(content)
    for metadata in (None, {"format": "pt"}, {"record": "{}"}):
        assert "neither a whole age model" in refused(
            tmp_path, safetensors.numpy.save(arrays, metadata)
        )
    assert "its version" in refused(tmp_path, safetensors.numpy.save(arrays, {"format": "ldl_jax"}))


def test_as_a_backbone_it_is_refused_in_a_line_too(tmp_path, content, tiny_model):
    path, key = tmp_path / "m.safetensors", jax.random.key(0)
    for changed in (
        with_metadata(content, version="2"),
        with_metadata(content, record="{}"),
        rewritten(content, lambda a: a.pop("backbone.dense.kernel")),
        rewritten(content, lambda a: a["backbone.dense.kernel"].fill(np.nan)),
        content[:-5],
    ):
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"m\.safetensors") as failed:
            transfer.read_backbone(path, tiny_model, key)
        assert "\n" not in str(failed.value)


def test_a_changed_number_is_seen(tmp_path, content):
    for place in (-3, -2000):
        changed = bytearray(content)
        changed[place] ^= 1
        assert "is damaged: its record or arrays" in refused(tmp_path, changed)
    texts = split(content)[0]["__metadata__"]
    for name, old, new in (("record", '"flip": false', '"flip": true'), ("sha256", "1", "2")):
        header, arrays = split(content)
        assert old in texts[name]
        header["__metadata__"] = texts | {name: texts[name].replace(old, new, 1)}
        assert "is damaged" in refused(tmp_path, joined(header, arrays))


def test_a_card_may_be_written_anew(tmp_path, content):
    (tmp_path / "m").write_bytes(with_metadata(content, card="another"))
    assert ldl_jax.load(tmp_path / "m").notes.card == "another"
