"""Methods of one softmax: classification, and learning a distribution around the label.

Each factory defines its own loss and target; `methods.transfer.completed` makes it a factory of
whole methods, with `decode` and the settings of learning from a teacher. All of them take a given
target (`methods.given`).
"""

from collections.abc import Callable
from typing import Literal

import jax
from jax.typing import ArrayLike

from ldl_jax import encodings, losses
from ldl_jax.heads import Outputs
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import Batch, check_choice, check_number
from ldl_jax.methods.targets import gaussian_encoder, of_labels, one_hot_encoder
from ldl_jax.methods.transfer import Definition, completed, cross_entropy_to, of_logits, of_target

__all__ = ["balanced_softmax", "dex", "dldl", "dldl_v2", "focal", "hl_gauss", "soft_labels", "sord"]

_SOFT = ("beta", "binomial", "exponential", "laplace", "poisson", "triangular", "two_hot")
SOFT_LABELS: dict[str, Callable[..., jax.Array]] = {n: getattr(encodings, n) for n in _SOFT}


@completed(decode="expectation", given=True)
def dex(space: LabelSpace) -> Definition:
    """DEX: cross-entropy to the label's own value, the expectation as the estimate.

    Source: Rothe et al., "Deep Expectation of Real and Apparent Age from a Single Image".
    """
    return of_logits(losses.dex, space)._replace(given=cross_entropy_to)


@completed(decode="expectation", given=True)
def dldl(space: LabelSpace, sigma: float = 2.0) -> Definition:
    """DLDL: the divergence from a Gaussian around the label, the expectation as the estimate.

    `sigma`, in the label's unit, is used for pictures whose own the dataset does not give.

    Source: Gao et al., "Deep Label Distribution Learning with Label Ambiguity".
    """
    return of_target(losses.kl_divergence, gaussian_encoder(space, sigma))


@completed(decode="expectation", given=True)
def dldl_v2(
    space: LabelSpace,
    sigma: float = 2.0,
    lam: float = 1.0,
    kl_reduction: Literal["sum", "mean"] = "sum",
) -> Definition:
    """DLDL-v2: DLDL and the l1 error of the expectation, learnt together.

    `kl_reduction="mean"` is that of the authors' code, see `losses.dldl_v2`.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 12.
    """
    check_number("lam", lam, low=0.0)
    check_choice("kl_reduction", kl_reduction, ("sum", "mean"))
    encode = gaussian_encoder(space, sigma)

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return given(outputs, batch, encode(batch["labels"], batch["sigma"]))

    def given(outputs: Outputs, batch: Batch, target: jax.Array) -> jax.Array:
        return losses.dldl_v2(
            outputs["logits"], target, batch["labels"], space, lam, kl_reduction=kl_reduction
        )

    return Definition(loss, encode=encode, given=given)


@completed(decode="expectation", given=True)
def hl_gauss(space: LabelSpace, sigma: float = 2.0) -> Definition:
    """HL-Gauss: cross-entropy to the mass that a Gaussian around the label puts on each bin.

    Source: Imani and White, "Improving Regression Performance with Distributional Losses".
    """
    check_number("sigma", sigma, low=0.0)
    return _soft_labels(lambda labels: encodings.hl_gauss(labels, space, sigma))


@completed(decode="expectation", given=True)
def sord(
    space: LabelSpace, distance: Literal["absolute", "squared"] = "absolute", alpha: float = 1.0
) -> Definition:
    """SORD: cross-entropy to the softmax of the negative distance from the label.

    `alpha` is the slope of the soft labels, a factor of the distance as in `encodings.sord`. The
    weight of a later generation's teacher is `transfer_alpha` here.

    Source: Díaz and Marathe, "Soft Labels for Ordinal Regression".
    """
    check_choice("distance", distance, ("absolute", "squared"))
    check_number("alpha", alpha, low=0.0, strict=True)
    return _soft_labels(lambda y: encodings.sord(y, space, distance=distance, alpha=alpha))


@completed(decode="expectation", given=True)
def soft_labels(space: LabelSpace, encoding: str = "triangular") -> Definition:
    """Cross-entropy to any of the encodings, at its defaults: the soft labels of dlordinal.

    `encoding` is "beta", "binomial", "exponential", "laplace", "poisson", "triangular" or
    "two_hot"; the source of each is in its docstring in `encodings`.
    """
    check_choice("encoding", encoding, tuple(SOFT_LABELS))
    return _soft_labels(lambda labels: SOFT_LABELS[encoding](labels, space))


@completed(decode="expectation", given=True)
def focal(space: LabelSpace, gamma: float = 2.0) -> Definition:
    """Focal loss: DEX's, turned down where the prediction is already right.

    Source: Lin et al., "Focal Loss for Dense Object Detection".
    """
    check_number("gamma", gamma, low=0.0)
    return of_target(losses.focal, one_hot_encoder(space), gamma)


@completed(decode="expectation", given=True)
def balanced_softmax(space: LabelSpace, *, counts: ArrayLike | None = None) -> Definition:
    """Balanced softmax: DEX for ages that are not equally frequent.

    `counts` [K] says how many training labels each value has (`encodings.label_counts`); a run
    fills them in.

    Source: Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition".
    """

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return given(outputs, batch, encodings.one_hot(batch["labels"], space))

    def given(outputs: Outputs, batch: Batch, target: jax.Array) -> jax.Array:
        if counts is None:
            raise ValueError("counts: balanced_softmax's loss needs the training labels' counts")
        return losses.balanced_softmax(outputs["logits"], target, counts)

    return Definition(loss, given=given)


def _soft_labels(soft: Callable[[jax.Array], jax.Array]) -> Definition:
    """Defines a method by its cross-entropy to `soft(labels) -> [B, K]`."""
    return of_target(losses.cross_entropy, of_labels(soft))
