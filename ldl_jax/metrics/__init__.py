"""Metrics, each a plain function and an accumulator that merges over batches and devices.

`mae(pred, labels)` is the metric of some rows; `MAE` is its accumulator, a `Metric` of four pure
functions `init() -> acc`, `update(acc, pred, labels, mask=None) -> acc`, `merge(acc, acc) -> acc`
and `result(acc)`. The accumulator of a metric with parameters is made by a function of them, called
as the plain one with `_metric` behind it: `nll(probs, labels, space)` and `nll_metric(space)`. Two
have names of their own: `within(n)` is that of `cumulative_accuracy`, and `spearman_rows(capacity)`
that of `spearman`. A plain function is its accumulator, updated once.

**Exact merging.** Counts are int32, and sums are sums of integers (`metrics.sums`), so that any
batches in any order on any devices have the same result, to the last bit, for the same scores of
the rows. That holds up to 2^31 rows, up to 2^23 of them in an update and 2^23 accumulators merged;
a score is cut off below 2^-64. What may differ in its last digit is a row's own score, where a
batch of another shape is compiled into another order of float32 operations.

**Rows.** `pred` and `labels` are [N], in the label's unit; `probs` and `truth` are [N, K] and sum
to one. All is computed in float32. The rows where `mask` [N] (bool, or 0 and 1; None keeps all) is
zero are ignored, whatever they hold, NaN included. A kept row is expected to hold numbers: a NaN
makes a mean NaN, and in a count it is a miss. Of no row at all a metric is NaN, and a count 0.
Shapes that disagree are a ValueError, which names the argument.

Here are the errors of an estimate; the others live by family in `metrics.correlation`,
`metrics.labels`, `metrics.distribution`, `metrics.calibration` and `metrics.truth`, what all are
made of in `metrics.accumulators`, and every public one is a name of this module.
"""

from ldl_jax.metrics.accumulators import Mean, Metric, averaged, merged, together
from ldl_jax.metrics.calibration import (
    calibration_curve,
    calibration_curve_metric,
    ece,
    ece_metric,
    quantile_calibration_error,
    quantile_calibration_error_metric,
)
from ldl_jax.metrics.correlation import PEARSON, pearson, spearman, spearman_rows
from ldl_jax.metrics.distribution import (
    Coverage,
    crps,
    crps_metric,
    interval_coverage,
    interval_coverage_metric,
    nll,
    nll_metric,
)
from ldl_jax.metrics.errors import (
    ACCURACY,
    EPSILON_ERROR,
    MAE,
    ONE_OFF_ACCURACY,
    RMSE,
    accuracy,
    cumulative_accuracy,
    cumulative_score_curve,
    cumulative_score_curve_metric,
    epsilon_error,
    mae,
    one_off_accuracy,
    rmse,
    within,
)
from ldl_jax.metrics.labels import (
    balanced_mae,
    balanced_mae_metric,
    confusion_matrix,
    confusion_matrix_metric,
    per_label_mae,
    per_label_mae_metric,
)
from ldl_jax.metrics.truth import (
    CANBERRA,
    CHEBYSHEV,
    CLARK,
    COSINE,
    INTERSECTION,
    KL_TO_TRUTH,
    LDL_MEASURES,
    canberra,
    chebyshev,
    clark,
    cosine,
    intersection,
    kl_to_truth,
    ldl_measures,
)

__all__ = [
    "ACCURACY",
    "CANBERRA",
    "CHEBYSHEV",
    "CLARK",
    "COSINE",
    "EPSILON_ERROR",
    "INTERSECTION",
    "KL_TO_TRUTH",
    "LDL_MEASURES",
    "MAE",
    "ONE_OFF_ACCURACY",
    "PEARSON",
    "RMSE",
    "Coverage",
    "Mean",
    "Metric",
    "accuracy",
    "averaged",
    "balanced_mae",
    "balanced_mae_metric",
    "calibration_curve",
    "calibration_curve_metric",
    "canberra",
    "chebyshev",
    "clark",
    "confusion_matrix",
    "confusion_matrix_metric",
    "cosine",
    "crps",
    "crps_metric",
    "cumulative_accuracy",
    "cumulative_score_curve",
    "cumulative_score_curve_metric",
    "ece",
    "ece_metric",
    "epsilon_error",
    "intersection",
    "interval_coverage",
    "interval_coverage_metric",
    "kl_to_truth",
    "ldl_measures",
    "mae",
    "merged",
    "nll",
    "nll_metric",
    "one_off_accuracy",
    "pearson",
    "per_label_mae",
    "per_label_mae_metric",
    "quantile_calibration_error",
    "quantile_calibration_error_metric",
    "rmse",
    "spearman",
    "spearman_rows",
    "together",
    "within",
]
