"""The losses in PyTorch, for comparison: a package's own, torch's own, or written out.

Each is a function of a batch `d`, the tensors of `benchmarks.losses.draw` and those of `batch`,
that gives the mean over the batch, as its users would write it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from coral_pytorch import losses as coral_pytorch
from dlordinal import losses as dlordinal
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Any], Tensor]
PACKAGES = ("torch", "coral-pytorch", "dlordinal")


def batch(drawn: Mapping[str, np.ndarray], values: Sequence[float]) -> SimpleNamespace:
    """The draw as tensors, with `values` [K], the labels' `index` [B], and `classes`, K."""
    tensors = {name: torch.from_numpy(array) for name, array in drawn.items()}
    index = torch.from_numpy(np.searchsorted(values, drawn["labels"]))
    grid = torch.tensor(values, dtype=torch.float32)
    return SimpleNamespace(**tensors, values=grid, index=index, classes=len(values))


def balanced_softmax(d: Any) -> Tensor:
    """Cross-entropy of logits that carry the counts."""
    return functional.cross_entropy(d.logits + d.counts.log(), d.target)


def cen_initial(d: Any) -> Tensor:
    """Classification and regression."""
    regression = functional.l1_loss(d.score, d.normalised)
    return functional.cross_entropy(d.logits, d.index) + 4 * regression


def cen_evolution(d: Any) -> Tensor:
    """Distillation, classification, and regression with slack."""
    transfer = functional.cross_entropy(d.logits / 2, d.teacher_probs)
    hard = functional.cross_entropy(d.logits, d.index)
    return 0.5 * transfer + 0.5 * hard + 4 * slack_l1(d)


def conditional_cross_entropy(d: Any) -> Tensor:
    """CORN's terms, in the whole batch at once."""
    before = functional.pad(d.ranks[:, :-1], (1, 0), value=1.0)
    below = functional.logsigmoid(-d.rank_logits) * (before - d.ranks)
    return -(functional.logsigmoid(d.rank_logits) * d.ranks + below).sum(1).mean()


def coral(d: Any) -> Tensor:
    """coral-pytorch's."""
    return coral_pytorch.coral_loss(d.rank_logits, d.ranks)


def corn(d: Any) -> Tensor:
    """coral-pytorch's, which divides by the number of conditional examples, not by the batch."""
    examples = 1 + d.index.clamp(max=d.classes - 2)
    loss = coral_pytorch.corn_loss(d.rank_logits, d.index, d.classes)
    return loss * examples.float().mean()


def cross_entropy(d: Any) -> Tensor:
    """torch's, with soft targets."""
    return functional.cross_entropy(d.logits, d.target)


def crps(d: Any) -> Tensor:
    """The integral of the squared difference of the distributions, interval by interval."""
    F = d.logits.softmax(1).cumsum(1)[:, :-1]
    steps = d.values.diff()
    below = (d.labels[:, None] - d.values[:-1]).clamp(min=0).minimum(steps)
    return (F.square() * below + (1 - F).square() * (steps - below)).sum(1).mean()


def dex(d: Any) -> Tensor:
    """torch's cross-entropy of class indices."""
    return functional.cross_entropy(d.logits, d.index)


def dldl_v2(d: Any) -> Tensor:
    """Divergence and the expectation's error."""
    return kl_divergence(d) + expectation_l1(d)


def emd(d: Any) -> Tensor:
    """The absolute difference of the cumulative distributions."""
    gap = (d.logits.softmax(1) - d.target).cumsum(1)[:, :-1]
    return (gap.abs() * d.values.diff()).sum(1).mean()


def expectation_huber(d: Any) -> Tensor:
    """torch's huber_loss of the expectation."""
    return functional.huber_loss(_expectation(d), d.labels)


def expectation_l1(d: Any) -> Tensor:
    """torch's l1_loss of the expectation."""
    return functional.l1_loss(_expectation(d), d.labels)


def expectation_l2(d: Any) -> Tensor:
    """torch's mse_loss of the expectation."""
    return functional.mse_loss(_expectation(d), d.labels)


def focal(d: Any) -> Tensor:
    """Over a softmax, with γ = 2."""
    log_probs = d.logits.log_softmax(1)
    return -(d.target * (1 - log_probs.exp()).square() * log_probs).sum(1).mean()


def huber(d: Any) -> Tensor:
    """torch's."""
    return functional.huber_loss(d.value, d.labels)


def jensen_shannon(d: Any) -> Tensor:
    """Two of torch's kl_div to the mixture."""
    log_probs = d.logits.log_softmax(1)
    log_mixture = ((d.target + log_probs.exp()) / 2).log()
    from_target = functional.kl_div(log_mixture, d.target, reduction="batchmean")
    from_probs = functional.kl_div(log_mixture, log_probs, reduction="batchmean", log_target=True)
    return (from_target + from_probs) / 2


def kl_divergence(d: Any) -> Tensor:
    """torch's kl_div."""
    return functional.kl_div(d.logits.log_softmax(1), d.target, reduction="batchmean")


def l1(d: Any) -> Tensor:
    """torch's."""
    return functional.l1_loss(d.value, d.labels)


def l2(d: Any) -> Tensor:
    """torch's."""
    return functional.mse_loss(d.value, d.labels)


def mean_residue(d: Any) -> Tensor:
    """Cross-entropy, the mean's error, and the entropy of what is less probable than the label."""
    probs = d.logits.softmax(1)
    mean = functional.mse_loss(probs @ d.values, d.labels) / 2
    residue = torch.where(probs < probs.gather(1, d.index[:, None]), probs, 0)
    entropy = -torch.xlogy(residue, residue).sum(1).mean()
    return functional.cross_entropy(d.logits, d.index) + 0.2 * mean + 0.05 * entropy


def mean_variance(d: Any) -> Tensor:
    """Cross-entropy, the mean's error, and the variance."""
    mean, variance = _moments(d)
    hard = functional.cross_entropy(d.logits, d.index)
    return hard + 0.1 * functional.mse_loss(mean, d.labels) + 0.05 * variance.mean()


def megaage(d: Any) -> Tensor:
    """Squared errors of the hyperplanes away from the label, and a Gaussian target's."""
    away = d.values - d.labels[:, None]
    far = (away[:, :-1] < -3) | (away[:, :-1] >= 3)
    error = torch.where(far, (d.rank_logits.sigmoid() - d.ranks).square(), 0)
    target = (-(away / 2).square() / 2).softmax(1)
    return error.sum(1).mean() + functional.cross_entropy(d.logits, target)


def ordinal_cross_entropy(d: Any) -> Tensor:
    """torch's binary_cross_entropy_with_logits."""
    loss = functional.binary_cross_entropy_with_logits(d.rank_logits, d.ranks, reduction="sum")
    return loss / len(d.ranks)


def reverse_kl_divergence(d: Any) -> Tensor:
    """torch's kl_div, its arguments exchanged."""
    log_target = d.target.clamp(min=1e-8).log()
    log_probs = d.logits.log_softmax(1)
    return functional.kl_div(log_target, log_probs, reduction="batchmean", log_target=True)


def slack_l1(d: Any) -> Tensor:
    """The error beyond the slack."""
    return functional.relu((d.score - d.normalised).abs() - d.slack).mean()


def smooth_l1(d: Any) -> Tensor:
    """torch's."""
    return functional.smooth_l1_loss(d.value, d.labels)


def sord(d: Any) -> Tensor:
    """dlordinal's."""
    return _sord(d.classes)(d.logits, d.index)


def squared_emd(d: Any) -> Tensor:
    """dlordinal's."""
    return _emd(d.classes)(d.logits, d.target)


def unimodal_concentrated(d: Any) -> Tensor:
    """torch's gaussian_nll_loss of mean and variance, and the steps in the wrong direction."""
    mean, variance = _moments(d)
    concentrated = functional.gaussian_nll_loss(mean, d.labels, variance + 1e-4)
    away = d.values - d.labels[:, None]
    sign = (away[:, :-1] >= 0).float() - (away[:, 1:] <= 0).float()
    violation = functional.relu(sign * d.logits.softmax(1).diff(dim=1))
    return concentrated + 1000 * violation.sum(1).mean()


def weighted_kappa(d: Any) -> Tensor:
    """dlordinal's."""
    return _weighted_kappa(d.classes)(d.logits, d.index)


def _expectation(d: Any) -> Tensor:
    return d.logits.softmax(1) @ d.values


def _moments(d: Any) -> tuple[Tensor, Tensor]:
    probs = d.logits.softmax(1)
    mean = probs @ d.values
    return mean, (probs * (d.values - mean[:, None]).square()).sum(1)


@functools.cache
def _emd(classes: int) -> Any:
    return dlordinal.EMDLoss(classes)


@functools.cache
def _sord(classes: int) -> Any:
    return dlordinal.SORDLoss(1.0, classes, train_targets=torch.empty(0))


@functools.cache
def _weighted_kappa(classes: int) -> Any:
    return dlordinal.WKLoss(classes, use_logits=True)


# Whose function it is; what is not here is written out.
OWNERS: dict[Loss, str] = {
    coral: "coral-pytorch",
    corn: "coral-pytorch",
    sord: "dlordinal",
    squared_emd: "dlordinal",
    weighted_kappa: "dlordinal",
    **dict.fromkeys((cross_entropy, dex, huber, kl_divergence, l1, l2), "torch"),
    **dict.fromkeys((ordinal_cross_entropy, smooth_l1), "torch"),
}


def peer(name: str) -> str:
    """Whose function the loss is in PyTorch, for the table."""
    return OWNERS.get(globals()[name], "plain torch")


def call(
    name: str, drawn: Mapping[str, np.ndarray], values: Sequence[float], wrt: Sequence[str]
) -> Callable[[], tuple[Tensor, dict[str, Tensor]]]:
    """A call of the loss: its mean over the batch, and the gradients to the outputs `wrt`."""
    d = batch(drawn, values)
    outputs = [getattr(d, key).requires_grad_() for key in wrt]
    loss: Loss = globals()[name]

    def run() -> tuple[Tensor, dict[str, Tensor]]:
        value = loss(d)
        return value.detach(), dict(zip(wrt, torch.autograd.grad(value, outputs), strict=True))

    return run
