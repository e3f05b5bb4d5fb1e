"""Summaries and tables of predictions; a row a generation, as in CEN's Table 5."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from ldl_jax.evaluation import cells, grid
from ldl_jax.evaluation.grid import Column, Grid
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics import table as metrics_table
from ldl_jax.metrics.table import Estimates, MetricEntry

ABSENT = "–"


def summary(predictions: Predictions) -> dict[str, float]:
    """Returns the metrics of `metrics.table` of one set of predictions, as Python floats.

    A metric that needs what is not known (σ, groups, distributions that are kept), or that is not
    defined (a correlation with a constant), has no key. The ε-error is over the rows whose σ is
    known, and truth_kl over those whose true distribution is. The MAE of each head is mae_<head>.
    """
    space, truth_kl = predictions.space, predictions.truth_kl
    offered = metrics_table.offers(
        space,
        predictions.labels,
        predictions.sigma,
        truth_kl is not None and not bool(np.isnan(truth_kl).all()),
        predictions.probs.shape[1] > 0,
    )
    estimates = Estimates(
        predictions.values, predictions.labels, predictions.probs, predictions.sigma, truth_kl
    )
    chosen = metrics_table.entries(offered)
    numbers = _numbers(estimates, predictions.heads, space=space, chosen=chosen)
    return defined(numbers, chosen, [*predictions.heads])


def defined(
    numbers: Mapping[str, jax.Array], chosen: Sequence[MetricEntry], heads: Sequence[str]
) -> dict[str, float]:
    """Returns the numbers that are defined as Python floats, in a summary's order."""
    floats = {key: float(numbers[key]) for key in metrics_table.keys(chosen, heads)}
    return {key: x for key, x in floats.items() if not math.isnan(x)}


# One program, compiled fast: it runs once or twice, each metric's own would take twice as long.
@functools.partial(
    jax.jit,
    static_argnames=("space", "chosen"),
    compiler_options={"xla_backend_optimization_level": 0},
)
def _numbers(
    estimates: Estimates,
    heads: Mapping[str, jax.Array],
    *,
    space: LabelSpace,
    chosen: tuple[MetricEntry, ...],
) -> dict[str, jax.Array]:
    accs = metrics_table.start(space, chosen, [*heads])
    accs = metrics_table.add(accs, estimates, heads, space, chosen)
    return metrics_table.results(accs, space, chosen)


def baseline_mae(train_labels: np.ndarray, test_labels: np.ndarray) -> float:
    """Returns the MAE of always answering the training labels' mean, which a model must beat."""
    constant = np.mean(train_labels, dtype=np.float64)
    return float(np.mean(np.abs(np.asarray(test_labels, np.float64) - constant)))


def table(rows: Sequence[Mapping[str, object]], unit: str = "years") -> Table:
    """Returns the rows as a table for the terminal, with the units in the caption.

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
        width = max(len(cell(row, name)) for row in rows)
        result.add_column(heading(name)[0], justify="right", min_width=width, overflow="fold")
    for row in rows:
        result.add_row(*(cell(row, name) for name in names))
    return result


def markdown(rows: Sequence[Mapping[str, object]], unit: str = "years") -> str:
    """Returns the same table in Markdown, with the units in a line below."""
    names = _columns(rows)
    lines = [[heading(name)[0] for name in names], ["---:"] * len(names)]
    lines += [[cell(row, name) for name in names] for row in rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{text}\n\n{footnote(rows, unit)}\n"


def show(
    console: Console, rows: Sequence[Mapping[str, object]], unit: str = "years", keep: int = 1
) -> None:
    """Prints the rows as a table, the first `keep` columns in each of its blocks."""
    grid.show(console, as_grid(rows, unit, keep))


def as_grid(rows: Sequence[Mapping[str, object]], unit: str = "years", keep: int = 1) -> Grid:
    """Returns the rows as a table for the terminal, with the units in the caption.

    A row holds "generation", "test pictures", anything else to be shown as it is, and a summary's
    keys. A column that no row has is left out.
    """
    names = _columns(rows)
    texts = {name for name in names if any(_is_text(row.get(name)) for row in rows)}
    return Grid(
        [Column(heading(name)[0], right=name not in texts) for name in names],
        [[cell(row, name) for name in names] for row in rows],
        keep,
        footnote(rows, unit),
    )


def page(rows: Sequence[Mapping[str, object]], unit: str, notes: Sequence[str]) -> str:
    """Returns the table in Markdown, with notes in a list below it."""
    lines = [f"- {cells.markdown(note)}" for note in notes]
    return "\n".join([markdown(rows, unit), *lines]) + "\n"


def footnote(rows: Sequence[Mapping[str, object]], unit: str = "years") -> str:
    """Returns what the numbers of the rows' columns are measured in."""
    columns = [metrics_table.find(name) for name in _columns(rows)]
    shown = {entry.key for entry in columns if entry is not None}
    errors = [
        entry.heading
        for entry in metrics_table.TABLE
        if entry.unit == metrics_table.LABEL and (entry.key in shown or _of_heads(entry, shown))
    ]
    notes = [f"{' and '.join(errors)} in {unit}."] if errors else []
    notes += [entry.note.format(unit=unit) for entry in columns if entry is not None and entry.note]
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


def _of_heads(entry: MetricEntry, keys: set[str]) -> bool:
    return entry.heads and any(key.startswith(f"{entry.key}_") for key in keys)


def _columns(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Returns the keys of a table's columns: what is no metric, the heads' beside its own, others.

    Metrics that tables do not show are left out.
    """
    keys = list(dict.fromkeys(name for row in rows for name in row))
    columns = [name for name in keys if metrics_table.find(name) is None]
    for entry in metrics_table.TABLE:
        if entry.shown:
            columns += [entry.key] if entry.key in keys else []
            columns += [name for name in keys if name not in columns and _of_heads(entry, {name})]
    return columns
