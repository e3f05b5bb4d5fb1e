"""Tests the reader of TensorFlow.js models, and HSE-FaceRes that comes in one."""

import copy
import functools
import json

import jax
import numpy as np
import pytest
import tfjs_drawn

import ldl_jax
from ldl_jax import models
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import LabelSpace
from ldl_jax.models import pretrained, weight_files

MEANS = (103.939, 116.779, 123.68)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A FaceRes file of drawn numbers in three shards, and its arrays."""
    arrays = tfjs_drawn.faceres_arrays()
    path = tmp_path_factory.mktemp("faceres") / "model.json"
    shards = ("a.bin", "b.bin", "c.bin")
    return tfjs_drawn.write(path, arrays, shards, tfjs_drawn.faceres_nodes()), arrays


def test_every_kind_of_number_is_read(tmp_path):
    rng = np.random.default_rng(0)
    plain = {
        "float": rng.normal(size=(3, 4)).astype(np.float32),
        "whole": np.array([-7, 2**30], np.int32),
        "byte": np.array([[0, 255]], np.uint8),
        "flag": np.array([True, False]),
        "one": np.array(2.5, np.float32),
        "none": np.zeros((0, 3), np.float32),
    }
    bytes_, words = np.array([0, 7, 255], np.uint8), np.array([0, 65535], np.uint16)
    halves = np.array([0.5, -2.25], np.float16)
    quantised = {
        "by byte": (bytes_, {"dtype": "uint8", "scale": 0.01, "min": -1.5}),
        "by word": (words, {"dtype": "uint16", "scale": 1e-4, "min": 2}),
        "by half": (halves, {"dtype": "float16"}),
        "whole by byte": (bytes_, {"dtype": "uint8", "scale": 0.3, "min": -5.0}),
    }
    expected = plain | {
        "by byte": (bytes_ * 0.01 - 1.5).astype(np.float32),
        "by word": (words * 1e-4 + 2).astype(np.float32),
        "by half": halves.astype(np.float32),
        "whole by byte": np.round(bytes_ * 0.3 - 5).astype(np.int32),
    }
    path = tfjs_drawn.write(
        tmp_path / "m.json", expected, ("1.bin", "2.bin", "3.bin"), quantised=quantised
    )
    found = weight_files.read(path)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    # The manifest alone, as some ship it, is read as well.
    manifest = json.loads(path.read_text())["weightsManifest"]
    path.write_text("\n" + json.dumps(manifest, indent=2))
    np.testing.assert_array_equal(weight_files.read(path)["float"], plain["float"])


GOOD = {"name": "w", "shape": [2, 3], "dtype": "float32"}
FAULTS = {
    "no manifest": ({"modelTopology": {}}, 'has no "weightsManifest"'),
    "a string": (GOOD | {"dtype": "string"}, "w: dtype: 'string' is not read"),
    "a side below 0": (GOOD | {"shape": [-2, 3]}, r"w: shape: \[-2, 3\], expected"),
    "no shape": ({"name": "w", "dtype": "float32"}, "w: shape: None"),
    "no name": ({"shape": [1]}, "an array without a name"),
    "a huge array": (GOOD | {"shape": [2**38, 2**38]}, "x.bin is cut off: 24 bytes, and its"),
    "an array cut off": (GOOD | {"shape": [7]}, "x.bin is cut off: 24 bytes.* take 28"),
    "left over bytes": (GOOD | {"shape": [5]}, "x.bin is too long: 24 bytes.* take 20"),
    "half a number": (GOOD | {"dtype": "float16"}, "x.bin is too long"),
    "another quantisation": (GOOD | {"quantization": {"dtype": "int4"}}, "quantization: 'int4'"),
    "no scale": (
        GOOD | {"shape": [24], "quantization": {"dtype": "uint8", "min": 0}},
        "expected a scale and a min, got None, 0",
    ),
    "an infinite scale": (
        GOOD | {"quantization": {"dtype": "uint8", "min": 0, "scale": float("inf")}},
        "got inf, 0",
    ),
    "a file elsewhere": (["../x.bin"], r"'\.\./x\.bin' does not lie beside it"),
    "a file from the root": (["/dev/zero"], "'/dev/zero' does not lie beside it"),
    "no file": (["y.bin"], "y.bin, which it names, is not beside it"),
    "a folder": (["."], "., which it names, is not beside it"),
    "a file twice": (["x.bin", "x.bin"], "x.bin is named twice"),
    "names that are none": ([{"a": 1}], "which it names, is not beside it"),
    "weights that are none": ({"weightsManifest": [{"weights": {}}]}, '"weights" is {}'),
    "an empty manifest": ({"weightsManifest": []}, "its manifest has no arrays"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_manifest_that_cannot_be_used_is_one_line(case, tmp_path):
    (tmp_path / "x.bin").write_bytes(bytes(24))
    change, words = FAULTS[case]
    content = {"weightsManifest": [{"paths": ["x.bin"], "weights": [GOOD]}]}
    if isinstance(change, list):
        content["weightsManifest"][0]["paths"] = change
    elif "dtype" in change or "shape" in change:
        content["weightsManifest"][0]["weights"] = [change]
    else:
        content = change
    path = tmp_path / "m.json"
    path.write_text(json.dumps(content))
    for read in (weight_files.read, ldl_jax.load):
        with pytest.raises(ValueError, match=words) as failed:
            read(path)
        assert "\n" not in str(failed.value)
        assert str(path) in str(failed.value)


def test_json_that_is_none(tmp_path):
    path = tmp_path / "m.json"
    for content, words in (
        (b'{"weightsManifest": [', "is no JSON"),
        (b"[" * 200_000, "damaged TensorFlow.js model|is no JSON"),
        (b'{"a": "' + b"x" * 17 * 2**20 + b'"}', "its JSON would take 17,825,801 bytes"),
        (b'{"modelTopology": {"node": [{"op": 3}]}, "weightsManifest": [1]}', "weightsManifest"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=words) as failed:
            weight_files.read(path)
        assert len(str(failed.value)) < 500


def test_a_file_becomes_the_backbone_and_an_age_model(drawn):
    path, arrays = drawn
    predictor = ldl_jax.load(path)
    assert predictor.space == LabelSpace.range(1, 100)
    assert predictor.preprocessing == Preprocessing(224, 224, MEANS, (1.0,) * 3, channels="bgr")
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    answer = predictor(images)
    assert answer.probs.shape == (2, 100)
    found = {}
    inputs = images[:, 40:104, 40:104, ::-1].astype(np.float32) - np.float32(MEANS)
    for features in ("both", "pooled", "hidden"):
        model = models.build("faceres", features=features)
        loaded = pretrained.load(path, model)
        assert loaded.inputs == pretrained.TrainedInputs("BGR", MEANS, (1.0,) * 3)
        assert model.width == {"both": 1280, "pooled": 1024, "hidden": 256}[features]
        apply = jax.jit(functools.partial(model.apply, train=False))
        found[features] = np.asarray(apply(loaded.params, loaded.model_state, inputs)[0])
    both = np.concatenate([found["pooled"], found["hidden"]], axis=1)
    np.testing.assert_allclose(found["both"], both, rtol=1e-5, atol=1e-6)
    hidden = found["pooled"] @ arrays["feats/kernel"] + arrays["feats/bias"]
    np.testing.assert_allclose(found["hidden"], np.maximum(hidden, 0), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(loaded.head["logits"]["bias"], arrays["age_pred/bias"])


def test_features_of_several_layers(drawn):
    path, _ = drawn
    model, both = (models.build("faceres", features=x) for x in ("layers", "both"))
    loaded = pretrained.load(path, model)
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3)).astype(np.float32) - 110
    found, _ = jax.jit(functools.partial(model.apply, train=False))(*loaded[:2], images)
    weights = jax.tree.map(np.asarray, loaded.params)

    def convolved(x, kernel, bias, stride, groups=1):
        # Keras pads a map whose side is even at the end alone where it is halved.
        side = kernel.shape[0] // 2
        sides = ((0, side),) * 2 if stride == 2 else ((side, side),) * 2
        y = jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            sides,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )
        return np.clip(np.asarray(y) + bias, 0, 6)

    x = convolved(images, *(weights["stem"][key] for key in ("kernel", "bias")), 2)
    means = []
    for layer in range(1, 14):
        deep, point = weights[f"depthwise{layer}"], weights[f"point{layer}"]
        stride = 2 if layer in (2, 4, 6, 12) else 1
        x = convolved(x, deep["kernel"] * deep["scale"], deep["bias"], stride, x.shape[-1])
        x = convolved(x, point["kernel"], point["bias"], 1)
        means += [x.mean(axis=(1, 2))] if layer in (9, 11, 12, 13) else []
    assert model.width == found.shape[1] == 1280 + 512 + 512 + 1024
    wanted = np.concatenate(means[:3], axis=1)
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(found[:, 1280:], wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found[:, :1024], means[3], rtol=1e-3, atol=1e-4)
    shorter, _ = jax.jit(functools.partial(both.apply, train=False))(*loaded[:2], images)
    np.testing.assert_allclose(found[:, :1280], shorter, rtol=1e-5, atol=1e-6)


def test_another_graph_of_the_same_arrays_is_refused(drawn, tmp_path):
    path, arrays = drawn
    nodes = tfjs_drawn.faceres_nodes()
    where = {node["name"]: index for index, node in enumerate(nodes)}

    def changed(name, **fields):
        result = copy.deepcopy(nodes)
        for key, value in fields.items():
            if key in result[where[name]]:
                result[where[name]][key] = value
            else:
                result[where[name]]["attr"][key] = value
        return result

    strides = {"list": {"i": ["1", "1", "1", "1"]}}
    loop = ["age_pred/BiasAdd", "age_pred/kernel"]
    for graph, words in (
        (changed("conv_dw_2/out", strides=strides), r"conv_dw_2/out has strides \(1, 1, 1, 1\)"),
        (changed("conv1/out", padding={"s": "VkFMSUQ="}), "conv1/out has padding VALID, expected"),
        (changed("conv_pw_3/relu", op="Elu"), "conv_pw_3/relu is Elu, expected Relu"),
        (changed("conv_pw_3/added", input=["conv_pw_3/out", "x"]), "does not read conv_pw_3_bn"),
        (changed("age_pred/BiasAdd", input=loop), "graph's age_pred/BiasAdd is _FusedMatMul"),
        (nodes[:-3], "0 operations before its ages"),
        (nodes[:1] + nodes[6:], "graph's conv_dw_1/out is Depth"),
    ):
        content = json.loads(path.read_text())
        content["modelTopology"]["node"] = graph
        other = path.with_name("other.json")
        other.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=words) as failed:
            ldl_jax.load(other)
        assert len(str(failed.value)) < 500
    bound = arrays | {"conv1_relu/Cast": np.array(1, np.float32)}
    other = tfjs_drawn.write(tmp_path / "m.json", bound, nodes=nodes)
    with pytest.raises(ValueError, match="conv1/least is no bound at 6"):
        pretrained.load(other, models.build("faceres"))


def test_a_model_that_is_no_faceres_is_one_line(drawn, tmp_path):
    _, arrays = drawn
    path = tfjs_drawn.write(tmp_path / "m.json", {"dense/kernel": np.ones((3, 4), np.float32)})
    with pytest.raises(ValueError, match=r"is not a faceres as in.*and more$"):
        ldl_jax.load(path)
    other = arrays | {"conv_pw_4/convolution/merged_input": np.ones((1, 1, 2, 2), np.float32)}
    path = tfjs_drawn.write(tmp_path / "n.json", other)
    with pytest.raises(ValueError, match=r"conv_pw_4.* is \[1, 1, 2, 2\], expected \[1, 1, 128, 2"):
        ldl_jax.load(path)
    broken = arrays | {"feats/bias": np.full(256, np.nan, np.float32)}
    path = tfjs_drawn.write(tmp_path / "o.json", broken)
    with pytest.raises(ValueError, match="NaN or infinite in feats/bias"):
        ldl_jax.load(path)


def test_the_authors_own_file_answers_as_in_tensorflow(real_data):
    folder = real_data / "peers"
    if not (folder / "faceres-deep.json").exists():
        pytest.skip("needs the files of HSE-FaceRes")
    golden = np.load(folder / "golden_faceres.npz")
    images = golden["images_rgb_uint8"]
    answer = ldl_jax.load(folder / "faceres-deep.json")(images)
    np.testing.assert_allclose(answer.value, golden["age_expectation"], atol=1e-3)
    np.testing.assert_allclose(answer.probs, golden["age_probs"], atol=1e-5)
    model = models.build("faceres")
    loaded = pretrained.load(folder / "faceres-deep.json", model)
    inputs = images[..., ::-1].astype(np.float32) - np.float32(MEANS)
    apply = jax.jit(functools.partial(model.apply, train=False))
    features, _ = apply(loaded.params, loaded.model_state, inputs)
    for actual, name in ((features[:, :1024], "pooled"), (features[:, 1024:], "features")):
        scale = np.abs(golden[name]).max()
        np.testing.assert_allclose(actual / scale, golden[name] / scale, atol=1e-4)
    # The network takes other sizes: the picture's middle alone.
    small, _ = apply(loaded.params, loaded.model_state, inputs[:, 56:168, 56:168])
    assert small.shape == (16, 1280)
    assert np.isfinite(small).all()
