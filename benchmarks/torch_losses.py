"""The losses in PyTorch, for comparison: a package's own, torch's own, or written out.

Each loss is a function of a batch `d` that returns the mean over the batch, written as its users
would write it.
"""

from __future__ import annotations

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


class Batch(SimpleNamespace):
    """The arrays of `benchmarks.losses.draw` as tensors, and three more.

    Attributes:
      values: the label values [K].
      index: the labels' indices [B] among them.
      classes: K.
    """

    logits: Tensor
    rank_logits: Tensor
    score: Tensor
    value: Tensor
    labels: Tensor
    normalised: Tensor
    target: Tensor
    ranks: Tensor
    teacher_probs: Tensor
    slack: Tensor
    counts: Tensor
    values: Tensor
    index: Tensor
    classes: int


Loss = Callable[[Batch], Tensor]


def batch(drawn: Mapping[str, np.ndarray], values: Sequence[float]) -> Batch:
    """Makes a batch of drawn arrays and the label values."""
    tensors = {name: torch.from_numpy(array) for name, array in drawn.items()}
    index = torch.from_numpy(np.searchsorted(values, drawn["labels"]))
    grid = torch.tensor(values, dtype=torch.float32)
    return Batch(**tensors, values=grid, index=index, classes=len(values))


def balanced_softmax(d: Batch) -> Tensor:
    """Takes the cross-entropy of logits that carry the counts."""
    return functional.cross_entropy(d.logits + d.counts.log(), d.target)


def cen_initial(d: Batch) -> Tensor:
    """Adds classification and regression."""
    regression = functional.l1_loss(d.score, d.normalised)
    return dex(d) + 4 * regression


def cen_evolution(d: Batch) -> Tensor:
    """Adds distillation, classification, and regression with slack."""
    transfer = functional.cross_entropy(d.logits / 2, d.teacher_probs)
    return 0.5 * transfer + 0.5 * dex(d) + 4 * slack_l1(d)


def conditional_cross_entropy(d: Batch) -> Tensor:
    """Computes CORN's terms in the whole batch at once."""
    before = functional.pad(d.ranks[:, :-1], (1, 0), value=1.0)
    below = functional.logsigmoid(-d.rank_logits) * (before - d.ranks)
    return -(functional.logsigmoid(d.rank_logits) * d.ranks + below).sum(1).mean()


def coral(d: Batch) -> Tensor:
    """Calls coral-pytorch."""
    return coral_pytorch.coral_loss(d.rank_logits, d.ranks)


def corn(d: Batch) -> Tensor:
    """Calls coral-pytorch and undoes its division by the count of conditional examples."""
    examples = 1 + d.index.clamp(max=d.classes - 2)
    loss = coral_pytorch.corn_loss(d.rank_logits, d.index, d.classes)
    return loss * examples.float().mean()


def cross_entropy(d: Batch) -> Tensor:
    """Calls torch's cross_entropy with soft targets."""
    return functional.cross_entropy(d.logits, d.target)


def crps(d: Batch) -> Tensor:
    """Integrates the squared difference of the distributions, interval by interval."""
    F = d.logits.softmax(1).cumsum(1)[:, :-1]
    steps = d.values.diff()
    below = (d.labels[:, None] - d.values[:-1]).clamp(min=0).minimum(steps)
    return (F.square() * below + (1 - F).square() * (steps - below)).sum(1).mean()


def dex(d: Batch) -> Tensor:
    """Calls torch's cross_entropy with class indices."""
    return functional.cross_entropy(d.logits, d.index)


def dldl_v2(d: Batch) -> Tensor:
    """Adds the divergence and the expectation's error."""
    return kl_divergence(d) + expectation_l1(d)


def emd(d: Batch) -> Tensor:
    """Sums the absolute difference of the cumulative distributions."""
    gap = (d.logits.softmax(1) - d.target).cumsum(1)[:, :-1]
    return (gap.abs() * d.values.diff()).sum(1).mean()


def expectation_huber(d: Batch) -> Tensor:
    """Calls torch's huber_loss on the expectation."""
    return functional.huber_loss(_expectation(d), d.labels)


def expectation_l1(d: Batch) -> Tensor:
    """Calls torch's l1_loss on the expectation."""
    return functional.l1_loss(_expectation(d), d.labels)


def expectation_l2(d: Batch) -> Tensor:
    """Calls torch's mse_loss on the expectation."""
    return functional.mse_loss(_expectation(d), d.labels)


def focal(d: Batch) -> Tensor:
    """Computes the focal loss over a softmax, with γ = 2."""
    log_probs = d.logits.log_softmax(1)
    return -(d.target * (1 - log_probs.exp()).square() * log_probs).sum(1).mean()


def huber(d: Batch) -> Tensor:
    """Calls torch's huber_loss."""
    return functional.huber_loss(d.value, d.labels)


def jensen_shannon(d: Batch) -> Tensor:
    """Averages two of torch's kl_div to the mixture."""
    log_probs = d.logits.log_softmax(1)
    log_mixture = ((d.target + log_probs.exp()) / 2).log()
    from_target = functional.kl_div(log_mixture, d.target, reduction="batchmean")
    from_probs = functional.kl_div(log_mixture, log_probs, reduction="batchmean", log_target=True)
    return (from_target + from_probs) / 2


def kl_divergence(d: Batch) -> Tensor:
    """Calls torch's kl_div."""
    return functional.kl_div(d.logits.log_softmax(1), d.target, reduction="batchmean")


def l1(d: Batch) -> Tensor:
    """Calls torch's l1_loss."""
    return functional.l1_loss(d.value, d.labels)


def l2(d: Batch) -> Tensor:
    """Calls torch's mse_loss."""
    return functional.mse_loss(d.value, d.labels)


def mean_residue(d: Batch) -> Tensor:
    """Adds cross-entropy, the mean's error, and the entropy of labels less probable than y."""
    probs = d.logits.softmax(1)
    mean = functional.mse_loss(probs @ d.values, d.labels) / 2
    residue = torch.where(probs < probs.gather(1, d.index[:, None]), probs, 0)
    entropy = -torch.xlogy(residue, residue).sum(1).mean()
    return dex(d) + 0.2 * mean + 0.05 * entropy


def mean_variance(d: Batch) -> Tensor:
    """Adds cross-entropy, the mean's error, and the variance."""
    mean, variance = _moments(d)
    return dex(d) + 0.1 * functional.mse_loss(mean, d.labels) + 0.05 * variance.mean()


def megaage(d: Batch) -> Tensor:
    """Adds squared errors of the hyperplanes away from the label and a Gaussian's cross-entropy."""
    away = d.values - d.labels[:, None]
    far = (away[:, :-1] < -3) | (away[:, :-1] >= 3)
    error = torch.where(far, (d.rank_logits.sigmoid() - d.ranks).square(), 0)
    target = (-(away / 2).square() / 2).softmax(1)
    return error.sum(1).mean() + functional.cross_entropy(d.logits, target)


def ordinal_cross_entropy(d: Batch) -> Tensor:
    """Calls torch's binary_cross_entropy_with_logits."""
    loss = functional.binary_cross_entropy_with_logits(d.rank_logits, d.ranks, reduction="sum")
    return loss / len(d.ranks)


def reverse_kl_divergence(d: Batch) -> Tensor:
    """Calls torch's kl_div with exchanged arguments."""
    log_target = d.target.clamp(min=1e-8).log()
    log_probs = d.logits.log_softmax(1)
    return functional.kl_div(log_target, log_probs, reduction="batchmean", log_target=True)


def slack_l1(d: Batch) -> Tensor:
    """Averages the error beyond the slack."""
    return functional.relu((d.score - d.normalised).abs() - d.slack).mean()


def smooth_l1(d: Batch) -> Tensor:
    """Calls torch's smooth_l1_loss."""
    return functional.smooth_l1_loss(d.value, d.labels)


def sord(d: Batch) -> Tensor:
    """Calls dlordinal."""
    return _dlordinal("sord", d.classes)(d.logits, d.index)


def squared_emd(d: Batch) -> Tensor:
    """Calls dlordinal."""
    return _dlordinal("squared_emd", d.classes)(d.logits, d.target)


def unimodal_concentrated(d: Batch) -> Tensor:
    """Adds torch's gaussian_nll_loss of mean and variance, and steps in the wrong direction."""
    mean, variance = _moments(d)
    concentrated = functional.gaussian_nll_loss(mean, d.labels, variance + 1e-4)
    away = d.values - d.labels[:, None]
    sign = (away[:, :-1] >= 0).float() - (away[:, 1:] <= 0).float()
    violation = functional.relu(sign * d.logits.softmax(1).diff(dim=1))
    return concentrated + 1000 * violation.sum(1).mean()


def weighted_kappa(d: Batch) -> Tensor:
    """Calls dlordinal."""
    return _dlordinal("weighted_kappa", d.classes)(d.logits, d.index)


def _expectation(d: Batch) -> Tensor:
    return d.logits.softmax(1) @ d.values


def _moments(d: Batch) -> tuple[Tensor, Tensor]:
    probs = d.logits.softmax(1)
    mean = probs @ d.values
    return mean, (probs * (d.values - mean[:, None]).square()).sum(1)


@functools.cache
def _dlordinal(name: str, classes: int) -> nn.Module:
    if name == "sord":
        return dlordinal.SORDLoss(1.0, classes, train_targets=torch.empty(0))
    if name == "squared_emd":
        return dlordinal.EMDLoss(classes)
    return dlordinal.WKLoss(classes, use_logits=True)


# The package that a loss calls; losses that are not listed are written out.
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
    """Names the package whose function the loss calls, for the table."""
    return OWNERS.get(globals()[name], "plain torch")


def call(
    name: str, drawn: Mapping[str, np.ndarray], values: Sequence[float], wrt: Sequence[str]
) -> Callable[[], tuple[Tensor, dict[str, Tensor]]]:
    """Returns a function that gives the loss's mean over the batch and its gradients to `wrt`."""
    d = batch(drawn, values)
    outputs = [getattr(d, key).requires_grad_() for key in wrt]
    loss: Loss = globals()[name]

    def run() -> tuple[Tensor, dict[str, Tensor]]:
        value = loss(d)
        return value.detach(), dict(zip(wrt, torch.autograd.grad(value, outputs), strict=True))

    return run
