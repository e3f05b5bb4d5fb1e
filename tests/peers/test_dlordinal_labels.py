"""Compares encodings with dlordinal's soft labels and the distributions of its layers."""

import math

import numpy as np
import pytest
from side_by_side import TOLERANCE, torch

from ldl_jax import encodings
from ldl_jax.labels import LabelSpace

pytest.importorskip("dlordinal", reason="dlordinal is not installed; make test-peers does it")

from dlordinal import output_layers
from dlordinal import soft_labelling as soft
from dlordinal.soft_labelling.beta_distribution import _beta_params_sets

TABLES = {
    "exponential": (encodings.exponential, soft.get_exponential_soft_labels),
    "exponential 1.5 2": (
        lambda y, s: encodings.exponential(y, s, 1.5, 2.0),
        lambda K: soft.get_exponential_soft_labels(K, 1.5, 2.0),
    ),
    "binomial": (encodings.binomial, soft.get_binomial_soft_labels),
    "triangular": (encodings.triangular, soft.get_triangular_soft_labels),
    "triangular 0.1": (
        lambda y, s: encodings.triangular(y, s, 0.1),
        lambda K: soft.get_triangular_soft_labels(K, 0.1),
    ),
    "poisson": (encodings.poisson, soft.get_poisson_soft_labels),
}


def classes(K):
    """A space of K classes, and every one of its labels."""
    return LabelSpace.range(0, K - 1), np.arange(K, dtype=np.float32)


def layer(kind, K, **outputs):
    """Gives the layer's probabilities at a feature of 0, where each linear layer gives its bias."""
    module = kind(in_features=1, num_classes=K)
    with torch.no_grad():
        for name, value in outputs.items():
            getattr(module, name).bias.fill_(value)
        return module(torch.zeros(1, 1))


@pytest.mark.parametrize("K", [3, 5, 8, 101])
@pytest.mark.parametrize("name", TABLES)
def test_soft_labels(name, K):
    space, labels = classes(K)
    ours, theirs = TABLES[name]
    np.testing.assert_allclose(ours(labels, space), theirs(K), **TOLERANCE)


def test_triangular_is_not_symmetric():
    """At α = 0.01 the last of five classes gives away half of what the first does."""
    table = soft.get_triangular_soft_labels(5)
    np.testing.assert_allclose(table[0, 1], 0.01154505, atol=1e-8)
    np.testing.assert_allclose(table[4, 3], 0.00505524, atol=1e-8)
    space, labels = classes(5)
    assert encodings.triangular(labels, space)[4, 3] < encodings.triangular(labels, space)[0, 1] / 2


@pytest.mark.parametrize("K", [5, 101])
def test_poisson_soft_labels_are_not_the_poisson_distribution(K):
    """Theirs are a softmax of its masses, close to uniform; their PoissonLayer is the thing itself.

    That is our normalisation="sum": a layer whose rate is a label's gives that label's row.
    """
    space, labels = classes(K)
    cut_off = encodings.poisson(labels, space, normalisation="sum")
    for j in (0, 2, K - 1):
        rate = j + 1
        probs = layer(output_layers.PoissonLayer, K, lambda_layer=math.log(math.expm1(rate)))
        np.testing.assert_allclose(cut_off[j], probs[0], rtol=2e-4, atol=1e-6)
    softmax = soft.get_poisson_soft_labels(K)
    assert np.abs(softmax[2] - 1 / K).max() < 0.3 / K
    assert np.abs(cut_off[2] - 1 / K).max() > 0.5 / K


@pytest.mark.parametrize("K", [5, 101])
def test_binomial_and_gaussian_layers(K):
    """Their BinomialLayer at a label's θ, and their GaussianUncertaintyLayer at a mean and σ."""
    space, labels = classes(K)
    for j in (0, 2, K - 1):
        theta = 0.1 + 0.8 * j / (K - 1)
        probs = layer(output_layers.BinomialLayer, K, p_layer=math.log(theta / (1 - theta)))
        np.testing.assert_allclose(
            encodings.binomial(labels[j], space), probs[0], rtol=2e-4, atol=1e-6
        )
    mean, sigma = 0.37 * K, 1.3
    probs, width = layer(
        output_layers.GaussianUncertaintyLayer,
        K,
        mu_layer=mean,
        sigma_layer=math.log(math.expm1(sigma)),
    )
    np.testing.assert_allclose(width, [sigma], rtol=1e-6)
    ours = encodings.gaussian(np.float32(mean), space, sigma)
    np.testing.assert_allclose(ours, probs[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("K", _beta_params_sets["standard"])
def test_beta_takes_their_table_of_shapes(K):
    """Theirs knows 3 to 14 classes; ours a rule for any K, and their table as an option.

    The third number of their rows, which scales the distribution, is 1 in all of them.
    """
    table = _beta_params_sets["standard"][K]
    assert all(scale == 1 for _, _, scale in table)
    space, labels = classes(K)
    ours = encodings.beta(labels, space, shapes=[(p, q) for p, q, _ in table])
    np.testing.assert_allclose(ours, soft.get_beta_soft_labels(K), **TOLERANCE)


@pytest.mark.filterwarnings("ignore:.*encountered in scalar:RuntimeWarning")
def test_their_beta_ends_where_the_gamma_function_overflows():
    """Γ(p + q) is infinite above 171 and their masses NaN; of 101 classes they have no table."""
    shapes = [(90.0, 90.0)] * 5
    assert np.isnan(soft.get_beta_soft_labels(5, {5: [[p, q, 1] for p, q in shapes]})).all()
    space, labels = classes(5)
    np.testing.assert_allclose(encodings.beta(labels, space, shapes=shapes).sum(-1), 1, rtol=1e-6)
    with pytest.raises(ValueError, match="101"):
        soft.get_beta_soft_labels(101)
