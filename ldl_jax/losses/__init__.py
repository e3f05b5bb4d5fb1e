"""Losses take a head's outputs and the labels, and give one float32 a picture, [...].

Each function is one equation, never reduced over the batch, and raises ValueError where K or the
shapes disagree. `losses.NAME` is a plain function that a method takes as a value, and any function
of the same shape can replace it.

A NaN in an argument is NaN in the result; an infinite cost with weight 0 costs 0, so that a class
may be masked by a logit of -inf. Everything is computed in float32 and the results are float32,
also of bfloat16 and float64 arguments and with `jax_enable_x64`. All can be jitted, mapped over any
argument, differentiated, and run on sharded arrays, also on meshes with explicit axes.

- `papers`: whole objectives of CEN, DLDL-v2, DEX, SORD and MegaAge. (SSR-Net's is `l1` of
  `decoders.soft_stagewise`.)
- `distribution`: from a target distribution to the softmax of logits.
- `cumulative`: between cumulative distributions, earth mover's distances and the CRPS.
- `moments`: of a distribution's mean and concentration.
- `ordinal`: of binary comparisons with each label value (OR-CNN, CORAL, CORN), and weighted kappa.
- `classes`: weighted by the distance in classes from the label (CDW-CE, SLACE).
- `cumulative_link`: of cumulative link models, one score and rising thresholds.
- `regression`: of a value, or of a distribution's expectation.
- `imbalance`: losses and weights for labels that are not equally frequent or hard.

The examples assume `import jax, jax.numpy as jnp, numpy as np`, `from ldl_jax import encodings,
decoders, losses`, `from ldl_jax.labels import AGE, LabelSpace`, and print three digits
(`np.set_printoptions(precision=3, suppress=True)`).
"""

from ldl_jax.losses.classes import cdw_ce, slace
from ldl_jax.losses.cumulative import crps, emd, squared_emd
from ldl_jax.losses.cumulative_link import cumulative_link
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
    gaussian_nll,
    huber,
    l1,
    l2,
    slack_l1,
    smooth_l1,
)

__all__ = [
    "balanced_softmax",
    "cdw_ce",
    "cen_evolution",
    "cen_initial",
    "conditional_cross_entropy",
    "coral",
    "corn",
    "cross_entropy",
    "crps",
    "cumulative_link",
    "dex",
    "dldl_v2",
    "emd",
    "expectation_huber",
    "expectation_l1",
    "expectation_l2",
    "focal",
    "gaussian_nll",
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
    "slace",
    "slack_l1",
    "smooth_l1",
    "sord",
    "squared_emd",
    "unimodal_concentrated",
    "weighted_kappa",
    "weights_of",
]
