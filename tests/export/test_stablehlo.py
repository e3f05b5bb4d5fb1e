"""StableHLO: the file answers as the predictor does, for any number of pictures."""

import jax
import numpy as np
import pytest

from ldl_jax import methods, models
from ldl_jax.export import stablehlo
from ldl_jax.labels import AGE
from ldl_jax.predict.predictor import Predictor


@pytest.fixture
def make(draw_weights, make_record):
    def make(options, method, **fields):
        weights = draw_weights(models.build(**options), methods.get(space=AGE, **method), seed=2)
        return Predictor(make_record(model=options, method=method, **fields), weights)

    return make


@pytest.mark.parametrize(
    ("name", "method", "flip"), [("tiny", "cen", True), ("resnet10_tiny", "ssr", False)]
)
def test_a_file_answers_for_any_number_of_pictures(
    tmp_path, make, name, method, flip, tiny_network
):
    predictor = make({"name": name}, {"name": method}, flip=flip)
    stablehlo.write(predictor, tmp_path / "model.stablehlo")
    content = (tmp_path / "model.stablehlo").read_bytes()
    exported = jax.export.deserialize(bytearray(content))
    assert exported.platforms == ("cpu", "cuda")
    for count in (1, 3):
        images = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)
        answers, expected = exported.call(images), predictor.answer(images)
        np.testing.assert_allclose(answers["value"], expected.value, rtol=1e-5, atol=1e-2)
        np.testing.assert_allclose(answers["probs"], expected.probs, atol=1e-4)
        edges = predictor.interval(np.asarray(answers["probs"]))
        np.testing.assert_array_equal([answers["low"], answers["high"]], edges)
        for name, value in expected.heads.items():
            np.testing.assert_allclose(answers[f"head_{name}"], value, rtol=1e-5, atol=1e-2)
    assert list(tmp_path.iterdir()) == [tmp_path / "model.stablehlo"]


def test_numbers_that_are_none_are_not_written(tmp_path, make, tiny_network):
    predictor = make({"name": "tiny"}, {"name": "dldl_v2"})
    predictor.pure[1].params["head"]["logits"]["bias"] = np.full(AGE.size, np.inf, np.float32)
    with pytest.raises(ValueError, match=r"NaN or infinite in .*bias"):
        stablehlo.write(predictor, tmp_path / "model.stablehlo")
    assert not list(tmp_path.iterdir())
