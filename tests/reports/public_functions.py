"""The arguments with which every public loss, encoding, decoder and metric is tried."""

import inspect

import numpy as np

from ldl_jax import decoders, encodings, losses, metrics
from ldl_jax.labels import LabelSpace

PACKAGES = {"losses": losses, "encodings": encodings, "decoders": decoders, "metrics": metrics}
SPACE = LabelSpace.range(20, 24)
B, K = 4, SPACE.size
LABELS = np.array([20.0, 21.4, 22.0, 24.0], np.float32)


def _drawn():
    rng = np.random.default_rng(0)
    rows = {
        "logits": rng.normal(size=(B, K)),
        "rank_logits": rng.normal(size=(B, K - 1)),
        "target": rng.dirichlet(np.ones(K), B),
        "probs": rng.dirichlet(np.ones(K), B),
        "ranks": np.sort(rng.uniform(size=(B, K - 1)))[:, ::-1],
        "score": rng.uniform(size=B),
        "slack": rng.uniform(0, 0.2, B),
        "value": rng.uniform(20, 24, B),
        "widths": rng.uniform(1, 2, B),
        "frames": rng.dirichlet(np.ones(K), (B, 3)),
        "seconds": rng.uniform(0, 5, (B, 3)),
    }
    whole = {
        "counts": np.array([3, 1, 4, 5, 2]),
        "weights": np.array([1, 2, 1, 0.5, 1]),
        "rank_weights": np.array([1, 2, 1, 0.5]),
        "cost": np.abs(np.subtract.outer(np.arange(K), np.arange(K))),
    }
    return {name: x.astype(np.float32) for name, x in (rows | whole).items()} | {"labels": LABELS}


D = _drawn()
LOGITS, PAIR = {"logits": "logits"}, {"logits": "logits", "target": "target"}
LABELLED = {"logits": "logits", "labels": "labels"}
RANKED = {"logits": "rank_logits", "ranks": "ranks", "importance_weights": "rank_weights"}
VALUED = {"value": "value", "labels": "labels"}
CEN = {"logits": "logits", "score": "score", "labels": "labels", "lam": 4.0}
ESTIMATED = {"pred": "value", "labels": "labels"}
LEARNED = {"probs": "probs", "labels": "labels"}
TRUE = {"probs": "probs", "truth": "target"}
# The arguments: a name in D, or a number; `space` is given where a function takes it.
CASES = {
    "losses.balanced_softmax": PAIR | {"counts": "counts"},
    "losses.cdw_ce": PAIR | {"alpha": 1.5, "margin": 0.0625},
    "losses.cen_evolution": CEN
    | {"teacher_probs": "probs", "slack": "slack", "alpha": 0.5, "temperature": 2.0}
    | {"hard_temperature": 1.5},
    "losses.cen_initial": CEN,
    "losses.conditional_cross_entropy": {"logits": "rank_logits", "ranks": "ranks"},
    "losses.coral": RANKED,
    "losses.corn": {"logits": "rank_logits", "labels": "labels"},
    "losses.cross_entropy": PAIR,
    "losses.crps": LABELLED,
    "losses.cumulative_link": {"logits": "rank_logits", "target": "target"},
    "losses.dex": LABELLED,
    "losses.dldl_v2": PAIR | {"labels": "labels", "lam": 1.0},
    "losses.emd": PAIR,
    "losses.expectation_huber": LABELLED | {"delta": 1.0},
    "losses.expectation_l1": LABELLED,
    "losses.expectation_l2": LABELLED,
    "losses.focal": PAIR | {"gamma": 2.0},
    "losses.gaussian_nll": VALUED | {"sigma": "widths"},
    "losses.huber": VALUED | {"delta": 1.0},
    "losses.importance_weights": {"counts": "counts"},
    "losses.jensen_shannon": PAIR,
    "losses.kl_divergence": PAIR,
    "losses.l1": VALUED,
    "losses.l2": VALUED,
    "losses.lds_weights": {"counts": "counts", "sigma": 2.0, "power": 0.5},
    "losses.mean_residue": LABELLED
    | {"mean_weight": 0.2, "residue_weight": 0.05, "epsilon": 0.001},
    "losses.mean_variance": LABELLED | {"mean_weight": 0.2, "variance_weight": 0.05},
    "losses.megaage": LABELLED
    | {"rank_logits": "rank_logits", "sigma": "widths", "truncation": 1.0},
    "losses.ordinal_cross_entropy": RANKED,
    "losses.reverse_kl_divergence": PAIR | {"epsilon": 1e-3},
    "losses.slace": LABELLED | {"alpha": 1.0},
    "losses.slack_l1": {"score": "score", "target": "widths", "slack": "slack"},
    "losses.smooth_l1": VALUED | {"beta": 1.0},
    "losses.sord": LABELLED | {"alpha": 1.0},
    "losses.squared_emd": PAIR,
    "losses.unimodal_concentrated": LABELLED | {"lam": 10.0, "epsilon": 1e-3},
    "losses.weighted_kappa": LABELLED,
    "losses.weights_of": {"labels": "labels", "weights": "weights"},
    "encodings.beta": {"labels": "labels", "concentration": 25.0},
    "encodings.binomial": {"labels": "labels"},
    "encodings.cumulative": {"labels": "labels", "sigma": "widths"},
    "encodings.distribution_from_ranks": {"ranks": "ranks"},
    "encodings.exponential": {"labels": "labels", "power": 1.5, "temperature": 2.0},
    "encodings.from_votes": {"votes": "target", "smoothing": 0.5},
    "encodings.gaussian": {"labels": "labels", "sigma": "widths"},
    "encodings.hl_gauss": {"labels": "labels", "sigma": "widths"},
    "encodings.label_counts": {"labels": "labels"},
    "encodings.laplace": {"labels": "labels", "scale": "widths"},
    "encodings.normalised": {"labels": "labels"},
    "encodings.one_hot": {"labels": "labels"},
    "encodings.poisson": {"labels": "labels"},
    "encodings.rank": {"labels": "labels"},
    "encodings.ranks_from_distribution": {"probs": "probs"},
    "encodings.sord": {"labels": "labels", "alpha": 1.0},
    "encodings.transformation_matrix": {},
    "encodings.triangular": {"labels": "labels", "alpha": 0.1},
    "encodings.two_hot": {"labels": "labels"},
    "decoders.coupled": {"probs": "probs", "score": "score"},
    "decoders.effective_count": {"seconds": "seconds", "shared": 0.5, "memory": 1.0},
    "decoders.entropy": {"probs": "probs"},
    "decoders.expectation": {"probs": "probs"},
    "decoders.flip_average": {"view": "value", "flipped": "labels"},
    "decoders.from_score": {"score": "score"},
    "decoders.highest_density_interval": {"probs": "probs", "coverage": 0.7},
    "decoders.interval": {"probs": "probs", "coverage": 0.7},
    "decoders.mean_pool": {"probs": "frames"},
    "decoders.median": {"probs": "probs"},
    "decoders.minimum_cost": {"probs": "probs", "cost": "cost"},
    "decoders.mode": {"probs": "probs"},
    "decoders.prob_at_least": {"probs": "probs", "t": 22.25},
    "decoders.product_pool": {"probs": "frames", "seconds": "seconds"}
    | {"shared": 0.5, "memory": 1.0},
    "decoders.quantile": {"probs": "probs", "level": 0.3},
    "decoders.rank_count": {"rank_probs": "ranks"},
    "decoders.rank_expectation": {"rank_probs": "ranks"},
    "decoders.ranks_from_conditional": {"logits": "rank_logits"},
    "decoders.ranks_from_link": {"logits": "rank_logits"},
    "decoders.soft_stagewise": {"probs": "probs", "offsets": "logits", "deltas": "slack"}
    | {"span": 90.0, "low": 1.0, "offset_scale": 0.5, "delta_scale": 0.5, "least": 1e-3},
    "decoders.variance": {"probs": "probs"},
    "metrics.accuracy": ESTIMATED,
    "metrics.average_mae": ESTIMATED,
    "metrics.balanced_mae": ESTIMATED,
    "metrics.calibration_curve": LEARNED,
    "metrics.canberra": TRUE,
    "metrics.chebyshev": TRUE,
    "metrics.clark": TRUE,
    "metrics.confusion_matrix": ESTIMATED,
    "metrics.cosine": TRUE,
    "metrics.crps": LEARNED,
    "metrics.cumulative_accuracy": ESTIMATED | {"n": 1.0},
    "metrics.cumulative_score_curve": ESTIMATED,
    "metrics.earth_mover": TRUE,
    "metrics.ece": LEARNED,
    "metrics.epsilon_error": ESTIMATED | {"sigma": "widths"},
    "metrics.euclidean": TRUE,
    "metrics.intersection": TRUE,
    "metrics.interval_coverage": LEARNED | {"level": 0.7},
    "metrics.jensen_shannon": TRUE,
    "metrics.kl_to_truth": TRUE,
    "metrics.ldl_measures": TRUE,
    "metrics.mae": ESTIMATED,
    "metrics.maximum_mae": ESTIMATED,
    "metrics.nll": LEARNED,
    "metrics.one_off_accuracy": ESTIMATED,
    "metrics.pearson": ESTIMATED,
    "metrics.per_label_mae": ESTIMATED,
    "metrics.quadratic_weighted_kappa": ESTIMATED,
    "metrics.quantile_calibration_error": LEARNED,
    "metrics.rmse": ESTIMATED,
    "metrics.spearman": ESTIMATED,
}
STATIC = {
    "metrics.balanced_mae": {"edges": (20.0, 22.0, 24.0)},
    "metrics.cumulative_score_curve": {"thresholds": (0.5, 1.0)},
    "encodings.transformation_matrix": {"size": K},
}
# They take the whole batch at once, so a device's share of it has another result.
COUPLED = {"losses.weighted_kappa", "encodings.label_counts"}
# A known number is checked before anything is traced, and a NaN refused by its name.
CHECKED = {
    "losses.cdw_ce.margin",
    "losses.mean_residue.epsilon",
    "losses.megaage.truncation",
    "encodings.beta.concentration",
    "encodings.exponential.power",
    "encodings.exponential.temperature",
    "encodings.triangular.alpha",
    "metrics.interval_coverage.level",
}
# Whole numbers, which have no NaN: a NaN is in no count.
COUNTS = {"encodings.label_counts", "metrics.confusion_matrix"}
# Counts of hits: a NaN is a miss.
HITS = {"accuracy", "cumulative_accuracy", "cumulative_score_curve", "one_off_accuracy"}


def function_of(name):
    """The function of its arrays and numbers alone, and its arguments."""
    package, key = name.split(".")
    function = getattr(PACKAGES[package], key)
    fixed = dict(STATIC.get(name, {}))
    if "space" in inspect.signature(function).parameters:
        fixed["space"] = SPACE
    arguments = {
        key: D[x] if isinstance(x, str) else np.float32(x) for key, x in CASES[name].items()
    }

    def call(arguments):
        if key == "soft_stagewise":  # of one stage
            stages = {k: [arguments[k]] for k in ("probs", "offsets", "deltas")}
            return function(**arguments | stages)
        return function(**arguments, **fixed)

    return call, arguments
