"""Reads what a request asks beside the values, from its address: ?threshold=18&max_width=15."""

import math

from starlette.datastructures import QueryParams

from ldl_jax.evaluation import answers
from ldl_jax.evaluation.answers import Asked
from ldl_jax.predict.predictor import Predictor
from ldl_jax.serve.refused import RefusedError

NAMES = ("threshold", "max_width")
_SHOWN = 40  # characters of a wrong value that are said back


def asked_of(query: QueryParams, predictor: Predictor, default: Asked) -> Asked:
    """Returns what a request asks; what it leaves out is the server's own.

    Args:
      query: the request's, each of `NAMES` at most once.
      predictor: the network.
      default: what the server's flags ask.

    Raises:
      RefusedError: 400, for another name, one that comes twice, what is no number, or what the
        model cannot answer; the line says all of it.
    """
    values: dict[str, float] = {}
    faults = []
    for name, text in query.multi_items():
        if name not in NAMES:
            faults.append(f"query: expected some of {', '.join(NAMES)}, got {name[:_SHOWN]!r}")
        elif name in values:
            faults.append(f"{name}: expected once, it comes twice")
        else:
            values[name] = _number(text)
            if math.isnan(values[name]):
                faults.append(f"{name}: expected a number, got {text[:_SHOWN]!r}")
    if not faults:
        threshold, width = values.get(NAMES[0]), values.get(NAMES[1])
        threshold = default.threshold if threshold is None else threshold
        width = default.max_width if width is None else width
        of = predictor.space, predictor.value_alone
        try:
            return answers.check_asked(
                threshold, width, *of, stand_in=predictor.stand_in, names=NAMES
            )
        except ValueError as error:
            faults.append(str(error))
    raise RefusedError(400, "; ".join(dict.fromkeys(faults)))


def _number(text: str) -> float:
    """Returns the number of a text; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
