"""Against coral-pytorch, by the authors of CORAL and CORN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import SPACES, TOLERANCE, agree, draw, torch

from ldl_jax import decoders, encodings, losses
from ldl_jax.heads import shared_ordinal

pytest.importorskip("coral_pytorch", reason="coral-pytorch is not installed; make test-peers does")

from coral_pytorch import dataset, layers
from coral_pytorch import losses as theirs


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


def test_levels_are_ranks(space):
    d = draw(space)
    levels = dataset.levels_from_labelbatch(d["index"].tolist(), space.size)
    np.testing.assert_array_equal(encodings.rank(d["labels"], space), levels.numpy())
    one = dataset.label_to_levels(int(d["index"][0]), space.size)
    np.testing.assert_array_equal(encodings.rank(d["labels"][0], space), one.numpy())


@pytest.mark.parametrize("weighted", [False, True])
def test_coral_loss(space, weighted):
    d = draw(space)
    levels = dataset.levels_from_labelbatch(d["index"].tolist(), space.size, torch.float64)
    weights = np.random.default_rng().uniform(0, 2, space.size - 1).astype(np.float32)
    ours, peer = (weights, torch.tensor(weights, dtype=torch.float64)) if weighted else (None, None)
    agree(
        lambda x: losses.coral(x, encodings.rank(d["labels"], space), ours).mean(),
        lambda x: theirs.coral_loss(x, levels, importance_weights=peer),
        d["rank_logits"],
    )


def test_corn_loss_divides_by_the_conditional_examples(space):
    """The paper's Eq. divides the batch's sum by Σ m, as theirs does; ours is per example."""
    d = draw(space)
    examples = float(np.sum(1 + np.minimum(d["index"], space.size - 2)))
    agree(
        lambda x: losses.corn(x, d["labels"], space).sum() / examples,
        lambda x: theirs.corn_loss(x, torch.tensor(d["index"]), space.size),
        d["rank_logits"],
    )


def test_labels_from_logits(space):
    """proba_to_label and corn_label_from_logits count what is above one half."""
    d = draw(space)
    probs = 1 / (1 + np.exp(-d["rank_logits"].astype(np.float64)))
    expected = dataset.proba_to_label(torch.tensor(probs))
    np.testing.assert_array_equal(decoders.rank_count(probs, space), expected.numpy())
    expected = dataset.corn_label_from_logits(torch.tensor(d["rank_logits"]))
    ours = decoders.rank_count(decoders.ranks_from_conditional(d["rank_logits"]), space)
    np.testing.assert_array_equal(ours, expected.numpy())


@pytest.mark.parametrize("size", [5, 101])
def test_coral_layer(size):
    """The same first biases, and the same logits from the same weights."""
    layer = layers.CoralLayer(size_in=7, num_classes=size)
    head = shared_ordinal(size)
    params = head.init(jax.random.key(0), 7)["rank_logits"]
    bias = layer.coral_bias.detach().numpy()
    np.testing.assert_allclose(params["bias"], bias, rtol=1e-6)
    kernel = layer.coral_weights.weight.detach().numpy().T
    features = np.random.default_rng().normal(size=(9, 7)).astype(np.float32)
    ours = head.apply({"rank_logits": {"kernel": jnp.asarray(kernel), "bias": bias}}, features)
    expected = layer(torch.tensor(features)).detach().numpy()
    np.testing.assert_allclose(ours["rank_logits"], expected, **TOLERANCE)


def test_coral_loss_at_extreme_logits():
    """Theirs writes ln(1 - σ(x)) as ln σ(x) - x, which holds in float64 there too."""
    space = SPACES["five"]
    d = draw(space)
    x = np.sign(d["rank_logits"]) * np.float32(1e4)
    levels = dataset.levels_from_labelbatch(d["index"].tolist(), space.size, torch.float64)
    agree(
        lambda x: losses.coral(x, encodings.rank(d["labels"], space)).mean(),
        lambda x: theirs.coral_loss(x, levels),
        x,
    )
