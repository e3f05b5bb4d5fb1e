"""ONNX files: written whole, answered by ONNX Runtime, and the cost of 8 bits said."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra ldl_jax[export] is not installed")
pytest.importorskip("onnxruntime", reason="the extra ldl_jax[export] is not installed")

import ldl_jax
from ldl_jax import methods, models
from ldl_jax.export import onnx_file
from ldl_jax.labels import AGE
from ldl_jax.predict.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(draw_weights, make_record):
    options = {"name": "resnet10_tiny"}
    weights = draw_weights(models.build(**options), methods.get("dldl_v2", space=AGE), seed=2)
    about = make_record(model=options, method={"name": "dldl_v2"}, flip=True, crops=(1.0, 0.8))
    return Predictor(about, weights)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), np.uint8)


def test_a_file_is_loaded_and_answers(tmp_path, predictor, images):
    lines = []
    onnx_file.write(predictor, tmp_path / "folder" / "model.onnx", log=lines.append)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["model.onnx"]
    assert lines == []
    loaded = ldl_jax.load(tmp_path / "folder" / "model.onnx")
    assert loaded.about == predictor.about
    answer, expected = loaded(images), predictor(images)
    np.testing.assert_allclose(answer.value, expected.value, atol=1e-2)
    np.testing.assert_allclose(answer.probs, expected.probs, atol=1e-4)
    assert loaded.value_alone == predictor.value_alone
    np.testing.assert_array_equal(
        loaded.interval(expected.probs), predictor.interval(expected.probs)
    )
    for use in (lambda: loaded.pure, lambda: loaded.parts, loaded.check_score_maps):
        with pytest.raises(ValueError, match="an ONNX file has no weights for JAX"):
            use()


def test_the_cost_of_eight_bits_is_said(tmp_path, predictor, images):
    lines = []
    onnx_file.write(predictor, tmp_path / "small.onnx", int8=True, log=lines.append)
    (line,) = lines
    assert line.startswith("int8: on 64 drawn faces the values are ")
    assert "years from those of float32 on average" in line
    labels = predictor(images).value + 1
    labelled = {"images": images, "labels": labels, "log": lines.append}
    onnx_file.write(predictor, tmp_path / "small.onnx", int8=True, **labelled)
    assert lines[1].startswith("int8: on 4 given faces")
    assert lines[1].endswith("instead of 1")
    assert (tmp_path / "small.onnx").stat().st_size < 1.6e6
    small = ldl_jax.load(tmp_path / "small.onnx")
    moved = np.abs(small(images).value - predictor(images).value)
    assert f"{moved.max():.3g} at most" in lines[1]


def test_numbers_that_are_none_are_not_written(tmp_path, draw_weights, make_record, tiny_network):
    weights = draw_weights(models.build("tiny"), methods.get("dldl", space=AGE))
    weights.params["head"]["logits"]["bias"] = np.full(AGE.size, np.nan, np.float32)
    broken = Predictor(make_record(), weights)
    with pytest.raises(ValueError, match=r"the model: weights are NaN or infinite in .*bias"):
        onnx_file.write(broken, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, predictor, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def fail(*_):
        raise ValueError("function: no form in ONNX is known for while")

    monkeypatch.setattr(onnx_file, "graph", lambda *_, **__: fail())
    with pytest.raises(ValueError, match="while"):
        onnx_file.write(predictor, path)
    assert path.read_bytes() == b"old"
