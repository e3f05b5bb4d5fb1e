"""Methods: how a label is encoded, learnt, decoded and taught on, bundled as pure functions.

A method is a value: `get("cen", space=AGE, lam=2.0)` makes one, and so does any function
`factory(space, **hyper_parameters) -> Method`, which a config names as "package.module:factory".
Here is the list of them; they live by family in `methods.cen`, `methods.distribution`,
`methods.moments`, `methods.ordinal` and `methods.regression`.
"""

from ldl_jax.methods.cen import cen
from ldl_jax.methods.check import answers, check
from ldl_jax.methods.contract import Batch, Knowledge, Method, Prediction
from ldl_jax.methods.distribution import (
    balanced_softmax,
    dex,
    dldl,
    dldl_v2,
    focal,
    hl_gauss,
    soft_labels,
    sord,
)
from ldl_jax.methods.moments import crps, emd, mean_residue, mean_variance, unimodal, weighted_kappa
from ldl_jax.methods.ordinal import coral, corn, megaage, ranking
from ldl_jax.methods.registry import METHODS, get, hyper_parameters, takes_counts
from ldl_jax.methods.regression import regression_l1, regression_l2, ssr
from ldl_jax.methods.transfer import Form, Transfer, distribution_method, from_loss

__all__ = [
    "METHODS",
    "Batch",
    "Form",
    "Knowledge",
    "Method",
    "Prediction",
    "Transfer",
    "answers",
    "balanced_softmax",
    "cen",
    "check",
    "coral",
    "corn",
    "crps",
    "dex",
    "distribution_method",
    "dldl",
    "dldl_v2",
    "emd",
    "focal",
    "from_loss",
    "get",
    "hl_gauss",
    "hyper_parameters",
    "mean_residue",
    "mean_variance",
    "megaage",
    "ranking",
    "regression_l1",
    "regression_l2",
    "soft_labels",
    "sord",
    "ssr",
    "takes_counts",
    "unimodal",
    "weighted_kappa",
]
