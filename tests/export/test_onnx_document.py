"""The examples of docs/onnx.md are run as they stand there."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx", reason="the extra ldl_jax[export] is not installed")
pytest.importorskip("onnxruntime", reason="the extra ldl_jax[export] is not installed")

import ldl_jax
from ldl_jax import methods, models
from ldl_jax.export import onnx_file, stablehlo
from ldl_jax.labels import AGE

TEXT = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def example(word):
    (text,) = (text for text in EXAMPLES if word in text)
    return compile(text, f"docs/onnx.md: {word}", "exec")


@pytest.fixture
def predictor(tmp_path, monkeypatch, draw_weights, write_checkpoint, tiny_network):
    """A predictor whose run and files have the names of the examples, in the folder at hand."""
    weights = draw_weights(models.build("tiny"), methods.get("dldl_v2", space=AGE), seed=4)
    write_checkpoint(tmp_path / "runs" / "quickstart", weights, method={"name": "dldl_v2"})
    monkeypatch.chdir(tmp_path)
    predictor = ldl_jax.load("runs/quickstart")
    onnx_file.write(predictor, "model.onnx")
    stablehlo.write(predictor, "model.stablehlo")
    return predictor


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 40, 30, 3), np.uint8)


def test_onnx_runtime_alone(predictor, images, monkeypatch, capsys):
    Image.fromarray(images[0]).save("face.jpg")
    with Image.open("face.jpg") as face:
        value = predictor(np.asarray(face)[None]).value
    monkeypatch.setitem(sys.modules, "ldl_jax", None)  # an import of it fails
    exec(example("InferenceSession"), {})
    assert capsys.readouterr().out.startswith(f"{value[0]:.1f} years, ")


def test_an_onnx_file_in_this_package(predictor, images):
    names = {"images": images}
    exec(example("interval"), names)
    np.testing.assert_allclose(names["value"], predictor(images).value, atol=1e-2)
    np.testing.assert_array_equal(names["low"], predictor.interval(names["probs"], 0.5)[0])


def test_eight_bits(predictor, images, capsys):
    exec(example("int8=True"), {"ldl_jax": ldl_jax, "images": images, "labels": np.zeros(3)})
    assert "int8: on 3 given faces" in capsys.readouterr().out
    assert Path("small.onnx").exists()


def test_stablehlo_alone(predictor, images, monkeypatch, capsys):
    stored = np.stack([predictor.fitted(Image.fromarray(image)) for image in images])
    np.save("faces.npy", stored)
    monkeypatch.setitem(sys.modules, "ldl_jax", None)
    exec(example("deserialize"), {})
    value = predictor.answer(stored).value[0]
    assert capsys.readouterr().out.startswith(f"{value:.1f}, ")


def test_another_function():
    names = {}
    exec(example("to_onnx"), names)
    assert [x.name for x in names["model"].graph.output] == ["y"]
    assert len(EXAMPLES) == 5
