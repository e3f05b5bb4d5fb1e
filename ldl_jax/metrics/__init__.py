"""Metrics: each is one object, a function of arrays that also adds up over batches and devices.

`mae(pred, labels)` is the metric of some rows. `mae.init()`, `mae.update(acc, pred, labels,
mask=None)`, `mae.merge(acc, acc)` and `mae.result(acc)` give the same of rows that come in batches,
shards or from several hosts. A metric with parameters takes them after its rows, as in `nll(probs,
labels, space)`; to add up, they are set first: `nll.over(space)` is a metric without parameters,
and so are `cumulative_accuracy.over(3)` and `spearman.over(capacity=1000)`.

**Merging.** Counts are int32, up to 2^31 rows, and sums are compensated (`metrics.sums`), so that
any batches in any order on any devices have the same result to 1e-6 of it. Accumulators of several
devices are merged by `merged`, of a stack as `jax.lax.all_gather` gives it.

**Rows.** `pred` and `labels` are [N], in the label's unit; `probs` and `truth` are [N, K] and sum
to one. A `space` has the K label values, in the labels' unit; a label's own value is the one that
`encodings.one_hot` takes. All is computed in float32. The rows where `mask` [N] (bool, or 0 and 1;
None keeps all) is zero are ignored, whatever they hold, NaN included. A kept row is expected to
hold finite numbers: a NaN makes a mean NaN, and in a count it is a miss. Of no row at all a metric
is NaN, and a count 0. Shapes that disagree are a ValueError, which names the argument.

`aurc` and `risk_coverage_curve` sort all rows, so they take them at once, and do not add up.

`metrics.table` lists the metrics of a run: what they are called, and whether more is better. A new
metric is a function of rows under `averaged`; `metrics.metric` has what all are made of.
"""

from ldl_jax.metrics.calibration import calibration_curve, ece, quantile_calibration_error
from ldl_jax.metrics.correlation import pearson, spearman
from ldl_jax.metrics.distribution import Coverage, crps, interval_coverage, nll
from ldl_jax.metrics.errors import (
    accuracy,
    cumulative_accuracy,
    cumulative_score_curve,
    epsilon_error,
    mae,
    one_off_accuracy,
    rmse,
)
from ldl_jax.metrics.labels import (
    average_mae,
    balanced_mae,
    confusion_matrix,
    maximum_mae,
    per_label_mae,
    quadratic_weighted_kappa,
)
from ldl_jax.metrics.metric import (
    Mean,
    Metric,
    Rules,
    accumulated,
    averaged,
    mean_of,
    merged,
    together,
)
from ldl_jax.metrics.selective import RiskCoverage, aurc, risk_coverage_curve
from ldl_jax.metrics.truth import (
    canberra,
    chebyshev,
    clark,
    cosine,
    earth_mover,
    euclidean,
    intersection,
    jensen_shannon,
    kl_to_truth,
    ldl_measures,
    measures,
)

__all__ = [
    "Coverage",
    "Mean",
    "Metric",
    "RiskCoverage",
    "Rules",
    "accumulated",
    "accuracy",
    "aurc",
    "average_mae",
    "averaged",
    "balanced_mae",
    "calibration_curve",
    "canberra",
    "chebyshev",
    "clark",
    "confusion_matrix",
    "cosine",
    "crps",
    "cumulative_accuracy",
    "cumulative_score_curve",
    "earth_mover",
    "ece",
    "epsilon_error",
    "euclidean",
    "intersection",
    "interval_coverage",
    "jensen_shannon",
    "kl_to_truth",
    "ldl_measures",
    "mae",
    "maximum_mae",
    "mean_of",
    "measures",
    "merged",
    "nll",
    "one_off_accuracy",
    "pearson",
    "per_label_mae",
    "quadratic_weighted_kappa",
    "quantile_calibration_error",
    "risk_coverage_curve",
    "rmse",
    "spearman",
    "together",
]
