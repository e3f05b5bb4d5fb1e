"""Methods of one softmax: classification, label distributions, and their expectation.

Each is `factory(space, **hyper_parameters) -> Method`. All take `decode` ("expectation", "median"
or "mode"), and `alpha`, `temperature` and `scale_by_temperature_squared`, which later generations
alone use (`methods_transfer.Transfer`). Reached as `ldl_jax.methods.get(NAME, ...)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
from jax.typing import ArrayLike

from ldl_jax import encodings, losses
from ldl_jax.heads import Outputs
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import Batch, Method, check_choice, check_number
from ldl_jax.methods.transfer import (
    Transfer,
    distribution_method,
    gaussian_encoder,
    of_labels,
)

SOFT_LABELS: dict[str, Callable[..., jax.Array]] = {
    "beta": encodings.beta,
    "binomial": encodings.binomial,
    "exponential": encodings.exponential,
    "laplace": encodings.laplace,
    "poisson": encodings.poisson,
    "triangular": encodings.triangular,
    "two_hot": encodings.two_hot,
}


def dex(
    space: LabelSpace,
    decode: str = "expectation",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
) -> Method:
    """DEX: cross-entropy to the label's own value, the expectation as the estimate.

    Source: Rothe et al., "Deep Expectation of Real and Apparent Age from a Single Image".
    """

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return losses.dex(outputs["logits"], batch["labels"], space)

    transfer = Transfer(alpha, temperature, scale_by_temperature_squared)
    return distribution_method("dex", space, loss, decode=decode, transfer=transfer)


def dldl(
    space: LabelSpace,
    sigma: float = 2.0,
    decode: str = "expectation",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
) -> Method:
    """DLDL: the divergence from a Gaussian around the label, the expectation as the estimate.

    `sigma`, in the label's unit, serves where the dataset gives none for a picture.

    Source: Gao et al., "Deep Label Distribution Learning with Label Ambiguity".
    """
    encode = gaussian_encoder(space, sigma)

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return losses.kl_divergence(outputs["logits"], encode(batch["labels"], batch["sigma"]))

    transfer = Transfer(alpha, temperature, scale_by_temperature_squared)
    return distribution_method("dldl", space, loss, encode=encode, decode=decode, transfer=transfer)


def dldl_v2(
    space: LabelSpace,
    sigma: float = 2.0,
    lam: float = 1.0,
    kl_reduction: Literal["sum", "mean"] = "sum",
    decode: str = "expectation",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
) -> Method:
    """DLDL-v2: DLDL and the l1 error of the expectation, learnt together.

    `kl_reduction` "mean" is the authors' code, see `losses.dldl_v2`.

    Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", Eq. 12.
    """
    check_number("lam", lam, low=0.0)
    check_choice("kl_reduction", kl_reduction, ("sum", "mean"))
    encode = gaussian_encoder(space, sigma)

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        target = encode(batch["labels"], batch["sigma"])
        return losses.dldl_v2(
            outputs["logits"], target, batch["labels"], space, lam, kl_reduction=kl_reduction
        )

    transfer = Transfer(alpha, temperature, scale_by_temperature_squared)
    return distribution_method(
        "dldl_v2", space, loss, encode=encode, decode=decode, transfer=transfer
    )


def hl_gauss(
    space: LabelSpace,
    sigma: float = 2.0,
    decode: str = "expectation",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
) -> Method:
    """HL-Gauss: cross-entropy to the mass that a Gaussian around the label puts on each bin.

    Source: Imani and White, "Improving Regression Performance with Distributional Losses".
    """
    check_number("sigma", sigma, low=0.0)

    def soft(labels: ArrayLike) -> jax.Array:
        return encodings.hl_gauss(labels, space, sigma)

    transfer = Transfer(alpha, temperature, scale_by_temperature_squared)
    return _soft_labels("hl_gauss", space, soft, decode, transfer)


def sord(
    space: LabelSpace,
    distance: Literal["absolute", "squared"] = "absolute",
    slope: float = 1.0,
    decode: str = "expectation",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
) -> Method:
    """SORD: cross-entropy to the softmax of the negative distance from the label.

    `slope` is the factor of the distance (`encodings.sord`'s alpha), per unit of it.

    Source: Díaz and Marathe, "Soft Labels for Ordinal Regression".
    """
    check_choice("distance", distance, ("absolute", "squared"))
    check_number("slope", slope, low=0.0, strict=True)

    def soft(labels: ArrayLike) -> jax.Array:
        return encodings.sord(labels, space, distance=distance, alpha=slope)

    transfer = Transfer(alpha, temperature, scale_by_temperature_squared)
    return _soft_labels("sord", space, soft, decode, transfer)


def soft_labels(
    space: LabelSpace,
    encoding: str = "triangular",
    decode: str = "expectation",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
) -> Method:
    """Cross-entropy to any of the encodings, at its defaults: the soft labels of dlordinal.

    `encoding` is "beta", "binomial", "exponential", "laplace", "poisson", "triangular" or
    "two_hot"; the source of each is in its docstring in `encodings`.
    """
    check_choice("encoding", encoding, tuple(SOFT_LABELS))

    def soft(labels: ArrayLike) -> jax.Array:
        return SOFT_LABELS[encoding](labels, space)

    transfer = Transfer(alpha, temperature, scale_by_temperature_squared)
    return _soft_labels("soft_labels", space, soft, decode, transfer)


def focal(
    space: LabelSpace,
    gamma: float = 2.0,
    decode: str = "expectation",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
) -> Method:
    """Focal loss: DEX's, turned down where the prediction is already right.

    Source: Lin et al., "Focal Loss for Dense Object Detection".
    """
    check_number("gamma", gamma, low=0.0)

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        target = encodings.one_hot(batch["labels"], space)
        return losses.focal(outputs["logits"], target, gamma)

    transfer = Transfer(alpha, temperature, scale_by_temperature_squared)
    return distribution_method("focal", space, loss, decode=decode, transfer=transfer)


def balanced_softmax(
    space: LabelSpace,
    decode: str = "expectation",
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_temperature_squared: bool = False,
    counts: ArrayLike | None = None,
) -> Method:
    """Balanced softmax: DEX for ages that are not equally frequent.

    `counts` [K] are the training labels' (`encodings.label_counts`); a run fills them in.

    Source: Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition".
    """

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        if counts is None:
            raise ValueError("counts: balanced_softmax's loss needs the training labels' counts")
        target = encodings.one_hot(batch["labels"], space)
        return losses.balanced_softmax(outputs["logits"], target, counts)

    transfer = Transfer(alpha, temperature, scale_by_temperature_squared)
    return distribution_method("balanced_softmax", space, loss, decode=decode, transfer=transfer)


def _soft_labels(
    name: str,
    space: LabelSpace,
    soft: Callable[[ArrayLike], jax.Array],
    decode: str,
    transfer: Transfer,
) -> Method:
    """Cross-entropy to `soft(labels) -> [B, K]`."""

    def loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return losses.cross_entropy(outputs["logits"], soft(batch["labels"]))

    return distribution_method(
        name, space, loss, encode=of_labels(soft), decode=decode, transfer=transfer
    )
