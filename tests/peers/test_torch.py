"""Compares losses with torch.nn.functional: its own functions, and combinations of them."""

import importlib.util
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from side_by_side import TOLERANCE, agree, tensor, torch

from ldl_jax import encodings, losses

functional = torch.nn.functional


def kl_div(*arguments, **options):
    """Calls torch's kl_div without its warning about the default "mean", which is tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return functional.kl_div(*arguments, **options)


# Of a distribution.


def test_cross_entropy_of_a_distribution(draws):
    agree(
        lambda x, d: losses.cross_entropy(x, d["target"]).mean(),
        lambda x, d: functional.cross_entropy(x, d["target"]),
        draws,
        "logits",
    )


def test_dex_is_the_cross_entropy_of_a_class(space, draws):
    for peer in (
        lambda x, d: functional.cross_entropy(x, d["index"]),
        lambda x, d: functional.nll_loss(x.log_softmax(-1), d["index"]),
    ):
        agree(lambda x, d: losses.dex(x, d["labels"], space).mean(), peer, draws, "logits")


def test_label_smoothing_is_a_target(space, draws):
    """torch spreads ε over all K classes, the label's own included."""

    def ours(x, d):
        target = 0.9 * encodings.one_hot(d["labels"], space) + 0.1 / space.size
        return losses.cross_entropy(x, target).mean()

    agree(
        ours,
        lambda x, d: functional.cross_entropy(x, d["index"], label_smoothing=0.1),
        draws,
        "logits",
    )


def test_divergences_of_log_probabilities(draws):
    """torch's kl_div takes ln p̂ first; "batchmean" is its mean over examples."""
    agree(
        lambda x, d: losses.kl_divergence(x, d["target"]).mean(),
        lambda x, d: kl_div(x.log_softmax(-1), d["target"], reduction="batchmean"),
        draws,
        "logits",
    )
    agree(
        lambda x, d: losses.reverse_kl_divergence(x, d["target"]).mean(),
        lambda x, d: kl_div(
            d["target"].clamp(min=1e-8).log(), x.softmax(-1), reduction="batchmean"
        ),
        draws,
        "logits",
    )


def test_jensen_shannon_is_two_divergences_to_the_mixture(draws):
    def theirs(x, d):
        probs = x.softmax(-1)
        log_mixture = ((probs + d["target"]) / 2).log()
        halves = [kl_div(log_mixture, p, reduction="batchmean") for p in (probs, d["target"])]
        return sum(halves) / 2

    agree(lambda x, d: losses.jensen_shannon(x, d["target"]).mean(), theirs, draws, "logits")


def test_kl_div_s_default_mean_is_dldl_v2_s_code(space, draws):
    """The "mean" also divides by K, as DLDL-v2's code does, but not its paper."""

    def theirs(x, d):
        divergence = kl_div(x.log_softmax(-1), d["target"], reduction="mean")
        return divergence + functional.l1_loss(x.softmax(-1) @ d["grid"], d["labels"])

    def ours(x, d, reduction, lam):
        return losses.dldl_v2(
            x, d["target"], d["labels"], space, lam, kl_reduction=reduction
        ).mean()

    agree(lambda x, d: ours(x, d, "mean", 1.0), theirs, draws, "logits")
    K = space.size
    agree(lambda x, d: ours(x, d, "sum", K), lambda x, d: K * theirs(x, d), draws, "logits")


def test_balanced_softmax_is_the_cross_entropy_of_shifted_logits(space, draws):
    agree(
        lambda x, d: losses.balanced_softmax(
            x, encodings.one_hot(d["labels"], space), d["counts"]
        ).mean(),
        lambda x, d: functional.cross_entropy(x + d["counts"].log(), d["index"]),
        draws,
        "logits",
    )


# Of a value, and of the expectation.

OF_A_VALUE = {
    "l1": (losses.l1, functional.l1_loss),
    "l2": (losses.l2, functional.mse_loss),
    "huber": (
        lambda v, y: losses.huber(v, y, 2.5),
        lambda v, y: functional.huber_loss(v, y, delta=2.5),
    ),
    "smooth_l1": (
        lambda v, y: losses.smooth_l1(v, y, 2.5),
        lambda v, y: functional.smooth_l1_loss(v, y, beta=2.5),
    ),
}


@pytest.mark.parametrize("name", OF_A_VALUE)
def test_of_a_value(draws, name):
    ours, theirs = OF_A_VALUE[name]
    agree(
        lambda v, d: ours(v, d["labels"]).mean(),
        lambda v, d: theirs(v, d["labels"]),
        draws,
        "value",
    )


def test_at_the_label_both_gradients_are_zero():
    value = torch.zeros(2, requires_grad=True)
    for ours, theirs in OF_A_VALUE.values():
        (gradient,) = torch.autograd.grad(theirs(value, torch.zeros(2)), value)
        np.testing.assert_array_equal(gradient, 0)
        assert jax.grad(ours)(np.float32(0), np.float32(0)) == 0


def test_without_a_threshold_torch_s_smooth_l1_is_l1_and_ours_is_refused(draws):
    d = draws[0]
    expected = functional.smooth_l1_loss(
        tensor(d["value"]), tensor(d["labels"]), beta=0.0, reduction="none"
    )
    np.testing.assert_allclose(losses.l1(d["value"], d["labels"]), expected, **TOLERANCE)
    with pytest.raises(ValueError, match="beta"):
        losses.smooth_l1(d["value"], d["labels"], 0.0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (losses.expectation_l1, functional.l1_loss),
        (losses.expectation_l2, functional.mse_loss),
        (losses.expectation_huber, functional.huber_loss),
    ],
)
def test_of_the_expectation(space, draws, ours, theirs):
    agree(
        lambda x, d: ours(x, d["labels"], space).mean(),
        lambda x, d: theirs(x.softmax(-1) @ d["grid"], d["labels"]),
        draws,
        "logits",
    )


def test_mean_variance_and_the_concentrated_likelihood(space, draws):
    """torch's gaussian_nll_loss is ln(v)/2 + e²/2v, of a variance that it keeps above 1e-6."""

    def moments(x, d):
        mean = x.softmax(-1) @ d["grid"]
        return mean, (x.softmax(-1) * (d["grid"] - mean[:, None]).square()).sum(-1)

    def mean_variance(x, d):
        mean, variance = moments(x, d)
        hard = functional.cross_entropy(x, d["index"])
        return hard + 0.1 * functional.mse_loss(mean, d["labels"]) + 0.05 * variance.mean()

    def likelihood(x, d):
        mean, variance = moments(x, d)
        return functional.gaussian_nll_loss(mean, d["labels"], variance + 1e-4)

    agree(
        lambda x, d: losses.mean_variance(x, d["labels"], space).mean(),
        mean_variance,
        draws,
        "logits",
    )
    agree(
        lambda x, d: losses.unimodal_concentrated(x, d["labels"], space, lam=0.0).mean(),
        likelihood,
        draws,
        "logits",
    )


# Of ranks, and of two heads.


@pytest.mark.parametrize("weighted", [False, True])
def test_ordinal_cross_entropy_is_the_binary_one_with_logits(draws, weighted):
    agree(
        lambda x, d: losses.ordinal_cross_entropy(
            x, d["ranks"], d["weights"] if weighted else None
        ).mean(),
        lambda x, d: (
            functional.binary_cross_entropy_with_logits(
                x, d["ranks"], weight=d["weights"] if weighted else None, reduction="sum"
            )
            / len(x)
        ),
        draws,
        "rank_logits",
    )


@pytest.mark.parametrize("output", ["logits", "score"])
def test_coupled_evolution_is_distillation_and_two_losses(space, draws, output):
    """The transfer is torch's cross-entropy at τ = 2, without the entropy that kl_div would add."""

    def ours(o, d):
        logits, score = (o if output == name else d[name] for name in ("logits", "score"))
        return losses.cen_evolution(
            logits, score, d["labels"], space, d["teacher"], d["slack"]
        ).mean()

    def theirs(o, d):
        logits, score = (o if output == name else d[name] for name in ("logits", "score"))
        transfer = functional.cross_entropy(logits / 2, d["teacher"])
        hard = functional.cross_entropy(logits, d["index"])
        error = (score - d["labels"] / space.high).abs()
        return 0.5 * transfer + 0.5 * hard + 4 * functional.relu(error - d["slack"]).mean()

    agree(ours, theirs, draws, output)


# Extremes, and all of them.


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_at_extreme_logits_both_are_finite(draws, size):
    """The numbers are also the same at extreme logits where torch's functions are stable."""
    extreme = {
        seed: {
            **d,
            "logits": np.sign(d["logits"]) * np.float32(size),
            "rank_logits": np.sign(d["rank_logits"]) * np.float32(size),
        }
        for seed, d in draws.items()
    }
    agree(
        lambda x, d: losses.cross_entropy(x, d["target"]).mean(),
        lambda x, d: functional.cross_entropy(x, d["target"]),
        extreme,
        "logits",
    )
    agree(
        lambda x, d: losses.ordinal_cross_entropy(x, d["ranks"]).mean(),
        lambda x, d: (
            functional.binary_cross_entropy_with_logits(x, d["ranks"], reduction="sum") / len(x)
        ),
        extreme,
        "rank_logits",
    )


@pytest.fixture
def benchmark(monkeypatch):
    """`benchmarks.losses` and its PyTorch side; the benchmarks are run from the repository."""
    for package in ("coral_pytorch", "dlordinal"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; make test-peers does it")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks import losses as benchmark
    from benchmarks import torch_losses

    return benchmark, torch_losses


def test_every_loss_is_its_form_in_pytorch(space, seeds, benchmark):
    """As written out in PyTorch for the benchmark, which refuses to time what differs."""
    own, peers = benchmark
    weights = {"importance_weights", "lds_weights", "weights_of"}
    assert set(own.ARGUMENTS) == set(losses.__all__) - weights
    for seed in seeds:
        drawn = own.draw(17, space, seed)
        for name, arguments in own.ARGUMENTS.items():
            wrt = [key for key in arguments.split() if key in own.OUTPUTS]
            theirs = peers.call(name, drawn, space.values, wrt)()
            own.verify(name, own.ours(name, drawn, space)(), theirs, 17)
