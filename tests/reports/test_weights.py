"""Weights as people have them: wrapped, in containers, of eight bits, renamed."""

import collections
import io
import pickle
import sys
import types
import zipfile

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import ldl_jax
from ldl_jax import methods, models
from ldl_jax.labels import AGE
from ldl_jax.models import pretrained, weight_files
from ldl_jax.predict import foreign

RNG = np.random.default_rng(0)
ARRAYS = {
    "conv1.weight": RNG.normal(size=(2, 3)).astype(np.float32),
    "fc.bias": RNG.normal(size=3).astype(np.float32),
}


def assert_same(found):
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture
def fake_torch(monkeypatch):
    """The names of PyTorch that a state dict has in its pickle."""
    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils")}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)

    def rebuild(*arguments):
        raise AssertionError("a file is read without PyTorch's own functions")

    storage = type("FloatStorage", (), {"__module__": "torch"})
    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    modules["torch"].FloatStorage = storage
    modules["torch._utils"]._rebuild_tensor_v2 = rebuild
    return storage, rebuild


class _Held:
    """A tensor's storage, which torch.save keeps beside the pickle."""

    def __init__(self, key, array):
        self.key, self.array = key, array


def save_pth(tree, path, fake_torch, protocol=2):
    """Writes what torch.save writes; float32 arrays of a tree become its tensors."""
    storage, rebuild = fake_torch
    held = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, _Held):
                return ("storage", storage, value.key, "cpu", value.array.size)
            return None

        def reducer_override(self, value):
            if not isinstance(value, np.ndarray) or value.dtype != np.float32:
                return NotImplemented
            held.append(_Held(str(len(held)), value))
            strides = tuple(step // 4 for step in value.strides)
            return rebuild, (held[-1], 0, value.shape, strides, False, collections.OrderedDict())

    text = io.BytesIO()
    Pickler(text, protocol).dump(tree)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", text.getvalue())
        archive.writestr("x/byteorder", "little")
        for part in held:
            archive.writestr(f"x/data/{part.key}", part.array.tobytes())


PREFIXES = (
    *("module.", "_orig_mod.", "model.", "net.", "backbone."),
    *("module._orig_mod.", "_orig_mod.module.model.", "state_dict.model.net.backbone."),
)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("kind", ["safetensors", "hdf5", "pth"])
def test_the_prefixes_of_wrappers_are_left_off(tmp_path, prefix, kind, fake_torch):
    content = {f"{prefix}{name}": array for name, array in ARRAYS.items()}
    path = tmp_path / "x"
    if kind == "safetensors":
        save_file(content, path)
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            for name, array in content.items():
                file[name] = array
    else:
        save_pth(content, path, fake_torch)
    assert_same(weight_files.read(path))


def test_a_prefix_before_some_names_only(tmp_path):
    save_file({"backbone.conv1.weight": ARRAYS["conv1.weight"], "fc.bias": ARRAYS["fc.bias"]},
              tmp_path / "x")  # fmt: skip
    assert_same(weight_files.read(tmp_path / "x"))
    save_file({"model.w": np.ones(2), "w": np.ones(2)}, tmp_path / "x")
    with pytest.raises(ValueError, match=r"w and model\.w are both w|model\.w and w are both w"):
        weight_files.read(tmp_path / "x")


def test_a_whole_model_that_keras_saved(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, array in ARRAYS.items():
            file[f"model_weights/{name}"] = array
        file["optimizer_weights/iterations"] = np.int64(3)
    assert_same(weight_files.read(tmp_path / "x.h5"))


CONTAINERS = (
    *(("state_dict",), ("model_state_dict",), ("model",), ("net",)),
    *(("model", "state_dict"), ("net", "model_state_dict")),
)


@pytest.mark.parametrize("containers", CONTAINERS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_containers_with_plain_values_beside_the_weights(
    tmp_path, containers, protocol, fake_torch
):
    plain = {
        "epoch": 3,
        "best": np.float64(5.25),
        "counts": np.arange(3),
        "seed": np.int64(7),
        "classes": {"a", "b"},
        "names": ["a", None, 1.5, True, b"c"],
        "settings": {"lr": 0.1},
    }
    tree = ARRAYS
    for name in containers:
        tree = {name: tree, **plain}
    for content in (tree, ARRAYS | plain):
        save_pth(content, tmp_path / "x.pth", fake_torch, protocol)
        assert_same(weight_files.read(tmp_path / "x.pth"))


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "bfloat16", "float16"])
def test_safetensors_of_small_floats(tmp_path, name):
    array = np.asarray([[0.5, -1.5, 448.0]]).astype(jnp.dtype(name))
    save_file({"w": array, "empty": np.zeros((0, 3), np.float32)}, tmp_path / "x")
    found = weight_files.read(tmp_path / "x")
    assert found["w"].dtype == array.dtype
    np.testing.assert_array_equal(found["w"].astype(float), array.astype(float))
    assert found["empty"].shape == (0, 3)


# Names and shapes in the authors' own files, densenet_reg_19_64.h5 and mobilenet_reg_0.25_64.h5.
DENSE = {
    "densenet/conv2d_1/kernel:0": (3, 3, 3, 24),
    "densenet/conv2d_7/kernel:0": (1, 1, 84, 84),
    "densenet/conv2d_18/kernel:0": (3, 3, 192, 12),
    "densenet/batch_normalization_6/gamma:0": (84,),
    "densenet/batch_normalization_18/moving_variance:0": (204,),
    "dense_1/dense_1/kernel:0": (204, 128),
    "feat_a/feat_a/bias:0": (32,),
}
MOBILE = {
    "mobilenet_0.25_64/conv1/kernel:0": (3, 3, 3, 8),
    "mobilenet_0.25_64/conv1_bn/beta:0": (8,),
    "mobilenet_0.25_64/conv_dw_13/depthwise_kernel:0": (3, 3, 256, 1),
    "mobilenet_0.25_64/conv_dw_13_bn/moving_mean:0": (256,),
    "mobilenet_0.25_64/conv_pw_1/kernel:0": (1, 1, 8, 16),
    "conv2d_1/conv2d_1/kernel:0": (1, 1, 256, 20),
    "feat_a/feat_a/kernel:0": (80, 32),
}


@pytest.mark.parametrize(
    ("options", "theirs", "count"),
    [
        ({"name": "densenet"}, DENSE, 96),
        ({"name": "mobilenet", "form": "keras"}, MOBILE, 141),
    ],
    ids=["densenet", "mobilenet"],
)
def test_the_other_networks_of_ssr_nets_authors(tmp_path, options, theirs, count):
    model = models.build(**options)
    shapes = {}
    for tree in jax.eval_shape(model.init, jax.random.key(0)):
        for path, leaf in jax.tree.leaves_with_path(tree):
            shapes[tuple(entry.key for entry in path)] = leaf.shape
    sources = pretrained.LAYOUTS[model.name][0].backbone(shapes)
    arrays = {}
    for route, source in sources.items():
        values = np.abs(RNG.normal(0, 0.1, source.conversion.shape(shapes[route]))) + 0.01
        arrays[source.name] = values.astype(np.float32)
    arrays["pred_a/pred_a/kernel:0"] = np.zeros((32, 1), np.float32)
    arrays["pred_a/pred_a/bias:0"] = np.full(1, 37.5, np.float32)
    assert len(arrays) == count
    for name, shape in theirs.items():
        assert arrays[name].shape == shape
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    about, weights = foreign.read(tmp_path / "x.h5")
    assert about.model["name"] == model.name
    assert about.method == {"name": "regression_l1"}
    assert (about.preprocessing.channels, about.preprocessing.size) == ("bgr", 64)
    # An age of 37.5 years is a score of 0.375 between 0 and 100.
    np.testing.assert_allclose(weights["params"]["head"]["score"]["bias"], [0.375])


def test_keras_weights_do_not_fit_the_other_form_of_mobilenet(tmp_path):
    save_file({"mobilenet_0.25_64/conv1/kernel:0": np.zeros((3, 3, 3, 8), "f4")}, tmp_path / "x")
    with pytest.raises(ValueError, match="built here with form='keras'"):
        pretrained.load(tmp_path / "x", models.build("mobilenet"))


@pytest.mark.parametrize("where", ["beside", "alone"])
def test_a_checkpoint_that_was_renamed(
    tmp_path, tiny_network, tiny_model, draw_weights, write_checkpoint, where
):
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE))
    stored = write_checkpoint(tmp_path / "c", weights)
    place = stored / "my best model" if where == "beside" else tmp_path / "model"
    (stored / "1").rename(place)
    if where == "alone":
        (stored / "1.sha256").rename(tmp_path / "model.sha256")
    assert ldl_jax.load(place).space == AGE
    if where == "beside":
        assert ldl_jax.load(stored).space == AGE
        content = (place / "about" / "metadata").read_text()
        (place / "about" / "metadata").write_text(content + " ")
        with pytest.raises(ValueError, match=r"its seal my best model\.sha256 is not beside it"):
            ldl_jax.load(place)
