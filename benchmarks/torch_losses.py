"""The losses in PyTorch, for comparison: a package's own, torch's own, or written out.

Each loss is a function of a batch `d` that returns the mean over the batch, written as its users
would write it. A batch holds the arrays of `benchmarks.losses.draw` as tensors, the label values
[K] as `values`, the labels' indices [B] among them as `index`, and K as `classes`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import torch
from coral_pytorch import losses as coral_pytorch
from dlordinal import losses as dlordinal
from torch import Tensor, nn
from torch.nn import functional

PACKAGES = ("torch", "coral-pytorch", "dlordinal")
Loss = Callable[[SimpleNamespace], Tensor]


def _expectation(d: SimpleNamespace) -> Tensor:
    return d.logits.softmax(1) @ d.values


def _moments(d: SimpleNamespace) -> tuple[Tensor, Tensor]:
    probs = d.logits.softmax(1)
    mean = probs @ d.values
    return mean, (probs * (d.values - mean[:, None]).square()).sum(1)


def _dex(d: SimpleNamespace) -> Tensor:
    return functional.cross_entropy(d.logits, d.index)


def _kl_divergence(d: SimpleNamespace) -> Tensor:
    return functional.kl_div(d.logits.log_softmax(1), d.target, reduction="batchmean")


def _slack_l1(d: SimpleNamespace) -> Tensor:
    return functional.relu((d.score - d.normalised).abs() - d.slack).mean()


def _cdw_ce(d: SimpleNamespace) -> Tensor:
    """Weights every class by its distance from each that has a part of the target, with α = 1."""
    k = torch.arange(d.classes, dtype=d.logits.dtype)
    away = (k[:, None] - k).abs()
    return -(d.target @ away * torch.log1p(-d.logits.softmax(1))).sum(1).mean()


def _cen_evolution(d: SimpleNamespace) -> Tensor:
    transfer = functional.cross_entropy(d.logits / 2, d.teacher_probs)
    return 0.5 * transfer + 0.5 * _dex(d) + 4 * _slack_l1(d)


def _conditional_cross_entropy(d: SimpleNamespace) -> Tensor:
    """Computes CORN's terms in the whole batch at once."""
    before = functional.pad(d.ranks[:, :-1], (1, 0), value=1.0)
    below = functional.logsigmoid(-d.rank_logits) * (before - d.ranks)
    return -(functional.logsigmoid(d.rank_logits) * d.ranks + below).sum(1).mean()


def _corn(d: SimpleNamespace) -> Tensor:
    """Calls coral-pytorch and undoes its division by the count of conditional examples."""
    examples = 1 + d.index.clamp(max=d.classes - 2)
    loss = coral_pytorch.corn_loss(d.rank_logits, d.index, d.classes)
    return loss * examples.float().mean()


def _crps(d: SimpleNamespace) -> Tensor:
    """Integrates the squared difference of the distributions, interval by interval."""
    F = d.logits.softmax(1).cumsum(1)[:, :-1]
    steps = d.values.diff()
    below = (d.labels[:, None] - d.values[:-1]).clamp(min=0).minimum(steps)
    return (F.square() * below + (1 - F).square() * (steps - below)).sum(1).mean()


def _emd(d: SimpleNamespace) -> Tensor:
    gap = (d.logits.softmax(1) - d.target).cumsum(1)[:, :-1]
    return (gap.abs() * d.values.diff()).sum(1).mean()


def _focal(d: SimpleNamespace) -> Tensor:
    """Computes the focal loss over a softmax, with γ = 2."""
    log_probs = d.logits.log_softmax(1)
    return -(d.target * (1 - log_probs.exp()).square() * log_probs).sum(1).mean()


def _jensen_shannon(d: SimpleNamespace) -> Tensor:
    log_probs = d.logits.log_softmax(1)
    log_mixture = ((d.target + log_probs.exp()) / 2).log()
    from_target = functional.kl_div(log_mixture, d.target, reduction="batchmean")
    from_probs = functional.kl_div(log_mixture, log_probs, reduction="batchmean", log_target=True)
    return (from_target + from_probs) / 2


def _mean_residue(d: SimpleNamespace) -> Tensor:
    """Adds cross-entropy, the mean's error, and the entropy of labels less probable than y."""
    probs = d.logits.softmax(1)
    mean = functional.mse_loss(probs @ d.values, d.labels) / 2
    residue = torch.where(probs < probs.gather(1, d.index[:, None]), probs, 0)
    entropy = -torch.xlogy(residue, residue).sum(1).mean()
    return _dex(d) + 0.2 * mean + 0.05 * entropy


def _mean_variance(d: SimpleNamespace) -> Tensor:
    mean, variance = _moments(d)
    return _dex(d) + 0.1 * functional.mse_loss(mean, d.labels) + 0.05 * variance.mean()


def _megaage(d: SimpleNamespace) -> Tensor:
    """Adds squared errors of the hyperplanes away from the label and a Gaussian's cross-entropy."""
    away = d.values - d.labels[:, None]
    far = (away[:, :-1] < -3) | (away[:, :-1] >= 3)
    error = torch.where(far, (d.rank_logits.sigmoid() - d.ranks).square(), 0)
    target = (-(away / 2).square() / 2).softmax(1)
    return error.sum(1).mean() + functional.cross_entropy(d.logits, target)


def _reverse_kl_divergence(d: SimpleNamespace) -> Tensor:
    log_target = d.target.clamp(min=1e-8).log()
    log_probs = d.logits.log_softmax(1)
    return functional.kl_div(log_target, log_probs, reduction="batchmean", log_target=True)


def _unimodal_concentrated(d: SimpleNamespace) -> Tensor:
    """Adds torch's gaussian_nll_loss of mean and variance, and steps in the wrong direction."""
    mean, variance = _moments(d)
    concentrated = functional.gaussian_nll_loss(mean, d.labels, variance + 1e-4)
    away = d.values - d.labels[:, None]
    sign = (away[:, :-1] >= 0).float() - (away[:, 1:] <= 0).float()
    violation = functional.relu(sign * d.logits.softmax(1).diff(dim=1))
    return concentrated + 1000 * violation.sum(1).mean()


def _ordinal_cross_entropy(d: SimpleNamespace) -> Tensor:
    loss = functional.binary_cross_entropy_with_logits(d.rank_logits, d.ranks, reduction="sum")
    return loss / len(d.ranks)


def _cumulative_link(d: SimpleNamespace) -> Tensor:
    """Takes the logarithms of differences of the logistic function, as dlordinal's layer does."""
    below = (-d.thresholds).sigmoid()
    ends = functional.pad(functional.pad(below, (1, 0)), (0, 1), value=1.0)
    return -(d.target * ends.diff(dim=1).log()).sum(1).mean()


@functools.cache
def _dlordinal(name: str, classes: int) -> nn.Module:
    if name == "sord":
        return dlordinal.SORDLoss(1.0, classes, train_targets=torch.empty(0))
    if name == "slace":
        return dlordinal.SLACELoss(1.0, classes)
    if name == "squared_emd":
        return dlordinal.EMDLoss(classes)
    return dlordinal.WKLoss(classes, use_logits=True)


# The losses by the package whose function they call; the last group is written out.
PACKAGED: dict[str, dict[str, Loss]] = {
    "torch": {
        "cross_entropy": lambda d: functional.cross_entropy(d.logits, d.target),
        "dex": _dex,
        "huber": lambda d: functional.huber_loss(d.value, d.labels),
        "kl_divergence": _kl_divergence,
        "l1": lambda d: functional.l1_loss(d.value, d.labels),
        "l2": lambda d: functional.mse_loss(d.value, d.labels),
        "ordinal_cross_entropy": _ordinal_cross_entropy,
        "gaussian_nll": lambda d: functional.gaussian_nll_loss(
            d.value, d.labels, d.widths.square()
        ),
        "smooth_l1": lambda d: functional.smooth_l1_loss(d.value, d.labels),
    },
    "coral-pytorch": {
        "coral": lambda d: coral_pytorch.coral_loss(d.rank_logits, d.ranks),
        "corn": _corn,
    },
    "dlordinal": {
        "slace": lambda d: _dlordinal("slace", d.classes)(d.logits, d.index).float(),
        "sord": lambda d: _dlordinal("sord", d.classes)(d.logits, d.index),
        "squared_emd": lambda d: _dlordinal("squared_emd", d.classes)(d.logits, d.target),
        "weighted_kappa": lambda d: _dlordinal("weighted_kappa", d.classes)(d.logits, d.index),
    },
    "plain torch": {
        "balanced_softmax": lambda d: functional.cross_entropy(d.logits + d.counts.log(), d.target),
        "cdw_ce": _cdw_ce,
        "cen_evolution": _cen_evolution,
        "cen_initial": lambda d: _dex(d) + 4 * functional.l1_loss(d.score, d.normalised),
        "conditional_cross_entropy": _conditional_cross_entropy,
        "crps": _crps,
        "cumulative_link": _cumulative_link,
        "dldl_v2": lambda d: _kl_divergence(d) + functional.l1_loss(_expectation(d), d.labels),
        "emd": _emd,
        "expectation_huber": lambda d: functional.huber_loss(_expectation(d), d.labels),
        "expectation_l1": lambda d: functional.l1_loss(_expectation(d), d.labels),
        "expectation_l2": lambda d: functional.mse_loss(_expectation(d), d.labels),
        "focal": _focal,
        "jensen_shannon": _jensen_shannon,
        "mean_residue": _mean_residue,
        "mean_variance": _mean_variance,
        "megaage": _megaage,
        "reverse_kl_divergence": _reverse_kl_divergence,
        "slack_l1": _slack_l1,
        "unimodal_concentrated": _unimodal_concentrated,
    },
}


def peer(name: str) -> str:
    """Names the package whose function the loss calls, for the table."""
    return next(package for package, losses in PACKAGED.items() if name in losses)


def call(
    name: str, drawn: Mapping[str, np.ndarray], values: Sequence[float], wrt: Sequence[str]
) -> Callable[[], tuple[Tensor, dict[str, Tensor]]]:
    """Returns a function that gives the loss's mean over the batch and its gradients to `wrt`.

    It computes in the type of the arrays drawn.
    """
    dtype = torch.from_numpy(drawn["logits"]).dtype
    d = SimpleNamespace(
        **{key: torch.from_numpy(array) for key, array in drawn.items()},
        values=torch.tensor(values, dtype=dtype),
        index=torch.from_numpy(np.searchsorted(values, drawn["labels"])),
        classes=len(values),
    )
    outputs = [getattr(d, key).requires_grad_() for key in wrt]
    loss = PACKAGED[peer(name)][name]

    def run() -> tuple[Tensor, dict[str, Tensor]]:
        value = loss(d)
        return value.detach(), dict(zip(wrt, torch.autograd.grad(value, outputs), strict=True))

    return run
