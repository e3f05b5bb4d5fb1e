"""Loads the pre-trained backbones from timm's and torchvision's own modules with random weights."""

import functools
import pathlib
import sys

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from ldl_jax import heads, models
from ldl_jax.models import pretrained

torch = pytest.importorskip("torch")
sys.path.append(str(pathlib.Path(__file__).parents[1] / "models"))
TINY = {"depth": 2, "width": 24, "heads": 3}


def of_timm(name, **options):
    def make():
        timm = pytest.importorskip("timm")
        return timm.create_model(name, **options)

    return make


def of_torchvision(name):
    def make():
        torchvision = pytest.importorskip("torchvision")
        return getattr(torchvision.models, name)(weights=None, num_classes=10)

    return make


def of_clip():
    import torch_networks

    return torch_networks.CLIP(size=48, **TINY)


def as_the_authors(state):
    """DINOv3's own names, with what timm leaves out."""
    renamed = {"reg_token": "storage_tokens"}
    renamed |= {f".gamma_{i}": f".ls{i}.gamma" for i in (1, 2)}
    result = {"mask_token": np.zeros((1, 24)), "rope_embed.periods": np.ones(2)}
    for name, array in state.items():
        for theirs, ours in renamed.items():
            name = name.replace(theirs, ours)
        result[name] = array
        if name.endswith("qkv.weight"):
            start = name.removesuffix("weight")
            # Whatever stands in the masked third is not used.
            result[f"{start}bias"] = np.repeat(np.float32([0, 7, 0]), 24)
            result[f"{start}bias_mask"] = np.repeat(np.float32([1, 0, 1]), 24)
    return result


def same(state):
    return state


SMALL = {"depth": 2, "embed_dim": 24, "num_heads": 3, "num_classes": 0}
DINOV3 = of_timm("vit_small_patch16_dinov3", global_pool="token", **SMALL)
# The network, its options, the module, the side of the pictures, and what becomes of its state.
CASES = {
    "FaRL": ("farl_b16", {"size": 48, **TINY}, of_clip, 48, same),
    "DINOv2": (
        "dinov2_s14",
        {"size": 42, **TINY},
        of_timm("vit_small_patch14_dinov2", img_size=42, **SMALL),
        42,
        lambda state: state | {"mask_token": np.zeros((1, 24))},
    ),
    "DINOv3 of timm": ("dinov3_s16", {"size": 64, **TINY}, DINOV3, 64, same),
    "DINOv3": ("dinov3_b16", {"size": 48, **TINY}, DINOV3, 48, as_the_authors),
    "MobileNetV3-Small": ("mobilenet_v3_small", {}, of_torchvision("mobilenet_v3_small"), 65, same),
    "MobileNetV3-Large": ("mobilenet_v3_large", {}, of_torchvision("mobilenet_v3_large"), 64, same),
    "EfficientNet-B0": ("efficientnet_b0", {}, of_torchvision("efficientnet_b0"), 65, same),
    "ConvNeXt-Tiny": ("convnext_tiny", {}, of_torchvision("convnext_tiny"), 64, same),
    "ConvNeXt-Tiny of timm": (
        "convnext_tiny",
        {"blocks": (1, 1, 2, 1), "width": 8},
        of_timm("convnext_tiny", depths=(1, 1, 2, 1), dims=(8, 16, 32, 64), num_classes=10),
        64,
        same,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_makes_the_network_that_wrote_it(case, tmp_path):
    import torch_networks

    name, options, make, side, changed = CASES[case]
    theirs = torch_networks.shaken(make())
    with torch.no_grad():
        for key, x in theirs.state_dict().items():
            if key.endswith("layer_scale"):
                x.mul_(0.3)
    state = {key: x.numpy() for key, x in theirs.state_dict().items()}
    save_file(changed(state), tmp_path / "weights.safetensors")
    model = models.build(name, **options)
    found = pretrained.load(tmp_path / "weights.safetensors", model)
    images = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype(np.float32)
    infer = jax.jit(functools.partial(model.apply, train=False))
    actual, _ = infer(found.params, found.model_state, images)
    if found.head:
        actual = heads.dense(logits=10).apply(found.head, actual)["logits"]
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    scale = np.abs(expected).max()
    assert scale > 0.1
    assert np.std(expected, axis=0).max() > 1e-3 * scale  # the pictures make a difference
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=1e-3, atol=2e-4)


def test_positions_are_interpolated_as_timm_does_it(tmp_path):
    timm = pytest.importorskip("timm")
    import torch_networks

    make = functools.partial(timm.create_model, "vit_small_patch14_dinov2", **SMALL)
    theirs = torch_networks.shaken(make(img_size=70))
    state = {key: x.numpy() for key, x in theirs.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    for size in (42, 98):
        found = pretrained.load(
            tmp_path / "weights.safetensors", models.build("dinov2_s14", size=size, **TINY)
        )
        wanted = size // 14
        expected = timm.layers.resample_abs_pos_embed(
            torch.from_numpy(state["pos_embed"]), [wanted, wanted]
        ).numpy()
        np.testing.assert_allclose(found.params["positions"], expected, atol=1e-5)
