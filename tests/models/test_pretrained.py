"""Loads every layout of foreign weights from a PyTorch module, and tests every refusal."""

import functools
import os
import pickle
import zipfile

import h5py
import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from ldl_jax import heads, models
from ldl_jax.models import pretrained, weight_files


def save(network, path, kind):
    """Writes a module's state dict as one of the kinds of file."""
    import torch

    state = network.state_dict()
    if kind == "safetensors":
        save_file({name: x.numpy() for name, x in state.items()}, path)
    elif kind == "data parallel":
        state = {f"module.{name}": x for name, x in state.items()}
        torch.save({"state_dict": state, "epoch": 3, "arch": "x"}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind != "legacy")


TINY_VIT = {"size": 48, "depth": 2, "width": 24, "heads": 3}
# The network's options, the PyTorch module, the side of the pictures, the file's kind.
CASES = {
    "resnet18": ({}, lambda t: t.ResNet((2, 2, 2, 2)), 33, "safetensors"),
    "resnet34": ({}, lambda t: t.ResNet((3, 4, 6, 3)), 33, "data parallel"),
    "resnet50": ({}, lambda t: t.ResNet((3, 4, 6, 3), True), 33, "legacy"),
    "vgg16": (
        {"size": 64, "hidden": 24},
        lambda t: t.TorchvisionVGG16(4, 24),
        64,
        "zip",
    ),
    "vgg16 of timm": (
        {"size": 64, "hidden": 24},
        lambda t: t.TimmVGG16(2, 24),
        64,
        "safetensors",
    ),
    "vit_b16": (
        TINY_VIT,
        lambda t: t.TorchvisionViT(**TINY_VIT),
        48,
        "zip",
    ),
    "vit_b16 as published": (
        TINY_VIT,
        lambda t: t.TorchvisionViT(**TINY_VIT, names=("linear_1", "linear_2")),
        48,
        "safetensors",
    ),
    "vit_b16 of timm": (TINY_VIT, lambda t: t.TimmViT(**TINY_VIT), 48, "safetensors"),
}


@pytest.fixture(scope="module")
def networks():
    pytest.importorskip("torch")
    import torch_networks

    return torch_networks


@pytest.mark.parametrize("case", CASES)
def test_a_file_makes_the_network_that_wrote_it(case, networks, tmp_path):
    import torch

    options, make, side, kind = CASES[case]
    theirs = networks.shaken(make(networks))
    save(theirs, tmp_path / "weights", kind)
    model = models.build(case.partition(" ")[0], **options)
    found = pretrained.load(tmp_path / "weights", model)
    like = jax.eval_shape(model.init, jax.random.key(0))
    got = (found.params, found.model_state)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), got) == jax.tree.map(
        lambda x: (x.shape, x.dtype), like
    )
    assert found.notices == ()
    images = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype(np.float32)
    features, _ = jax.jit(functools.partial(model.apply, train=False))(*got, images)
    logits = heads.dense(logits=10).apply(found.head, features)["logits"]
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    scale = np.abs(expected).max()
    assert scale > 0.1
    np.testing.assert_allclose(logits / scale, expected / scale, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["legacy", "zip"])
def test_the_port_s_ssr_net(kind, networks, tmp_path):
    import torch

    theirs = networks.shaken(networks.SSRNet())
    save(theirs, tmp_path / "port.pth", kind)
    model, head = models.build("ssrnet", form="pytorch"), heads.stagewise((3, 3, 3))
    shapes = jax.eval_shape(lambda key: head.init(key, model.width), jax.random.key(0))
    found = pretrained.load(tmp_path / "port.pth", model, shapes, strict=True)
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    infer = jax.jit(functools.partial(model.apply, train=False))
    features, _ = infer(found.params, found.model_state, images)
    outputs = head.apply(found.head, features)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images).permute(0, 3, 1, 2))
    assert outputs.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_allclose(outputs[name], x.numpy(), rtol=1e-3, atol=1e-3)
    # Without a head to compare with, the file's own is taken.
    again = pretrained.load(tmp_path / "port.pth", model)
    jax.tree.map(np.testing.assert_array_equal, again.head, found.head)
    with pytest.raises(ValueError, match=r"x_dense|prediction_block.*expected \[3, 160\]"):
        pretrained.load(tmp_path / "port.pth", models.build("ssrnet"))


@pytest.fixture(scope="module")
def vit():
    return models.build("vit_b16", **TINY_VIT)


@pytest.fixture
def timm_vit(vit, tmp_path):
    """A writer of a timm file of random arrays, with changes: `write(name=array or None)`."""
    from ldl_jax.models import layouts

    layout = layouts.VIT[0]
    shapes = {}
    for tree in jax.eval_shape(vit.init, jax.random.key(0)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            shapes[tuple(part.key for part in path)] = leaf.shape
    rng = np.random.default_rng(0)
    arrays = {
        source.name: rng.normal(size=source.conversion.shape(shapes[path])).astype(np.float32)
        for path, source in layout.backbone(shapes).items()
    }
    arrays |= {"head.weight": np.ones((10, 24), np.float32), "head.bias": np.ones(10, np.float32)}

    def write(changes):
        kept = {n: x for n, x in (arrays | changes).items() if x is not None}
        save_file(kept, tmp_path / "vit.safetensors")
        return tmp_path / "vit.safetensors"

    return write


def test_all_that_is_wrong_with_a_file_is_listed(vit, timm_vit):
    path = timm_vit(
        {
            "norm.weight": None,
            "blocks.1.attn.qkv.bias": None,
            "blocks.0.mlp.fc1.weight": np.ones((24, 96), np.float32),
            "pos_embed": np.ones((1, 198, 24), np.float32),
            "fc_norm.weight": np.ones(24, np.float32),
        }
    )
    with pytest.raises(ValueError, match="vit_b16 as in timm's ViT") as failed:
        pretrained.load(path, vit)
    message = str(failed.value)
    for words in (
        "missing norm.weight",
        "missing blocks.1.attn.qkv.bias",
        "blocks.0.mlp.fc1.weight is [24, 96], expected [96, 24]",
        "pos_embed is [1, 198, 24], expected [1, 10, 24]",
        "left over fc_norm.weight [24]",
    ):
        assert words in message
    assert message.count(";") == 4


def head_shapes(model, **units):
    head = heads.dense(**units)
    return jax.eval_shape(lambda key: head.init(key, model.width), jax.random.key(0))


def test_a_head_of_the_file_s_size_is_taken_and_another_starts_anew(vit, timm_vit):
    path = timm_vit({})
    fits = pretrained.load(path, vit, head_shapes(vit, logits=10), strict=True)
    np.testing.assert_array_equal(fits.head["logits"]["kernel"], np.ones((24, 10)))
    assert fits.notices == ()

    other = pretrained.load(path, vit, head_shapes(vit, logits=101))
    assert other.head == {}
    assert other.notices == (
        "head: logits starts anew, since head.weight is [10, 24], expected [101, 24] and "
        "head.bias is [10], expected [101]",
    )
    with pytest.raises(ValueError, match=r"logits starts anew.*\[101, 24\]"):
        pretrained.load(path, vit, head_shapes(vit, logits=101), strict=True)

    more = pretrained.load(path, vit, head_shapes(vit, logits=10, score=None))
    assert set(more.head) == {"logits"}
    assert more.notices == ("head: the file has none for score, it starts anew",)
    with pytest.raises(ValueError, match="none for score"):
        pretrained.load(path, vit, head_shapes(vit, logits=10, score=None), strict=True)


def test_a_file_without_a_head(vit, timm_vit):
    path = timm_vit({"head.weight": None, "head.bias": None})
    found = pretrained.load(path, vit)
    assert found.head == {}
    assert found.notices == ("head: the file has none for logits",)
    with pytest.raises(ValueError, match="none for logits"):
        pretrained.load(path, vit, strict=True)


def test_a_network_without_foreign_weights_lists_those_with(tmp_path):
    with pytest.raises(ValueError, match=r"model\.name.*'tinyagenet'.*ssrnet.*resnet50.*vit_b16"):
        pretrained.load(tmp_path / "x.pth", models.build("tinyagenet"))
    assert set(pretrained.LAYOUTS) <= set(models.MODELS)


# The authors' layers and ours: of the streams' convolutions, and of the stages.
KERAS = {
    **{f"conv2d_{i}": f"x_conv{i}" for i in range(1, 5)},
    **{f"conv2d_{i + 4}": f"s_conv{i}" for i in range(1, 5)},
    **{f"batch_normalization_{i}": f"x_norm{i}" for i in range(1, 5)},
    **{f"batch_normalization_{i + 4}": f"s_norm{i}" for i in range(1, 5)},
    **{"conv2d_9": "s_reduce1", "conv2d_11": "s_reduce2", "conv2d_13": "s_reduce3"},
    **{"conv2d_10": "x_reduce1", "conv2d_12": "x_reduce2", "conv2d_14": "x_reduce3"},
    **{"dense_1": "s_dense1", "dense_2": "x_dense1", "dense_3": "mix1"},
    **{"dense_4": "s_dense2", "dense_5": "x_dense2", "dense_6": "mix2"},
    **{"dense_7": "s_dense3", "dense_8": "x_dense3", "dense_9": "mix3"},
    **{f"pred_age_stage{k}": f"probs{k}" for k in (1, 2, 3)},
    **{f"local_delta_stage{k}": f"offsets{k}" for k in (1, 2, 3)},
    **{f"delta_s{k}": f"range{k}" for k in (1, 2, 3)},
}
MOMENTS = {
    "scale": "gamma",
    "bias": "beta",
    "mean": "moving_mean",
    "var": "moving_variance",
}


def test_every_array_of_the_authors_files_has_its_place(tmp_path):
    model, head = models.build("ssrnet"), heads.stagewise((3, 3, 3))
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    top = jax.eval_shape(lambda key: head.init(key, model.width), jax.random.key(0))
    rng = np.random.default_rng(0)
    draw = lambda like: rng.normal(size=like.shape).astype(np.float32)  # noqa: E731
    params, state, top = (jax.tree.map(draw, tree) for tree in (params, state, top))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for theirs, ours in KERAS.items():
            if "norm" in ours:
                arrays = params[ours]["norm"] | state[ours]["norm"]
                arrays = {MOMENTS[name]: x for name, x in arrays.items()}
            else:
                arrays = params[ours] if ours in params else top[ours]
            for name, x in arrays.items():
                file[f"{theirs}/{theirs}/{name}:0"] = x
    found = pretrained.load(tmp_path / "x.h5", model, top, strict=True)
    got = (found.params, found.model_state, found.head)
    jax.tree.map(np.testing.assert_array_equal, got, (params, state, top))


def test_keras_files_are_read_by_their_own_names(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["conv2d_1/conv2d_1/kernel:0"] = np.ones((3, 3, 3, 32), np.float32)
        file["other/other/kernel:0"] = np.ones(2, np.float32)
    assert weight_files.read(tmp_path / "x.h5").keys() == {
        "conv2d_1/conv2d_1/kernel:0",
        "other/other/kernel:0",
    }
    with pytest.raises(ValueError, match=r"missing dense_9/dense_9/bias:0") as failed:
        pretrained.load(tmp_path / "x.h5", models.build("ssrnet"))
    assert "left over other/other/kernel:0 [2]" in str(failed.value)
    assert "conv2d_1/conv2d_1/kernel:0" not in str(failed.value)


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_tensors_of_every_kind_are_read(kind, tmp_path):
    torch = pytest.importorskip("torch")
    shared = torch.arange(12.0)
    state = {
        "turned": shared.reshape(3, 4).t(),
        "cut": shared[2:9:3],
        "one": torch.tensor(3),
        "none": torch.zeros(0, 3),
        "half": torch.arange(4).to(torch.bfloat16),
        "double": torch.arange(3, dtype=torch.float64),
        "learnt": torch.nn.Parameter(torch.ones(2, 2)),
    }
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=kind == "zip")
    found = weight_files.read(tmp_path / "x.pth")
    assert found.keys() == state.keys()
    for name, x in state.items():
        assert found[name].shape == tuple(x.shape)
        np.testing.assert_array_equal(found[name].astype(float), x.detach().double().numpy())
    assert found["half"].dtype.name == "bfloat16"


def write_zip(path, tree, storage=b""):
    """The archive of torch.save, of a pickle that need not be torch's."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tree)
        archive.writestr("archive/data/0", storage)


class Called:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("kind", ["zip", "legacy", "in the place of the magic number"])
@pytest.mark.parametrize("function", [os.system, exec, getattr, open])
def test_a_malicious_pickle_is_refused_and_not_run(kind, function, tmp_path):
    evidence = tmp_path / "evidence"
    arguments = {
        os.system: (f"touch {evidence}",),
        exec: (f"open({str(evidence)!r}, 'w')",),
        getattr: (os, "system"),
        open: (str(evidence), "w"),
    }[function]
    path = tmp_path / "x.pth"
    # The module `os` itself cannot be pickled; a name in it serves as well.
    if function is getattr:
        arguments = (os.getcwd, "__globals__")
    bad = pickle.dumps({"weight": Called(function, *arguments)}, protocol=2)
    if kind == "zip":
        write_zip(path, bad)
    elif kind == "legacy":
        start = [pickle.dumps(x, protocol=2) for x in (0x1950A86A20F9469CFC6C, 1001, {})]
        path.write_bytes(b"".join([*start, bad]))
    else:
        path.write_bytes(bad)
    with pytest.raises(ValueError, match=r"refused to load .*only tensors are read"):
        weight_files.read(path)
    assert not evidence.exists()


def rebuilt(shape, strides, offset=0, numel=4):
    """The pickle of a state dict of one tensor, of a storage of so many float32."""
    tuples = b"".join(
        b"(" + b"".join(b"I%d\n" % n for n in numbers) + b"t" for numbers in (shape, strides)
    )
    return (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        b"I%d\ntQI%d\n" % (numel, offset) + tuples + b"\x89NtRs."
    )


def test_a_tensor_cannot_reach_beyond_its_storage(tmp_path):
    path = tmp_path / "x.pth"
    four = np.arange(4, dtype=np.float32).tobytes()
    write_zip(path, rebuilt((2, 2), (2, 1)), four)
    np.testing.assert_array_equal(weight_files.read(path)["w"], [[0, 1], [2, 3]])
    for shape, strides, offset in (
        ((5,), (1,), 0),
        ((2, 2), (4, 1), 0),
        ((2,), (1,), 3),
        ((2,), (-1,), 1),
        ((2,), (1,), -1),
        ((2, 2), (1,), 0),
        ((10**12, 10**12), (1, 1), 0),
    ):
        write_zip(path, rebuilt(shape, strides, offset), four)
        with pytest.raises(ValueError, match="a tensor of shape"):
            weight_files.read(path)


def test_files_that_are_no_weights(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(ValueError, match="no weight file at"):
        weight_files.read(path)
    path.write_bytes(b"not a weight file at all")
    with pytest.raises(ValueError, match="neither HDF5"):
        weight_files.read(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ValueError, match="damaged HDF5"):
        weight_files.read(path)
    path.write_bytes(b"\x10" + bytes(7) + b'{"a": 1}        ')
    with pytest.raises(ValueError, match="damaged safetensors"):
        weight_files.read(path)
    path.write_bytes(b"\x80\x02]q\x00(K")
    with pytest.raises(ValueError, match="not a PyTorch file that can be read"):
        weight_files.read(path)
    path.write_bytes(pickle.dumps(17, protocol=2))
    with pytest.raises(ValueError, match=r"expected a file of torch\.save"):
        weight_files.read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"expected one data\.pkl"):
        weight_files.read(path)
    for tree, words in (
        ([1, 2], "expected a state dict"),
        ({"a": 1}, "expected a state dict of tensors"),
    ):
        write_zip(path, pickle.dumps(tree, protocol=2))
        with pytest.raises(ValueError, match=words):
            weight_files.read(path)


def drawn(name, layout, path, changes=None, **options):
    """A network, and a file of drawn arrays in one of its layouts, with changes."""
    model = models.build(name, **options)
    shapes = shapes_of(model)
    rng = np.random.default_rng(0)
    arrays = {
        source.name: rng.normal(size=source.conversion.shape(shapes[route])).astype(np.float32)
        for route, source in layout.backbone(shapes).items()
    }
    arrays = {n: x for n, x in (arrays | (changes or {})).items() if x is not None}
    save_file(arrays, path)
    return model, arrays


def shapes_of(model):
    shapes = {}
    for tree in jax.eval_shape(model.init, jax.random.key(0)):
        for route, leaf in jax.tree_util.tree_leaves_with_path(tree):
            shapes[tuple(part.key for part in route)] = leaf.shape
    return shapes


def test_positions_of_another_size_are_interpolated(vit, timm_vit):
    def positions(side, *, ramp):
        rows = np.broadcast_to(np.linspace(-1, 1, side) * ramp + 2, (24, side, side)).T
        whole = np.concatenate([np.full((1, 1, 24), 7), rows.reshape(1, -1, 24)], axis=1)
        return whole.astype(np.float32)

    same = positions(3, ramp=1)
    found = pretrained.load(timm_vit({"pos_embed": same}), vit)
    np.testing.assert_array_equal(found.params["positions"], same)
    for side in (2, 9):
        found = pretrained.load(timm_vit({"pos_embed": positions(side, ramp=0)}), vit)
        np.testing.assert_allclose(found.params["positions"], positions(3, ramp=0), rtol=1e-5)
    got = pretrained.load(timm_vit({"pos_embed": positions(9, ramp=1)}), vit).params["positions"]
    np.testing.assert_array_equal(got[0, 0], 7)
    square = got[0, 1:].reshape(3, 3, 24)
    np.testing.assert_allclose(square[1], 2, atol=1e-5)  # the middle keeps its place
    assert (square[0] < 1.6).all()
    assert (square[2] > 2.4).all()
    for bad in ((1, 11, 24), (2, 10, 24), (1, 1, 24), (1, 10, 23)):
        with pytest.raises(ValueError, match=r"pos_embed is .*expected \[1, 10, 24\]"):
            pretrained.load(timm_vit({"pos_embed": np.ones(bad, np.float32)}), vit)


def test_the_other_tower_of_clip_is_left(tmp_path):
    layout = pretrained.LAYOUTS["farl_b16"][0]
    path = tmp_path / "farl.safetensors"
    text = {"ln_final.weight": np.ones(3), "visual.proj": np.ones((24, 8))}
    model, arrays = drawn("farl_b16", layout, path, text, **TINY_VIT)
    found = pretrained.load(path, model)
    token = arrays["visual.class_embedding"].reshape(1, 1, 24)
    np.testing.assert_array_equal(found.params["cls_token"], token)
    np.testing.assert_array_equal(
        found.params["positions"], arrays["visual.positional_embedding"][None]
    )
    assert found.inputs.mean[0] == pytest.approx(255 * 0.48145466)
    assert (found.head, found.notices) == ({}, ())
    drawn("farl_b16", layout, path, {"visual.ln_pre.bias": None}, **TINY_VIT)
    with pytest.raises(ValueError, match=r"FaRL's visual tower: missing visual\.ln_pre\.bias$"):
        pretrained.load(path, model)


def test_dinov3_has_no_bias_of_keys(tmp_path):
    timm, own = pretrained.LAYOUTS["dinov3_s16"]
    path = tmp_path / "v3.safetensors"
    names = [f"blocks.{i}.attn.qkv.bias" for i in range(2)]
    model, _ = drawn("dinov3_s16", timm, path, dict.fromkeys(names), **TINY_VIT)
    found = pretrained.load(path, model)
    np.testing.assert_array_equal(found.params["block2"]["qkv"]["bias"], np.zeros(72))
    model, arrays = drawn("dinov3_s16", own, path, {"mask_token": np.ones((1, 24))}, **TINY_VIT)
    bias = arrays[names[1]].copy()
    bias[24:48] = 0
    found = pretrained.load(path, model)
    np.testing.assert_array_equal(found.params["block2"]["qkv"]["bias"], bias)
    np.testing.assert_array_equal(found.params["registers"], arrays["storage_tokens"])


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("mobilenet_v3_small", ("features.1.block.1.fc1.weight", "classifier.0.weight")),
        ("efficientnet_b0", ("features.4.2.block.3.1.running_var", "features.8.0.weight")),
        ("convnext_tiny", ("features.5.8.layer_scale", "features.6.1.weight")),
        ("dinov2_s14", ("blocks.11.ls2.gamma", "patch_embed.proj.bias")),
    ],
)
def test_layouts_have_the_names_of_torchvision_and_the_authors(name, names):
    shapes = shapes_of(models.build(name))
    sources = pretrained.LAYOUTS[name][0].backbone(shapes)
    found = [source.name for source in sources.values()]
    assert len(set(found)) == len(found) == len(shapes)
    assert set(names) <= set(found)
