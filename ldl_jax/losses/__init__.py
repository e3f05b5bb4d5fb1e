"""Losses: what a head puts out and the label -> per-example losses [...], float32.

One function an equation, never reduced over the batch: `losses.NAME` is a plain function that a
method takes as a value, and any function of the same shape can stand in for it. Here are the joint
objectives and the papers' named ones; the others live by family in `losses.distribution`,
`losses.regression`, `losses.ordinal`, `losses.moments` and `losses.imbalance`, and every public one
is a name of this module. (SSR-Net's loss is `l1` of `decoders.soft_stagewise`.)
"""

from ldl_jax.losses.cumulative import crps, emd, squared_emd
from ldl_jax.losses.distribution import (
    cross_entropy,
    jensen_shannon,
    kl_divergence,
    reverse_kl_divergence,
)
from ldl_jax.losses.imbalance import balanced_softmax, focal, lds_weights, weights_of
from ldl_jax.losses.moments import mean_residue, mean_variance, unimodal_concentrated
from ldl_jax.losses.ordinal import (
    conditional_cross_entropy,
    coral,
    corn,
    importance_weights,
    ordinal_cross_entropy,
    weighted_kappa,
)
from ldl_jax.losses.papers import cen_evolution, cen_initial, dex, dldl_v2, megaage, sord
from ldl_jax.losses.regression import (
    expectation_huber,
    expectation_l1,
    expectation_l2,
    huber,
    l1,
    l2,
    slack_l1,
    smooth_l1,
)

__all__ = [
    "balanced_softmax",
    "cen_evolution",
    "cen_initial",
    "conditional_cross_entropy",
    "coral",
    "corn",
    "cross_entropy",
    "crps",
    "dex",
    "dldl_v2",
    "emd",
    "expectation_huber",
    "expectation_l1",
    "expectation_l2",
    "focal",
    "huber",
    "importance_weights",
    "jensen_shannon",
    "kl_divergence",
    "l1",
    "l2",
    "lds_weights",
    "mean_residue",
    "mean_variance",
    "megaage",
    "ordinal_cross_entropy",
    "reverse_kl_divergence",
    "slack_l1",
    "smooth_l1",
    "sord",
    "squared_emd",
    "unimodal_concentrated",
    "weighted_kappa",
    "weights_of",
]
