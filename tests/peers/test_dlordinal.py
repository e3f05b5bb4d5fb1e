"""Against dlordinal: soft labels, losses and metrics of ordered classes."""

import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import SPACES, TOLERANCE, agree, draw, torch

from ldl_jax import encodings, losses, metrics
from ldl_jax.labels import LabelSpace

pytest.importorskip("dlordinal", reason="dlordinal is not installed; make test-peers does it")

import dlordinal.losses as theirs
import dlordinal.metrics as their_metrics
import dlordinal.soft_labelling as soft

FEW = [3, 5, 8]


def classes(K):
    """A space of K classes, and every one of its labels."""
    space = LabelSpace.range(0, K - 1)
    return space, np.arange(K, dtype=np.float32)


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


# Soft labels.


@pytest.mark.parametrize("K", [*FEW, 101])
@pytest.mark.parametrize(
    ("ours", "peer"),
    [
        (encodings.exponential, soft.get_exponential_soft_labels),
        (
            lambda y, s: encodings.exponential(y, s, 1.5, 2.0),
            lambda K: soft.get_exponential_soft_labels(K, 1.5, 2.0),
        ),
        (encodings.binomial, soft.get_binomial_soft_labels),
        (encodings.triangular, soft.get_triangular_soft_labels),
        (
            lambda y, s: encodings.triangular(y, s, 0.1),
            lambda K: soft.get_triangular_soft_labels(K, 0.1),
        ),
    ],
    ids=["exponential", "exponential 1.5 2", "binomial", "triangular", "triangular 0.1"],
)
def test_soft_labels(ours, peer, K):
    space, labels = classes(K)
    np.testing.assert_allclose(ours(labels, space), peer(K), **TOLERANCE)


@pytest.mark.parametrize("K", FEW)
def test_poisson_is_their_softmax_of_the_masses(K):
    """Not the Poisson distribution itself, which normalisation="sum" gives."""
    space, labels = classes(K)
    expected = soft.get_poisson_soft_labels(K)
    np.testing.assert_allclose(encodings.poisson(labels, space), expected, **TOLERANCE)
    cut_off = encodings.poisson(labels, space, normalisation="sum")
    assert not np.allclose(cut_off, expected, atol=0.05)


@pytest.mark.parametrize("K", FEW)
def test_beta_takes_their_table_of_shapes(K):
    """Theirs has (p, q) for 3 to 14 classes; ours a rule for any K, and their table as an option.

    Their rows for scaled distributions have a third number, 1.
    """
    from dlordinal.soft_labelling.beta_distribution import _beta_params_sets

    space, labels = classes(K)
    shapes = [pair[:2] for pair in _beta_params_sets["standard"][K]]
    expected = soft.get_beta_soft_labels(K)
    ours = encodings.beta(labels, space, shapes=shapes)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)  # theirs integrates


# Losses.


def test_emd_is_the_squared_one(space):
    """Their EMDLoss squares the cumulative difference, as Hou et al. do, under the plain name."""
    d = draw(space)
    agree(
        lambda x: losses.squared_emd(x, encodings.one_hot(d["labels"], space)).mean(),
        lambda x: theirs.EMDLoss(space.size)(x, torch.tensor(d["index"])),
        d["logits"],
    )


def test_sord(space):
    d = draw(space)
    index = torch.tensor(d["index"])
    peer = theirs.SORDLoss(alpha=1.3, num_classes=space.size, train_targets=index)
    agree(
        lambda x: losses.sord(x, d["labels"], space, alpha=1.3).mean(),
        lambda x: peer(x, index),
        d["logits"],
    )


def test_corn_divides_by_the_conditional_examples(space):
    d = draw(space)
    examples = float(np.sum(1 + np.minimum(d["index"], space.size - 2)))
    agree(
        lambda x: losses.corn(x, d["labels"], space).sum() / examples,
        lambda x: theirs.CORNLoss(space.size)(x, torch.tensor(d["index"])),
        d["rank_logits"],
    )


@pytest.mark.parametrize("penalty", ["quadratic", "linear"])
@pytest.mark.parametrize("logarithm", [False, True])
def test_weighted_kappa(space, penalty, logarithm):
    """The source's loss is ln of the ratio, their option; ours is the ratio, its mean over rows."""
    d = draw(space, scale=1.0)
    peer = theirs.WKLoss(space.size, penalty, use_logits=True, use_logarithm=logarithm)

    def ours(x):
        ratio = losses.weighted_kappa(x, d["labels"], space, penalty).mean()
        return jnp.log(ratio) if logarithm else ratio

    agree(ours, lambda x: peer(x, torch.tensor(d["index"])), d["logits"], torch.float32)


def test_triangular_loss_is_the_cross_entropy_of_their_soft_labels(space):
    """Their loss's α is 0.05 by default, their soft labels' 0.01."""
    d = draw(space)
    base = torch.nn.CrossEntropyLoss()
    peer = theirs.TriangularLoss(base, space.size, alpha2=0.05)
    agree(
        lambda x: losses.cross_entropy(x, encodings.triangular(d["labels"], space, 0.05)).mean(),
        lambda x: peer(x, torch.tensor(d["index"])),
        d["logits"],
        torch.float32,
    )


# Metrics.


def test_ranked_probability_score(space):
    """On a grid of step 1 it is the CRPS, and the squared EMD from a one-hot."""
    d = draw(space)
    expected = their_metrics.ranked_probability_score(d["index"], d["target"])
    found = metrics.crps(d["target"], d["labels"], space)
    np.testing.assert_allclose(found, expected, **TOLERANCE)
    logits = np.log(np.maximum(d["target"], 1e-30))
    np.testing.assert_allclose(
        losses.crps(logits, d["labels"], space).mean(), expected, **TOLERANCE
    )


def test_one_off_accuracy_and_balanced_error(space):
    rng = np.random.default_rng()
    labels = np.concatenate([np.arange(space.size), rng.integers(0, space.size, 200)])
    pred = np.clip(labels + rng.integers(-3, 4, labels.shape), 0, space.size - 1)
    expected = their_metrics.accuracy_off1(labels, pred, labels=np.arange(space.size))
    np.testing.assert_allclose(metrics.one_off_accuracy(pred, labels), expected, **TOLERANCE)
    edges = np.arange(space.size + 1) - 0.5
    expected = their_metrics.amae(labels, pred)
    np.testing.assert_allclose(metrics.balanced_mae(pred, labels, edges), expected, **TOLERANCE)
