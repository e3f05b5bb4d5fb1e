"""Makes distributions and intervals keep what they promise, by labels that nothing was trained on.

- `temperature`: probabilities become flatter or sharper, by one number.
- `recalibration`: the cumulative probabilities are mapped, by the frequencies that labels had.
- `conformal`: scores of labels, and thresholds that a share of new labels is sure to keep.
- `fitted`: all of them as one value, `Calibration`, that is fitted, kept and applied.
- `merged`: one interval of several pictures of a person, as of a film's frames.
- `promise`: in words, what was fitted and what intervals promise.

The functions take arrays of any dtype, give float32, and are jit-able; a label space is static.
"""

from ldl_jax.calibration.conformal import (
    conformal_interval,
    least_count,
    own_scores,
    rank,
    scores,
    thresholds,
)
from ldl_jax.calibration.fit import Options, check_count, fit
from ldl_jax.calibration.fitted import Calibration, Cell, apply, interval, limits
from ldl_jax.calibration.merged import majority_interval, single_coverage
from ldl_jax.calibration.promise import facts, guarantee, held
from ldl_jax.calibration.recalibration import fit_recalibration, recalibrate
from ldl_jax.calibration.temperature import fit_temperature, temper

__all__ = [
    "Calibration",
    "Cell",
    "Options",
    "apply",
    "check_count",
    "conformal_interval",
    "facts",
    "fit",
    "fit_recalibration",
    "fit_temperature",
    "guarantee",
    "held",
    "interval",
    "least_count",
    "limits",
    "majority_interval",
    "own_scores",
    "rank",
    "recalibrate",
    "scores",
    "single_coverage",
    "temper",
    "thresholds",
]
