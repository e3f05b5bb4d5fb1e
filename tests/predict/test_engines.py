"""Another engine gives the same answers, and is named where it is unknown."""

import numpy as np
import pytest

import ldl_jax
from ldl_jax import methods
from ldl_jax.labels import AGE

pytest.importorskip("onnx", reason="the extra ldl_jax[export] is not installed")
pytest.importorskip("onnxruntime", reason="the extra ldl_jax[export] is not installed")
pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture
def folder(tmp_path, tiny_model, draw_weights, write_checkpoint):
    weights = draw_weights(tiny_model, methods.get("cen", space=AGE), seed=3)
    return write_checkpoint(tmp_path / "c", weights, method={"name": "cen"}, flip=True)


def test_onnxruntime_answers_as_xla(folder):
    images = np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), np.uint8)
    one, other = (ldl_jax.load(folder, engine=engine) for engine in ("xla", "onnxruntime"))
    assert one.session is None
    assert other.session is not None
    answer, expected = other(images), one(images)
    np.testing.assert_allclose(answer.value, expected.value, atol=1e-2)
    np.testing.assert_allclose(answer.probs, expected.probs, atol=1e-4)
    assert answer.heads.keys() == expected.heads.keys() == {"distribution", "regression"}
    predict, weights = other.pure  # of JAX still
    assert weights.params["head"].keys() == {"logits", "score"}
    assert predict is not None


def test_an_unknown_engine(folder):
    with pytest.raises(ValueError, match="expected one of xla, onnxruntime, auto, got 'tf'"):
        ldl_jax.load(folder, engine="tf")
