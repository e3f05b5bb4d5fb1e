"""C-Mixup: partners by the distance of labels, and everything of a row mixed alike."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax.data.augment import mixup
from ldl_jax.data.augment.mixup import CMixup

B = 64


def batch(seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, B).astype(np.float32)
    numbers = {
        "images": np.tile(labels[:, None, None, None], (1, 4, 4, 3)),
        "labels": labels,
        "sigma": np.where(np.arange(B) % 4 == 0, np.nan, labels),
        "votes": np.float32(rng.integers(1, 50, (B, 1)) * np.eye(10)[labels.astype(int)]),
    }
    return {name: jnp.asarray(x, jnp.float32) for name, x in numbers.items()}


@pytest.fixture(scope="module")
def mix():
    return jax.jit(mixup.mixed, static_argnames="recipe")


def test_pictures_labels_sigma_and_votes_are_mixed_alike(mix):
    rows = batch()
    made = mix(jax.random.key(1), rows, recipe=CMixup(2.0, 3.0))
    assert made.keys() == rows.keys()
    labels = np.asarray(made["labels"])
    assert (labels != np.asarray(rows["labels"])).any()
    np.testing.assert_allclose(made["images"][:, 0, 0, 0], labels, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(made["votes"]).sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(made["votes"]) @ np.arange(10), labels, atol=1e-5)
    known = ~np.isnan(np.asarray(made["sigma"]))
    assert 0 < known.sum() < B
    np.testing.assert_allclose(np.asarray(made["sigma"])[known], labels[known], rtol=1e-6)
    again = mix(jax.random.key(1), rows, recipe=CMixup(2.0, 3.0))
    np.testing.assert_array_equal(again["labels"], labels)


def test_partners_are_drawn_by_the_paper_s_rates():
    labels = jnp.asarray([0.0, 1.0, 3.0, 9.0])
    recipe = CMixup(1.0, 1.5)
    rates = np.exp(np.asarray(mixup.rates(labels, recipe), np.float64))
    expected = np.exp(-((labels[:, None] - labels[None]) ** 2) / (2 * 1.5**2))
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    draw = functools.partial(jax.random.categorical, axis=-1, shape=(4000, 4))
    drawn = np.asarray(draw(jax.random.key(0), mixup.rates(labels, recipe)[None]))
    shares = np.stack([(drawn == j).mean(0) for j in range(4)], -1)
    np.testing.assert_allclose(shares, rates / rates.sum(1, keepdims=True), atol=0.03)


def test_a_narrow_bandwidth_mixes_equal_labels_alone(mix):
    rows = batch()
    made = mix(jax.random.key(2), rows, recipe=CMixup(1.0, 0.05))
    np.testing.assert_allclose(made["labels"], rows["labels"], rtol=1e-6)


def test_without_alpha_a_batch_stays_as_it_is():
    rows = batch()
    assert CMixup().still
    assert mixup.mixed(jax.random.key(0), rows, CMixup())["images"] is rows["images"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"alpha": -1.0}, r"augment.mixup.alpha: expected 0 or more, got -1"),
        ({"alpha": float("nan")}, r"augment.mixup.alpha: expected 0 or more, got nan"),
        ({"sigma": 0.0}, r"augment.mixup.sigma: expected more than 0, got 0"),
    ],
)
def test_settings_that_are_refused(given, says):
    with pytest.raises(ValueError, match=says):
        CMixup(**given)
