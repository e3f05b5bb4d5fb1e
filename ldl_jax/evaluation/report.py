"""Summaries and tables of predictions; a row a generation, as in CEN's Table 5."""

import functools
import math
import re
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from ldl_jax.evaluation import cells
from ldl_jax.evaluation.grid import Column, Grid
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics import table as metrics_table
from ldl_jax.metrics.table import Estimates

ABSENT = "–"
# A program that runs once or twice a generation is not worth the compiler's time.
compiled_fast = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def pictures_of(part: str) -> str:
    """Returns what tables call the pictures of a part: train, validation, test or all."""
    return {"train": "training pictures", "all": "pictures"}.get(part, f"{part} pictures")


TESTED = pictures_of("test")


def summary(predictions: Predictions) -> dict[str, float]:
    """Returns the metrics of `metrics.table` of one set of predictions, as Python floats.

    A metric that needs what is not known (σ, groups, distributions that are kept), or that is not
    defined (a correlation with a constant), has no key. The ε-error is over the rows whose σ is
    known, and truth_kl and its kin over those whose true distribution is. The MAE of each head is
    mae_<head>.
    """
    space, truth_kl = predictions.space, predictions.truth_kl
    labels, probs, sigma = predictions.labels, predictions.probs, predictions.sigma
    truth = truth_kl is not None and not bool(np.isnan(truth_kl).all())
    measures = predictions.measures
    measured = any(not np.isnan(column).all() for column in measures.values())
    offered = metrics_table.offers(space, labels, sigma, truth, probs.shape[1] > 0, measured)
    estimates = Estimates(predictions.values, labels, probs, sigma, truth_kl, measures)
    names = metrics_table.keys(offered, predictions.heads)
    return defined(_numbers(estimates, predictions.heads, space=space, names=names), names)


def defined(numbers: Mapping[str, jax.Array], names: Sequence[str]) -> dict[str, float]:
    """Returns the numbers that are defined as Python floats, in the order of their names."""
    floats = {name: float(numbers[name]) for name in names}
    return {name: x for name, x in floats.items() if not math.isnan(x)}


@functools.partial(compiled_fast, static_argnames=("space", "names"))
def _numbers(
    estimates: Estimates, heads: Mapping[str, jax.Array], *, space: LabelSpace, names: Sequence[str]
) -> dict[str, jax.Array]:
    totals = metrics_table.start(space, names)
    return metrics_table.results(metrics_table.add(totals, estimates, heads, space), space)


def baseline_mae(train_labels: np.ndarray, test_labels: np.ndarray) -> float:
    """Returns the MAE of always answering the training labels' mean, which a model must beat."""
    constant = np.mean(train_labels, dtype=np.float64)
    return float(np.mean(np.abs(np.asarray(test_labels, np.float64) - constant)))


def table(
    rows: Sequence[Mapping[str, object]],
    unit: str = "years",
    keep: int = 1,
    pictures: str = TESTED,
) -> Grid:
    """Returns the rows as a table for the terminal, with the units in the caption.

    A row holds "generation", "test pictures", anything else to be shown as it is, and a summary's
    keys. A column that no row has is left out. The first `keep` columns say what a row is of, and
    `pictures` which ones the numbers are of.
    """
    names = _columns(rows)
    texts = {name for name in names if any(_is_text(row.get(name)) for row in rows)}
    return Grid(
        [Column(heading(name)[0], right=name not in texts) for name in names],
        [[cell(row, name) for name in names] for row in rows],
        keep,
        footnote(rows, unit, pictures),
    )


def markdown(
    rows: Sequence[Mapping[str, object]], unit: str = "years", pictures: str = TESTED
) -> str:
    """Returns the same table in Markdown, with the units in a line below."""
    names = _columns(rows)
    lines = [[heading(name)[0] for name in names], ["---:"] * len(names)]
    lines += [[cells.markdown(cell(row, name)) for name in names] for row in rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{text}\n\n{footnote(rows, cells.markdown(unit), pictures)}\n"


def page(
    rows: Sequence[Mapping[str, object]],
    unit: str,
    notes: Sequence[str],
    pictures: str = TESTED,
) -> str:
    """Returns the table in Markdown, with notes in a list below it."""
    lines = [f"- {cells.markdown(note)}" for note in notes]
    return "\n".join([markdown(rows, unit, pictures), *lines]) + "\n"


def footnote(
    rows: Sequence[Mapping[str, object]], unit: str = "years", pictures: str = TESTED
) -> str:
    """Returns what the numbers of the rows' columns are measured in."""
    columns = [entry for name in _columns(rows) if (entry := metrics_table.find(name))]
    errors = {entry.base for entry in columns if entry.unit == metrics_table.LABEL}
    headings = [entry.heading for entry in metrics_table.TABLE if entry.key in errors]
    notes = [f"{' and '.join(headings)} in {unit}."] if headings else []
    notes += [entry.note.format(unit=unit, pictures=pictures) for entry in columns if entry.note]
    return " ".join(dict.fromkeys(notes))


def heading(name: str) -> tuple[str, str]:
    """Returns the heading and the format of a column, of any key."""
    entry = metrics_table.find(name)
    return (name, "{:.3f}") if entry is None else (entry.heading, entry.form)


def cell(row: Mapping[str, object], name: str) -> str:
    """Returns the text of a row's number; a percent sign is in the heading."""
    value = row.get(name)
    if value is None:
        return ABSENT
    if metrics_table.find(name) is None and not isinstance(value, float):
        return str(value)
    return heading(name)[1].format(value).removesuffix("%")


def _is_text(value: object) -> bool:
    """Returns whether a cell is a name, not a number or a text of numbers."""
    return isinstance(value, str) and not re.match(r"[\d+–-]", value)


def _columns(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Returns the keys of a table's columns: what is no metric, the heads' beside its own, others.

    Metrics that tables do not show are left out.
    """
    by_name = {name: metrics_table.find(name) for row in rows for name in row}
    columns = [name for name, entry in by_name.items() if entry is None]
    for key in [entry.key for entry in metrics_table.TABLE if entry.shown]:
        alike = [name for name, entry in by_name.items() if entry and entry.base == key]
        columns += sorted(alike, key=lambda name: name != key)  # the estimate's own comes first
    return columns
