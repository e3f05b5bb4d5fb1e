"""Methods of one softmax whose loss is not a divergence from a target: moments, distances, scores.

Each factory defines its own loss; `methods.transfer.completed` does the rest.
"""

from typing import Literal

from ldl_jax import losses
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import check_choice, check_flag, check_number
from ldl_jax.methods.targets import gaussian_encoder, one_hot_encoder
from ldl_jax.methods.transfer import Definition, completed, of_logits, of_target

__all__ = ["crps", "emd", "mean_residue", "mean_variance", "unimodal", "weighted_kappa"]


@completed(decode="expectation")
def mean_variance(
    space: LabelSpace, mean_weight: float = 0.2, variance_weight: float = 0.05
) -> Definition:
    """Mean-variance: cross-entropy, the error of the mean, and the variance.

    Source: Pan et al., "Mean-Variance Loss for Deep Age Estimation from a Face".
    """
    check_number("mean_weight", mean_weight, low=0.0)
    check_number("variance_weight", variance_weight, low=0.0)
    return of_logits(losses.mean_variance, space, mean_weight, variance_weight)


@completed(decode="expectation")
def mean_residue(
    space: LabelSpace, mean_weight: float = 0.2, residue_weight: float = 0.05
) -> Definition:
    """Mean-residue: cross-entropy, the error of the mean, and the residue's entropy.

    Source: Zhao et al., "Adaptive Mean-Residue Loss for Robust Facial Age Estimation".
    """
    check_number("mean_weight", mean_weight, low=0.0)
    check_number("residue_weight", residue_weight, low=0.0)
    return of_logits(losses.mean_residue, space, mean_weight, residue_weight)


@completed(decode="expectation")
def unimodal(space: LabelSpace, lam: float = 1000.0) -> Definition:
    """Unimodal-concentrated: the likelihood of the label under mean and variance, and one mode.

    Source: Li et al., "Unimodal-Concentrated Loss: Fully Adaptive Label Distribution Learning for
    Ordinal Regression".
    """
    check_number("lam", lam, low=0.0)
    return of_logits(losses.unimodal_concentrated, space, lam)


@completed(decode="expectation", given=True)
def emd(space: LabelSpace, squared: bool = True, sigma: float = 0.0) -> Definition:
    """EMD: the earth mover's distance from the label, squared as in its source or plain.

    The target is the label's own value, or with a `sigma` (in the label's unit) a Gaussian.

    Source: Hou et al., "Squared Earth Mover's Distance-based Loss for Training Deep Neural
    Networks".
    """
    check_flag("squared", squared)
    check_number("sigma", sigma, low=0.0)
    encode = gaussian_encoder(space, sigma) if sigma else one_hot_encoder(space)
    if squared:
        return of_target(losses.squared_emd, encode)
    return of_target(losses.emd, encode, space)


@completed(decode="expectation")
def crps(space: LabelSpace) -> Definition:
    """CRPS: the continuous ranked probability score, in the label's unit.

    Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation".
    """
    return of_logits(losses.crps, space)


@completed(decode="expectation")
def weighted_kappa(
    space: LabelSpace, penalty: Literal["quadratic", "linear"] = "quadratic"
) -> Definition:
    """Weighted kappa: the expected cost over that of chance, taken over the batch.

    Source: de la Torre et al., "Weighted kappa loss function for multi-class classification of
    ordinal data in deep learning".
    """
    check_choice("penalty", penalty, ("quadratic", "linear"))
    return of_logits(losses.weighted_kappa, space, penalty)
