"""Against torch.nn.functional: what it has of its own."""

import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import SPACES, TOLERANCE, agree, draw, tensor, torch

from ldl_jax import encodings, losses

functional = torch.nn.functional


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


def test_cross_entropy_of_a_distribution(space):
    d = draw(space)
    target = torch.tensor(d["target"], dtype=torch.float64)
    agree(
        lambda x: losses.cross_entropy(x, d["target"]).mean(),
        lambda x: functional.cross_entropy(x, target),
        d["logits"],
    )


def test_dex_is_the_cross_entropy_of_a_class(space):
    d = draw(space)
    agree(
        lambda x: losses.dex(x, d["labels"], space).mean(),
        lambda x: functional.cross_entropy(x, torch.tensor(d["index"])),
        d["logits"],
    )


def test_divergences_of_log_probabilities(space):
    """torch's kl_div takes ln p̂ first; "batchmean" is its mean over examples."""
    d = draw(space)
    target = torch.tensor(d["target"], dtype=torch.float64)
    agree(
        lambda x: losses.kl_divergence(x, d["target"]).mean(),
        lambda x: functional.kl_div(x.log_softmax(-1), target, reduction="batchmean"),
        d["logits"],
    )
    agree(
        lambda x: losses.reverse_kl_divergence(x, d["target"]).mean(),
        lambda x: functional.kl_div(
            target.clamp(min=1e-8).log(), x.softmax(-1), reduction="batchmean"
        ),
        d["logits"],
    )


def test_kl_div_s_default_mean_is_dldl_v2_s_code(space):
    """Its "mean" also divides by K: the reduction of DLDL-v2's code, not of its paper."""
    d = draw(space)
    target = torch.tensor(d["target"], dtype=torch.float64)
    grid = torch.tensor(space.values, dtype=torch.float64)
    labels = torch.tensor(d["labels"], dtype=torch.float64)

    def theirs(x):
        value = (x.softmax(-1) * grid).sum(-1)
        divergence = functional.kl_div(x.log_softmax(-1), target, reduction="mean")
        return divergence + functional.l1_loss(value, labels)

    def ours(x):
        return losses.dldl_v2(x, d["target"], d["labels"], space, kl_reduction="mean").mean()

    agree(ours, theirs, d["logits"])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (losses.l1, "l1_loss"),
        (losses.l2, "mse_loss"),
        (lambda v, y: losses.huber(v, y, 2.5), lambda v, y: functional.huber_loss(v, y, delta=2.5)),
        (
            lambda v, y: losses.smooth_l1(v, y, 2.5),
            lambda v, y: functional.smooth_l1_loss(v, y, beta=2.5),
        ),
    ],
    ids=["l1", "l2", "huber", "smooth_l1"],
)
def test_of_a_value(space, ours, theirs):
    d = draw(space)
    peer = getattr(functional, theirs) if isinstance(theirs, str) else theirs
    labels = torch.tensor(d["labels"], dtype=torch.float64)
    agree(lambda v: ours(v, d["labels"]).mean(), lambda v: peer(v, labels), d["value"])


def test_of_the_expectation(space):
    d = draw(space)
    grid = torch.tensor(space.values, dtype=torch.float64)
    labels = torch.tensor(d["labels"], dtype=torch.float64)
    pairs = {
        losses.expectation_l1: functional.l1_loss,
        losses.expectation_l2: functional.mse_loss,
        losses.expectation_huber: functional.huber_loss,
    }
    for ours, theirs in pairs.items():
        agree(
            lambda x, ours=ours: ours(x, d["labels"], space).mean() / space.high,
            lambda x, theirs=theirs: theirs((x.softmax(-1) * grid).sum(-1), labels) / space.high,
            d["logits"] / 3,
        )


def test_ordinal_cross_entropy_is_the_binary_one_with_logits(space):
    d = draw(space)
    ranks = np.asarray(encodings.rank(d["labels"], space), np.float64)
    weights = np.random.default_rng().uniform(0, 2, space.size - 1).astype(np.float32)
    for ours, theirs in ((None, None), (weights, torch.tensor(weights, dtype=torch.float64))):
        agree(
            lambda x, w=ours: losses.ordinal_cross_entropy(x, jnp.asarray(ranks), w).mean(),
            lambda x, w=theirs: (
                functional.binary_cross_entropy_with_logits(
                    x, torch.tensor(ranks), weight=w, reduction="sum"
                )
                / len(ranks)
            ),
            d["rank_logits"],
        )


def test_balanced_softmax_is_the_cross_entropy_of_shifted_logits(space):
    d = draw(space)
    counts = np.random.default_rng().integers(1, 1000, space.size)
    shift = torch.tensor(counts, dtype=torch.float64).log()
    agree(
        lambda x: losses.balanced_softmax(
            x, encodings.one_hot(d["labels"], space), jnp.asarray(counts, jnp.float32)
        ).mean(),
        lambda x: functional.cross_entropy(x + shift, torch.tensor(d["index"])),
        d["logits"],
    )


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_at_extreme_logits_both_are_finite(size):
    """Where torch's functions are stable, the numbers are the same there too."""
    space = SPACES["five"]
    d = draw(space)
    x = np.sign(d["logits"]) * np.float32(size)
    ours = np.asarray(losses.dex(x, d["labels"], space), np.float64)
    theirs = functional.cross_entropy(tensor(x), torch.tensor(d["index"]), reduction="none")
    np.testing.assert_allclose(ours, theirs.detach().numpy(), **TOLERANCE)
    assert np.isfinite(ours).all()
