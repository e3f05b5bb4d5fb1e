"""A predictor: one program, no answer for no picture, no interval of a value alone."""

import json

import numpy as np
import pytest
from PIL import Image

import ldl_jax
from ldl_jax import methods
from ldl_jax.data.align import Alignment
from ldl_jax.evaluation import answers
from ldl_jax.labels import AGE
from ldl_jax.predict import faces

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def load(tmp_path_factory, tiny_model, draw_weights, write_checkpoint):
    """`load(method)`: a predictor with that method and random weights."""

    def of(name="dldl"):
        weights = draw_weights(tiny_model, methods.get(name, space=AGE), seed=3)
        folder = tmp_path_factory.mktemp("checkpoint") / "c"
        return ldl_jax.load(write_checkpoint(folder, weights, method={"name": name}))

    return of


def draw(count, size=32):
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8)


def test_one_program_is_compiled_for_all_batch_sizes(load):
    predictor = load()
    before = predictor._interval._cache_size()  # which all predictors share
    images = draw(300)
    whole = predictor(images)
    for count in (1, 2, 3, 5, 64, 65, 257, 299):
        some = predictor(images[:count])
        assert some.value.shape == (count,)
        np.testing.assert_allclose(some.value, whole.value[:count], rtol=1e-5)
        np.testing.assert_allclose(some.probs, whole.probs[:count], rtol=1e-4, atol=1e-7)
        low, high = predictor.interval(some.probs)
        assert low.shape == high.shape == (count,)
    assert predictor._answer._cache_size() == 1
    assert predictor._interval._cache_size() <= before + 1


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((1, 0, 64, 3), np.uint8), r"at least 1 x 1 pixels, got \[1, 0, 64, 3\]"),
        (np.zeros((1, 64, 0, 3), np.uint8), r"at least 1 x 1 pixels, got \[1, 64, 0, 3\]"),
        (np.zeros((0, 64, 64, 3), np.uint8), r"at least one picture .* got \[0, 64, 64, 3\]"),
        ([], r"got float64 \[0\]"),
        (list(draw(2)) + list(draw(1, 16)), r"several shapes: \[16, 16, 3\], \[32, 32, 3\]"),
        ([[1], [1, 2]], "several shapes"),
        (None, "got object"),
        ("picture.jpg", "got <U11"),
    ],
)
def test_no_answer_for_no_picture(load, images, words):
    with pytest.raises(ValueError, match=f"images: expected uint8.*{words}") as failed:
        load()(images)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("name", ["regression_l1", "regression_l2", "ssr"])
def test_a_value_alone_has_no_interval(load, name, tmp_path):
    predictor = load(name)
    assert predictor.value_alone
    Image.fromarray(draw(1)[0]).save(tmp_path / "a.png")
    (picture,) = faces.answer(
        predictor, [tmp_path / "a.png"], detect=None, alignment=Alignment(), batch=4
    )
    (row,) = json.loads(answers.to_json(picture.answers, AGE, 0.9, ["a line"]))
    assert row["interval"] is None
    assert row["warnings"] == ["a line"]
    assert ",,," not in answers.to_csv(picture.answers, AGE).splitlines()[0]
    assert f"{row['value']},,," in answers.to_csv(picture.answers, AGE)
    assert answers.summary(picture.answers[0], AGE) == f"{row['value']:.1f}"


@pytest.mark.parametrize("name", ["dldl", "cen", "dex", "coral"])
def test_a_distribution_has_one(load, name):
    assert not load(name).value_alone
