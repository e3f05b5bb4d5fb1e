"""Every picture is answered once, and the answer does not depend on batches or devices."""

import dataclasses

import jax
import numpy as np
import pytest

from ldl_jax import methods
from ldl_jax.data.augment.augmentation import Preprocessing, prepare
from ldl_jax.data.feed.feeds import Part, feed
from ldl_jax.evaluation import report
from ldl_jax.evaluation.evaluate import a_few_at_once, evaluate, jit_predict, summarize
from ldl_jax.labels import LabelSpace
from ldl_jax.placement import make_placement
from ldl_jax.train.step import make_predict_step

SPACE = LabelSpace.range(0, 9)
CEN = methods.get("cen", space=SPACE)
COUNT, SIZE = 21, 32
PREPROCESSING = Preprocessing(SIZE, SIZE)


@pytest.fixture(scope="module")
def part():
    rng = np.random.default_rng(0)
    return Part(
        ids=tuple(f"picture {i}" for i in range(COUNT)),
        labels=rng.integers(0, 10, COUNT).astype(np.float32),
        sigma=np.where(np.arange(COUNT) % 2, 1.5, np.nan).astype(np.float32),
        size=SIZE,
        images=rng.integers(0, 256, (COUNT, SIZE, SIZE, 3), np.uint8),
        truth=rng.dirichlet(np.ones(10), COUNT).astype(np.float32),
    )


@pytest.fixture(scope="module")
def weights(tiny_model, draw_weights):
    return draw_weights(tiny_model, CEN)


@pytest.fixture(scope="module")
def answers(tiny_model, part, weights):
    """`answers(batch, devices)`, each computed once."""
    found = {}

    def answer(batch, devices, progress=lambda done, count: None):
        if (batch, devices) not in found:
            place = make_placement(devices)
            pictures = feed(part, place.place, place.device_put)
            predict = jit_predict(
                make_predict_step(tiny_model, CEN), pictures.fetch, PREPROCESSING, place
            )
            placed = place.place(jax.tree.map(np.array, weights))
            found[batch, devices] = evaluate(predict, placed, pictures, SPACE, batch, progress)
            assert predict._cache_size() == 1  # the last batch has the shape of the others
        return found[batch, devices]

    return answer


def test_each_picture_once_in_its_place(tiny_model, part, weights, answers):
    """Against the pictures one by one."""
    predictions = answers(8, 1)
    assert predictions.ids == part.ids
    np.testing.assert_array_equal(predictions.labels, part.labels)
    np.testing.assert_array_equal(predictions.sigma, part.sigma)
    assert predictions.space == SPACE
    assert len(predictions) == COUNT
    predict = jax.jit(make_predict_step(tiny_model, CEN))
    for place in range(COUNT):
        alone = predict(weights, prepare(part.images[place : place + 1], PREPROCESSING))
        np.testing.assert_allclose(predictions.values[place], alone.value[0], rtol=1e-4)
        np.testing.assert_allclose(predictions.probs[place], alone.probs[0], rtol=1e-4, atol=1e-6)
        for name, value in alone.heads.items():
            np.testing.assert_allclose(
                predictions.heads[name][place], value[0], rtol=1e-4, atol=1e-5
            )
    assert len(np.unique(predictions.values)) == COUNT


@pytest.mark.parametrize(
    ("batch", "devices"), [(1, 1), (COUNT, 1), (64, 1), (8, 8), (16, 8), (24, 8)]
)
def test_any_batch_on_any_devices(answers, batch, devices):
    expected, ours = answers(8, 1), answers(batch, devices)
    assert ours.ids == expected.ids
    for name in ("values", "probs", "truth_kl"):
        np.testing.assert_allclose(
            getattr(ours, name), getattr(expected, name), rtol=1e-4, atol=1e-5, err_msg=name
        )
    assert set(ours.heads) == {"distribution", "regression"}
    for name, head in expected.heads.items():
        np.testing.assert_allclose(ours.heads[name], head, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(ours.labels, expected.labels)


def test_the_divergence_from_the_truth(part, answers):
    """KL(true || learned), in nats."""
    predictions = answers(8, 1)
    truth, probs = part.truth.astype(np.float64), predictions.probs.astype(np.float64)
    expected = (truth * np.log(truth / probs)).sum(-1)
    np.testing.assert_allclose(predictions.truth_kl, expected, rtol=1e-4)


def test_what_is_not_known_is_left_out(tiny_model, part, weights):
    place = make_placement(1)
    bare = dataclasses.replace(part, sigma=np.full(COUNT, np.nan, np.float32), truth=None)
    pictures = feed(bare, place.place, place.device_put)
    predict = jit_predict(
        make_predict_step(tiny_model, CEN, flip=False), pictures.fetch, PREPROCESSING, place
    )
    predictions = evaluate(predict, weights, pictures, SPACE, 16)
    assert predictions.sigma is None
    assert predictions.truth_kl is None


@pytest.mark.parametrize("distributions", [True, False])
def test_streamed_pictures_are_summed_up_batch_by_batch(
    tiny_model, part, weights, distributions, monkeypatch
):
    """The same numbers as of the predictions, which are not kept."""
    place = make_placement(8)
    placed = place.place(jax.tree.map(np.array, weights))
    summaries, seen = {}, []
    for stream in (False, True):
        pictures = feed(part, place.place, place.device_put, stream=stream)
        assert bool(pictures.store) != stream
        predict = jit_predict(
            make_predict_step(tiny_model, CEN),
            pictures.fetch,
            PREPROCESSING,
            place,
            distributions=distributions,
        )
        if stream:
            monkeypatch.setattr(report, "summary", None)
        summaries[stream] = summarize(
            predict, placed, pictures, SPACE, 8, lambda *numbers: seen.append(numbers)
        )
    assert list(summaries[True]) == list(summaries[False])
    assert ("truth_kl" in summaries[True]) == ("nll" in summaries[True]) == distributions
    assert {"mae", "mae_regression", "epsilon_error", "pearson"} <= summaries[True].keys()
    assert summaries[True] == pytest.approx(summaries[False], rel=2e-4)
    assert seen == [(8, COUNT), (16, COUNT), (COUNT, COUNT)] * 2


def test_progress_ends_at_the_count(tiny_model, part, weights):
    place = make_placement(1)
    pictures = feed(part, place.place, place.device_put)
    predict = jit_predict(
        make_predict_step(tiny_model, CEN, flip=False), pictures.fetch, PREPROCESSING, place
    )
    seen = []
    evaluate(predict, weights, pictures, SPACE, 8, lambda *numbers: seen.append(numbers))
    assert seen == [(8, COUNT), (16, COUNT), (COUNT, COUNT)]


def test_a_few_pictures_at_once_are_all_of_them(tiny_model, weights):
    images = jax.random.normal(jax.random.key(0), (19, 32, 32, 3))
    predict, seen = make_predict_step(tiny_model, CEN), []

    def answer(some):
        seen.append(len(some))
        return predict(weights, some)

    whole, parts = answer(images), a_few_at_once(answer, images, 8)
    assert seen == [19, 7]  # one program, which takes each seven in turn
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), whole, parts)
    assert len(parts.value) == 19
