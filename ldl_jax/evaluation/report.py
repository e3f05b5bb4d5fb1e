"""From predictions to numbers and tables; a row a generation, as in CEN's Table 5."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from rich import box
from rich.table import Table

from ldl_jax import arrays, metrics
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import SPACES, LabelSpace

# Summary keys in a table's order, with their headings and formats. Heads' MAEs follow "mae".
HEADINGS = {
    "mae": ("MAE", "{:.3f}"),
    "rmse": ("RMSE", "{:.3f}"),
    "epsilon_error": ("ε-error", "{:.3f}"),
    "ca3": ("CA(3) %", "{:.2%}"),
    "ca5": ("CA(5) %", "{:.2%}"),
    "ca7": ("CA(7) %", "{:.2%}"),
    "accuracy": ("accuracy %", "{:.2%}"),
    "one_off_accuracy": ("1-off %", "{:.2%}"),
    "pearson": ("Pearson r", "{:.3f}"),
    "truth_kl": ("KL to truth", "{:.3f}"),
}
# Summary keys of the distributions, for the JSON alone: a terminal of 80 columns has no room.
NOT_SHOWN = ("nll", "crps", "coverage90")
ABSENT = "–"


def summary(predictions: Predictions) -> dict[str, float]:
    """The metrics of one set of predictions, as Python floats.

    Keys: mae, rmse (in the label's unit), mae_<head> for each head, epsilon_error over the rows
    whose sigma is known, ca3, ca5 and ca7 (strict, fractions, of years only), accuracy and
    one_off_accuracy (fractions, of `labels.SPACES`' groups only: an estimate is of the group that
    holds it, or in a gap of that with the nearest midpoint), pearson, and truth_kl (mean, in nats)
    over the rows whose true distribution is known. Of the learned distributions nll (in nats), crps
    (in the label's unit) and coverage90 (the fraction of labels within the central 90 % interval).
    What is not known or not defined (a correlation with a constant, a metric of distributions that
    are not kept) has no key. Of identities there is the accuracy alone: their numbers are names.
    """
    if predictions.unit == "identity":
        return {"accuracy": float(np.mean(predictions.values == predictions.labels))}
    given = (predictions.values, predictions.labels, predictions.probs)
    years = predictions.unit == "years"
    numbers: dict[str, Any] = _numbers(
        *given, predictions.heads, predictions.sigma, space=space_of(predictions), years=years
    )
    if (truth_kl := predictions.truth_kl) is not None and not np.isnan(truth_kl).all():
        numbers["truth_kl"] = np.nanmean(truth_kl, dtype=np.float64)
    found = {name: float(x) for name, x in numbers.items()}
    return {name: found[name] for name in _ordered(found) if not math.isnan(found[name])}


# One program, compiled fast: it runs once or twice, each metric's own would take twice as long.
@functools.partial(
    jax.jit,
    static_argnames=("space", "years"),
    compiler_options={"xla_backend_optimization_level": 0},
)
def _numbers(
    values: jax.Array,
    labels: jax.Array,
    probs: jax.Array,
    heads: Mapping[str, jax.Array],
    sigma: jax.Array | None,
    *,
    space: LabelSpace | None,
    years: bool,
) -> dict[str, jax.Array]:
    numbers = {"mae": metrics.mae(values, labels), "rmse": metrics.rmse(values, labels)}
    for name, head in heads.items():
        numbers[f"mae_{name}"] = metrics.mae(head, labels)
    if sigma is not None:
        numbers["epsilon_error"] = metrics.epsilon_error(values, labels, sigma, mask=sigma > 0)
    if years:
        for n in (3, 5, 7):
            numbers[f"ca{n}"] = metrics.cumulative_accuracy(values, labels, n)
    if space is not None and space.bounds:
        groups = [arrays.index(arrays.float32(x), space) for x in (values, labels)]
        numbers["accuracy"] = metrics.accuracy(*groups)
        numbers["one_off_accuracy"] = metrics.one_off_accuracy(*groups)
    numbers["pearson"] = metrics.pearson(values, labels)
    if space is None:
        return numbers
    return numbers | {
        "nll": metrics.nll(probs, labels, space),
        "crps": metrics.crps(probs, labels, space),
        "coverage90": metrics.interval_coverage(probs, labels, space).fraction,
    }


def _ordered(names: Collection[str]) -> list[str]:
    """A summary's keys: both errors of the estimate, then the heads', then all else."""
    order = [*HEADINGS, *NOT_SHOWN]
    heads = [name for name in names if name not in order]
    return [*order[:2], *heads, *(name for name in order[2:] if name in names)]


def baseline_mae(train_labels: np.ndarray, test_labels: np.ndarray) -> float:
    """MAE of always answering the training labels' mean: what a model must beat to have learned."""
    constant = np.mean(train_labels, dtype=np.float64)
    return float(np.mean(np.abs(np.asarray(test_labels, np.float64) - constant)))


def table(rows: Sequence[Mapping[str, Any]], unit: str = "years") -> Table:
    """The rows as a table for the terminal, its units in the caption.

    A row holds "generation", "test pictures", anything else to be shown as it is, and a summary's
    keys. A column that no row has is left out.
    """
    names = _columns(rows)
    result = Table(
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
        caption=footnote(rows, unit),
        caption_justify="left",
    )
    for name in names:
        # In a narrow terminal headings fold, numbers never do.
        width = max(len(_cell(row, name)) for row in rows)
        result.add_column(heading(name)[0], justify="right", min_width=width, overflow="fold")
    for row in rows:
        result.add_row(*(_cell(row, name) for name in names))
    return result


def markdown(rows: Sequence[Mapping[str, Any]], unit: str = "years") -> str:
    """The same table in Markdown, its units in a line below."""
    names = _columns(rows)
    lines = [[heading(name)[0] for name in names], ["---:"] * len(names)]
    lines += [[_cell(row, name) for name in names] for row in rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{text}\n\n{footnote(rows, unit)}\n"


def footnote(rows: Sequence[Mapping[str, Any]], unit: str = "years") -> str:
    """What the columns' numbers are measured in, of those columns that the rows have."""
    names = _columns(rows)
    notes = []
    errors = "MAE and RMSE" if "rmse" in names else "MAE"
    if any(_is_mae(name) for name in names) or "rmse" in names:
        notes.append(f"{errors} in {unit}.")
    if any(name in names for name in ("ca3", "ca5", "ca7")):
        notes.append(f"CA(n): test pictures with an error smaller than n {unit}, in %.")
    if "accuracy" in names:
        notes.append("Accuracy: of the group; 1-off: of it or one beside it, in %.")
    if "truth_kl" in names:
        notes.append("KL(true || learned distribution) in nats.")
    return " ".join(notes)


def space_of(predictions: Predictions) -> LabelSpace | None:
    """The space of the probabilities, where they are kept.

    A file holds no bounds, so groups are known by their values: those that are none of `SPACES` are
    taken for a grid of their midpoints.
    """
    if predictions.space_values.size == 0:
        return None
    for space in SPACES.values():
        if np.array_equal(predictions.space_values, np.asarray(space.values, np.float32)):
            return space
    return LabelSpace(tuple(predictions.space_values.tolist()), predictions.unit)


def _is_mae(name: str) -> bool:
    return name == "mae" or name.startswith("mae_")


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    given = list(dict.fromkeys(name for row in rows for name in row))
    other = (*HEADINGS, *NOT_SHOWN)
    shown = [name for name in given if name not in other and not _is_mae(name)]
    maes = sorted((name for name in given if _is_mae(name)), key=lambda name: name != "mae")
    return shown + maes + [name for name in HEADINGS if name in given and name != "mae"]


def heading(name: str) -> tuple[str, str]:
    """The heading and the format of a column, of any key."""
    if name in HEADINGS:
        return HEADINGS[name]
    return f"MAE {name.removeprefix('mae_')}" if _is_mae(name) else name, HEADINGS["mae"][1]


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ABSENT
    if name in HEADINGS or _is_mae(name) or isinstance(value, float):
        text = heading(name)[1].format(value)
        return text.removesuffix("%")  # it is in the heading
    return str(value)
