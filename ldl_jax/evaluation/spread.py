"""The mean and the spread of several runs' results."""

from collections.abc import Mapping, Sequence

import numpy as np

from ldl_jax.workdir import Row


def with_mean(rows: Sequence[Mapping[str, object]], name: str) -> list[Row]:
    """Returns the rows, then a row of their means and one of their standard deviations.

    s = √(Σ_i (x_i - x̄)² / (R - 1)) over the R rows: the spread of one run, not that of the mean.

    Args:
      rows: R results; keys whose values are not floats, or that a row lacks, are left out of the
        two.
      name: the key that says which row is which; "mean" and "std" in the two.
    """
    result: list[Row] = [dict(row) for row in rows]
    floats = {key: [x for row in rows if isinstance(x := row.get(key), float)] for key in rows[0]}
    numbers = {key: listed for key, listed in floats.items() if len(listed) == len(rows)}
    result.append({name: "mean", **{key: float(np.mean(x)) for key, x in numbers.items()}})
    if len(rows) > 1:
        std = {key: float(np.std(x, ddof=1)) for key, x in numbers.items()}
        result.append({name: "std", **std})
    return result
