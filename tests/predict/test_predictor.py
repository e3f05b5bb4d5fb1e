"""What was stored with weights is what is done to pictures; others' files answer as they did."""

import dataclasses
import json

import h5py
import jax
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

import ldl_jax
from ldl_jax import decoders, methods, models
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing, prepare
from ldl_jax.labels import ADIENCE, AGE
from ldl_jax.models import pretrained
from ldl_jax.predict import foreign
from ldl_jax.train import record
from ldl_jax.train.step import make_predict_step

pytestmark = pytest.mark.usefixtures("tiny_network")
DLDL = methods.get("dldl", space=AGE)


@pytest.fixture
def weights(tiny_model, draw_weights):
    return draw_weights(tiny_model, DLDL, seed=3)


def draw_images(count=3, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def expected(model, weights, images, preprocessing):
    predict = make_predict_step(model, DLDL, flip=False)
    return jax.jit(lambda w, x: predict(w, prepare(x, preprocessing)))(weights, images)


def test_every_field_of_the_preprocessing_is_applied(
    tmp_path, weights, tiny_model, write_checkpoint
):
    stored = Preprocessing(40, 32, (1.0, 2.0, 3.0), (50.0, 60.0, 70.0), 0.5, "bgr", square=True)
    write_checkpoint(tmp_path / "c", weights, preprocessing=stored)
    predictor = ldl_jax.load(tmp_path / "c")
    assert predictor.preprocessing == stored
    images = np.concatenate([draw_images(size=80)] * 2, axis=2)
    middle = images[:, 20:60, 60:100]  # crop 0.5 of the shorter side, 80, is 40, the stored size
    normal = dataclasses.replace(stored, crop=1.0, channels="rgb")
    answer = expected(tiny_model, weights, middle[..., ::-1], normal)
    np.testing.assert_allclose(predictor(images).value, answer.value, rtol=1e-5)
    np.testing.assert_allclose(predictor(images).probs, answer.probs, rtol=1e-4, atol=1e-7)


def test_a_checkpoint_of_before_colour_order_and_alignment_were_stored(
    tmp_path, weights, tiny_model, write_checkpoint, make_record, monkeypatch
):
    old = make_record().to_json()
    for name in ("version", "alignment", "generation", "step", "best"):
        del old[name]
    del old["preprocessing"]["channels"], old["preprocessing"]["square"]
    monkeypatch.setattr(record.Record, "to_json", lambda self: old)
    predictor = ldl_jax.load(write_checkpoint(tmp_path / "c", weights))
    assert predictor.preprocessing == Preprocessing(32, 32)
    assert predictor.alignment == Alignment("none")
    images = draw_images()
    answer = expected(tiny_model, weights, images, Preprocessing(32, 32))
    np.testing.assert_allclose(predictor(images).value, answer.value, rtol=1e-5)


def test_the_alignment_is_stored(tmp_path, weights, write_checkpoint):
    alignment = Alignment("similarity", 0.25)
    predictor = ldl_jax.load(write_checkpoint(tmp_path / "c", weights, alignment=alignment))
    assert predictor.alignment == alignment


def test_intervals_are_the_decoders(tmp_path, weights, write_checkpoint):
    predictor = ldl_jax.load(write_checkpoint(tmp_path / "c", weights))
    probs = np.random.default_rng(0).dirichlet(np.ones(AGE.size), 4).astype(np.float32)
    for coverage in (0.5, 0.9):
        found = predictor.interval(probs, coverage)
        np.testing.assert_array_equal(found, decoders.interval(probs, AGE, coverage))


def test_a_step_and_a_groups_space(tmp_path, tiny_model, draw_weights, write_checkpoint):
    weights = draw_weights(tiny_model, methods.get("dex", space=ADIENCE))
    folder = write_checkpoint(tmp_path / "c", weights, space=ADIENCE, method={"name": "dex"})
    predictor = ldl_jax.load(folder / "1")
    assert predictor.space == ADIENCE
    assert predictor(draw_images()).probs.shape == (3, 8)


def write_ssrnet(path, leave=(), form="keras"):
    """Random weights in the authors' layout, or in that of the PyTorch port."""
    model = models.build("ssrnet", form=form)
    method = methods.get("ssr", space=AGE, least=0.0)
    key = jax.random.key(0)
    shapes = (
        jax.eval_shape(lambda k: method.head.init(k, model.width), key),
        *jax.eval_shape(model.init, key),
    )
    head, *backbone = ({_route(p): x for p, x in jax.tree.leaves_with_path(t)} for t in shapes)
    backbone = {**backbone[0], **backbone[1]}
    layout = pretrained.LAYOUTS["ssrnet"][form == "pytorch"]
    rng = np.random.default_rng(0)
    content = {}
    for sources, arrays in ((layout.backbone, backbone), (layout.head, head)):
        routes = sources({route: x.shape for route, x in backbone.items()})
        for route, source in routes.items():
            if source.name in leave:
                continue
            ours = arrays[route].shape
            value = rng.normal(0, 0.5 / np.sqrt(max(1, np.prod(ours[:-1]))), ours)
            value = np.abs(value) + 1 if route[-1] in ("var", "scale") else value
            value = value.reshape(source.conversion.shape(ours))  # random in any order
            content[source.name] = value.astype(np.float32)
    if form == "pytorch":
        safetensors.numpy.save_file(content, path)
        return path
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            file[name] = value
    return path


def _route(path):
    return tuple(entry.key for entry in path)


def test_the_authors_ssrnet_is_a_whole_model(tmp_path):
    predictor = ldl_jax.load(write_ssrnet(tmp_path / "any.h5"))
    assert predictor.space == AGE
    raw = Preprocessing(64, 64, (0.0,) * 3, (1.0,) * 3, channels="bgr")
    assert predictor.preprocessing == raw
    assert predictor.alignment == Alignment("box", 0.4)
    assert predictor.about.method == {"name": "ssr", "stages": [3, 3, 3], "least": 0.0}
    content = json.loads(json.dumps(predictor.about.to_json()))
    assert record.from_json(content, tmp_path) == predictor.about
    images = draw_images(size=64)
    answer = predictor(images)
    assert np.isfinite(answer.value).all()
    swapped = predictor(images[..., ::-1])
    assert (swapped.value != answer.value).any()


def test_the_pytorch_ports_ssrnet_is_one_too(tmp_path):
    path = write_ssrnet(tmp_path / "port.safetensors", form="pytorch")
    predictor = ldl_jax.load(path)
    assert predictor.about.model == {"name": "ssrnet", "form": "pytorch"}
    assert predictor.preprocessing.channels == "bgr"
    assert predictor.preprocessing.mean[0] == pytest.approx(123.675)  # of blue, as the port has it
    assert np.isfinite(predictor(draw_images(size=64)).value).all()


@pytest.mark.parametrize("name", ["imdb", "megaage_asian"])
def test_the_authors_own_files_answer_as_in_keras(real_data, name):
    golden = np.load(real_data / "ssrnet" / "golden.npz")
    answer = ldl_jax.load(real_data / "ssrnet" / f"{name}.h5")(golden["images_rgb_uint8"])
    np.testing.assert_allclose(answer.value, golden[f"age_{name}"], atol=1e-3)


def test_a_file_of_a_backbone_alone_says_what_it_is_for(tmp_path, monkeypatch):
    model = models.build("resnet18")
    shapes = {}
    for tree in jax.eval_shape(model.init, jax.random.key(0)):
        shapes |= {_route(p): x.shape for p, x in jax.tree.leaves_with_path(tree)}
    sources = pretrained.LAYOUTS["resnet18"][0].backbone(shapes)
    arrays = {s.name: np.zeros(s.conversion.shape(shapes[r]), "f4") for r, s in sources.items()}
    safetensors.numpy.save_file(arrays, tmp_path / "r18.safetensors")
    with pytest.raises(
        ValueError, match=r"backbone of a resnet18 only.*--config\.init\.path=.*r18\.safetensors"
    ):
        ldl_jax.load(tmp_path / "r18.safetensors")
    two = {name: pretrained.LAYOUTS[name] for name in ("ssrnet", "resnet18")}
    monkeypatch.setattr(pretrained, "LAYOUTS", two)  # the large networks take their time
    del arrays["conv1.weight"]
    safetensors.numpy.save_file(arrays, tmp_path / "other.safetensors")
    with pytest.raises(
        ValueError, match=r"neither a whole age model .* nor the backbone of one of"
    ):
        foreign.read(tmp_path / "other.safetensors")


def test_a_layer_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "LAYOUTS", {"ssrnet": pretrained.LAYOUTS["ssrnet"]})
    path = write_ssrnet(tmp_path / "a.h5", leave=["dense_3/dense_3/kernel:0"])
    with pytest.raises(ValueError, match=r"as an SSR-Net: .*missing dense_3/dense_3/kernel:0"):
        ldl_jax.load(path)
    path = write_ssrnet(tmp_path / "b.h5", leave=["delta_s2/delta_s2/kernel:0"])
    with pytest.raises(ValueError, match="holds the backbone of a ssrnet only"):
        ldl_jax.load(path)


def test_what_is_nothing_at_all(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere does not exist"):
        ldl_jax.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="neither the workdir of a run"):
        ldl_jax.load(tmp_path)
    (tmp_path / "a.txt").write_text("no weights")
    with pytest.raises(ValueError, match="neither HDF5"):
        ldl_jax.load(tmp_path / "a.txt")


def test_a_picture_of_another_kind(tmp_path, weights, write_checkpoint):
    predictor = ldl_jax.load(write_checkpoint(tmp_path / "c", weights))
    with pytest.raises(ValueError, match=r"images: expected uint8 \[B, H, W, 3\], got float32"):
        predictor(np.zeros((1, 8, 8, 3), np.float32))
    assert predictor.fitted(Image.new("RGB", (70, 50))).shape == (32, 32, 3)
