"""Compares losses with coral-pytorch, by the authors of CORAL and CORN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from side_by_side import TOLERANCE, agree, tensor, torch

from ldl_jax import decoders, encodings, losses
from ldl_jax.heads import shared_ordinal
from ldl_jax.labels import LabelSpace

pytest.importorskip("coral_pytorch", reason="coral-pytorch is not installed; make test-peers does")

from coral_pytorch import dataset, layers
from coral_pytorch import losses as theirs


def levels_of(index, K):
    return dataset.levels_from_labelbatch(index.tolist(), K, torch.float64)


def test_levels_are_ranks(space):
    labels = np.asarray(space.values, np.float32)
    levels = levels_of(torch.arange(space.size), space.size)
    np.testing.assert_array_equal(encodings.rank(labels, space), levels.numpy())
    for label in (0, 3, space.size - 1):
        one = dataset.label_to_levels(label, space.size)
        np.testing.assert_array_equal(encodings.rank(label, space), one.numpy())


@pytest.mark.parametrize("weighted", [False, True])
def test_coral_loss_is_the_mean_over_the_batch_by_default(space, draws, weighted):
    """The paper sums over the examples: their reduction "sum", and so the sum of ours."""
    for reduction in ("mean", "sum"):
        agree(
            lambda x, d, reduction=reduction: getattr(jnp, reduction)(
                losses.coral(
                    x, encodings.rank(d["labels"], space), d["weights"] if weighted else None
                )
            ),
            lambda x, d, reduction=reduction: theirs.coral_loss(
                x,
                levels_of(d["index"], space.size),
                d["weights"] if weighted else None,
                reduction,
            ),
            draws,
            "rank_logits",
        )


def test_coral_loss_without_reduction_is_ours(space, draws):
    for d in draws.values():
        levels = levels_of(d["index"], space.size)
        expected = theirs.coral_loss(tensor(d["rank_logits"]), levels, reduction=None)
        ours = losses.coral(d["rank_logits"], encodings.rank(d["labels"], space))
        np.testing.assert_allclose(ours, expected, **TOLERANCE)


def test_coral_loss_at_extreme_logits(draws, space):
    agree(
        lambda x, d: losses.coral(x, encodings.rank(d["labels"], space)).mean(),
        lambda x, d: theirs.coral_loss(x, levels_of(d["index"], space.size)),
        {
            seed: {**d, "rank_logits": np.sign(d["rank_logits"]) * np.float32(1e4)}
            for seed, d in draws.items()
        },
        "rank_logits",
    )


def test_in_float32_coral_loss_rounds_small_terms_away():
    """Theirs has ln(1 - σ(x)) as ln σ(x) - x, of which no digit is left below x = -17."""
    x = np.float32([[-20.0, -12.0]])
    exact = np.log1p(np.exp(x.astype(np.float64))).sum()
    ours = losses.ordinal_cross_entropy(x, np.zeros_like(x))
    np.testing.assert_allclose(ours, [exact], rtol=1e-5)
    single = torch.tensor(x)
    peer = theirs.coral_loss(single, torch.zeros_like(single)).item()
    assert abs(peer / exact - 1) > 0.01
    assert theirs.coral_loss(single[:, :1], torch.zeros(1, 1)).item() == 0


def test_corn_loss_divides_by_the_conditional_examples(space, draws):
    """Theirs is the batch's sum over Σ m, no mean of the examples' own losses."""
    K = space.size
    agree(
        lambda x, d: (
            losses.corn(x, d["labels"], space).sum() / (1 + jnp.minimum(d["labels"], K - 2)).sum()
        ),
        lambda x, d: theirs.corn_loss(x, d["index"], K),
        draws,
        "rank_logits",
    )


def test_corn_loss_of_a_batch_without_high_labels():
    """Their subsets above the batch's greatest label are empty, and left out."""
    space = LabelSpace.range(0, 4)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    labels = np.array([0, 1, 0])
    expected = theirs.corn_loss(tensor(x), torch.tensor(labels), 5)
    ours = losses.corn(x, labels, space).sum() / 4.0  # 3 examples above nothing, 1 above 0
    np.testing.assert_allclose(ours, expected, **TOLERANCE)


def test_labels_from_logits(space, draws):
    """proba_to_label and corn_label_from_logits count what is above one half."""
    for d in draws.values():
        probs = special.expit(d["rank_logits"].astype(np.float64))
        expected = dataset.proba_to_label(tensor(probs))
        np.testing.assert_array_equal(decoders.rank_count(probs, space), expected)
        expected = dataset.corn_label_from_logits(tensor(d["rank_logits"]))
        conditional = decoders.ranks_from_conditional(d["rank_logits"])
        np.testing.assert_array_equal(decoders.rank_count(conditional, space), expected)


def test_a_probability_of_one_half_is_not_counted():
    space = LabelSpace.range(0, 4)
    probs = np.float32([[0.9, 0.5, 0.5, 0.1]])
    assert dataset.proba_to_label(torch.tensor(probs)).tolist() == [1]
    np.testing.assert_array_equal(decoders.rank_count(probs, space), [1])


def test_coral_layer(space, seeds):
    """The same first biases, and the same logits from the same weights."""
    layer = layers.CoralLayer(size_in=7, num_classes=space.size)
    head = shared_ordinal(space.size)
    bias = head.init(jax.random.key(0), 7)["rank_logits"]["bias"]
    np.testing.assert_allclose(bias, layer.coral_bias.detach(), rtol=1e-6)
    kernel = jnp.asarray(layer.coral_weights.weight.detach().numpy().T)
    for seed in seeds:
        features = np.random.default_rng(seed).normal(size=(9, 7)).astype(np.float32)
        ours = head.apply({"rank_logits": {"kernel": kernel, "bias": bias}}, features)
        expected = layer(torch.tensor(features)).detach()
        np.testing.assert_allclose(ours["rank_logits"], expected, **TOLERANCE)
