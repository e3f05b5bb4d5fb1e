"""Compares losses with dlordinal's; those of the newest methods are in test_dlordinal_classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import TOLERANCE, agree, tensor, torch

from ldl_jax import decoders, encodings, losses
from ldl_jax.labels import LabelSpace

pytest.importorskip("dlordinal", reason="dlordinal is not installed; make test-peers does it")

import dlordinal.losses as theirs
from dlordinal.wrappers import CORNClassifierWrapper

# Their losses compute with tables and identities of float32.
SINGLE = torch.float32


@pytest.mark.parametrize("known_by", ["class", "distribution"])
def test_emd_is_the_squared_one(space, draws, known_by):
    """Under the plain name theirs squares the difference, as Hou et al. do: ours says so.

    Their "Ranked Probability Score" is the same sum, not divided by K - 1.
    """
    soft = known_by == "distribution"

    def ours(x, d):
        target = d["target"] if soft else encodings.one_hot(d["labels"], space)
        return losses.squared_emd(x, target).mean()

    loss = theirs.EMDLoss(space.size)
    agree(ours, lambda x, d: loss(x, d["target"] if soft else d["index"]), draws, "logits")


@pytest.mark.parametrize("alpha", [0.5, 1.3])
def test_sord_is_of_the_absolute_distance(space, draws, alpha):
    """The paper leaves the distance open; their other ones come from the classes' frequencies."""
    loss = theirs.SORDLoss(alpha, space.size, train_targets=torch.empty(0))
    agree(
        lambda x, d: losses.sord(x, d["labels"], space, alpha=alpha).mean(),
        lambda x, d: loss(x, d["index"]),
        draws,
        "logits",
    )


def test_corn_divides_by_the_conditional_examples(space, draws):
    """As coral-pytorch's, of which it is a copy."""
    K = space.size
    agree(
        lambda x, d: (
            losses.corn(x, d["labels"], space).sum() / (1 + jnp.minimum(d["labels"], K - 2)).sum()
        ),
        lambda x, d: theirs.CORNLoss(K)(x, d["index"]),
        draws,
        "rank_logits",
    )


def test_corn_wrapper_decodes_as_ours(space, draws):
    class Logits:
        def predict(self, x):
            raise NotImplementedError

        def predict_proba(self, x):
            return x

    for d in draws.values():
        expected = CORNClassifierWrapper(Logits()).predict(d["rank_logits"])
        conditional = decoders.ranks_from_conditional(d["rank_logits"])
        np.testing.assert_array_equal(decoders.rank_count(conditional, space), expected)


@pytest.mark.parametrize("penalty", ["quadratic", "linear"])
@pytest.mark.parametrize("logarithm", [False, True])
def test_weighted_kappa(space, draws, penalty, logarithm):
    """The source's loss is ln of the ratio, their option; ours is the ratio, its mean over rows."""

    def ours(x, d):
        ratio = losses.weighted_kappa(x, d["labels"], space, penalty).mean()
        return jnp.log(ratio) if logarithm else ratio

    loss = theirs.WKLoss(space.size, penalty, use_logits=True, use_logarithm=logarithm)
    agree(ours, lambda x, d: loss(x, d["index"]), draws, "logits", SINGLE)


def test_weighted_kappa_where_chance_costs_nothing():
    """With one label, always predicted, both give 0: they add 1e-10, we take 1e-10 at least."""
    space = LabelSpace.range(0, 4)
    x = 1e4 * np.eye(5, dtype=np.float32)[[3, 3]]
    loss = theirs.WKLoss(5, use_logits=True)
    assert loss(torch.tensor(x), torch.tensor([3, 3])).item() == 0
    np.testing.assert_array_equal(losses.weighted_kappa(x, np.array([3, 3]), space), 0)


def test_mean_squared_error_by_class_and_its_mixture_with_kappa(space, draws):
    """Their MCELoss is the Brier score over K: our `l2` of probabilities, meant over both axes."""

    def brier(x, d):
        return losses.l2(jax.nn.softmax(x, axis=-1), encodings.one_hot(d["labels"], space)).mean()

    def mixture(x, d):
        kappa = losses.weighted_kappa(x, d["labels"], space).mean()
        return 0.3 * kappa + 0.7 * brier(x, d)

    K = space.size
    single, both = theirs.MCELoss(K, use_logits=True), theirs.MCEAndWKLoss(K, 0.3, use_logits=True)
    agree(brier, lambda x, d: single(x, d["index"]), draws, "logits", SINGLE)
    agree(mixture, lambda x, d: both(x, d["index"]), draws, "logits", SINGLE)


def test_ecoc_distance_is_megaage_s_of_all_hyperplanes(space, draws):
    """Documented as a mean squared error, it is a sum: over the classes, and over the batch."""
    loss = theirs.OrdinalECOCDistanceLoss(space.size)

    def ours(x, d):
        target = encodings.gaussian(d["labels"], space)
        both = losses.megaage(d["logits"], x, d["labels"], space, truncation=0.0)
        return (both - losses.cross_entropy(d["logits"], target)).mean()

    agree(
        ours,
        lambda x, d: loss(x.sigmoid(), d["index"]) / len(x),
        draws,
        "rank_logits",
    )


SOFT = {
    # Of the losses α is 0.05 by default, of the soft labels 0.01.
    "triangular": (
        lambda y, s: encodings.triangular(y, s, 0.05),
        lambda base, K, eta: theirs.TriangularLoss(base, K, eta=eta),
    ),
    "binomial": (encodings.binomial, lambda base, K, eta: theirs.BinomialLoss(base, K, eta=eta)),
    "poisson": (encodings.poisson, lambda base, K, eta: theirs.PoissonLoss(base, K, eta=eta)),
    "exponential": (
        lambda y, s: encodings.exponential(y, s, 1.5, 2.0),
        lambda base, K, eta: theirs.ExponentialLoss(base, K, 1.5, 2.0, eta=eta),
    ),
    "custom": (
        lambda y, s: encodings.gaussian(y, s, 1.5),
        lambda base, K, eta: theirs.CustomTargetsLoss(
            base,
            tensor(encodings.gaussian(jnp.arange(K), LabelSpace.range(0, K - 1), 1.5)),
            eta,
        ),
    ),
}


@pytest.mark.parametrize("name", SOFT)
@pytest.mark.parametrize("eta", [1.0, 0.4])
def test_soft_label_losses_are_the_cross_entropy_of_a_mixture(space, draws, name, eta):
    """Their η mixes the soft label with the hard one."""
    encode, make = SOFT[name]
    loss = make(torch.nn.CrossEntropyLoss(), space.size, eta)

    def ours(x, d):
        hard = encodings.one_hot(d["labels"], space)
        target = (1 - eta) * hard + eta * encode(d["labels"], space)
        return losses.cross_entropy(x, target).mean()

    agree(ours, lambda x, d: loss(x, d["index"]), draws, "logits", SINGLE)


def test_beta_loss_of_few_classes():
    """Theirs has no parameters for more than 14."""
    space = LabelSpace.range(0, 4)
    x = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32)
    loss = theirs.BetaLoss(torch.nn.CrossEntropyLoss(), 5)
    shapes = [(1, 8), (6, 14), (12, 12), (14, 6), (8, 1)]
    target = encodings.beta(np.arange(5), space, shapes=shapes)
    expected = loss(torch.tensor(x), torch.arange(5))
    np.testing.assert_allclose(losses.cross_entropy(x, target).mean(), expected, **TOLERANCE)
    with pytest.raises(ValueError, match="101"):
        theirs.BetaLoss(torch.nn.CrossEntropyLoss(), 101)
