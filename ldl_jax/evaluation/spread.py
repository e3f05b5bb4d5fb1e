"""Several runs' results as their mean and their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def with_mean(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """The rows, then one of their means and one of their standard deviations.

    s = √(Σ_i (x_i - x̄)² / (R - 1)) over the R rows: the spread of one run, not that of the mean.

    Args:
      rows: R results; keys whose values are not floats, or that a row lacks, are left out of the
        two.
      name: the key that says which row is which; "mean" and "std" in the two.
    """
    result = [dict(row) for row in rows]
    numbers = {
        key: [row[key] for row in rows]
        for key in rows[0]
        if all(isinstance(row.get(key), float) for row in rows)
    }
    result.append({name: "mean", **{key: float(np.mean(x)) for key, x in numbers.items()}})
    if len(rows) > 1:
        std = {key: float(np.std(x, ddof=1)) for key, x in numbers.items()}
        result.append({name: "std", **std})
    return result
