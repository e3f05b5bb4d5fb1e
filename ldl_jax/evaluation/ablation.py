"""Several runs of each of several settings: the means, the spreads, and who is better."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ldl_jax.evaluation import compare, predictions, report
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.metrics import table

FOOTNOTE = (
    "Mean ± standard deviation over the runs of a setting. The difference of MAE is from the "
    "setting marked *, picture by picture, each picture's error averaged over the runs, with the "
    "95 % interval of the bootstrap over pictures, or over persons where they are known."
)
Setting = Mapping[str, object]  # by dotted key


class Tested(NamedTuple):
    """A finished run, its workdir, and how many generations it has finished.

    Runs of the same setting go into one row.
    """

    setting: Setting
    folder: Path
    generations: int


def rows(
    runs: Sequence[Tested],
    reference: Setting,
    *,
    columns: Sequence[str] = (),
    generations: bool = False,
    heads: bool = False,
) -> list[dict[str, str]]:
    """Returns the table's rows, with cells as text, in the order of the runs.

    Args:
      runs: all of them.
      reference: the setting that the others are compared with; the first one where none has it.
      columns: keys of `report.summary`, "–" in rows that have no such number; all of its table's
        where there are none.
      generations: a row for each generation, not the last one's alone.
      heads: a row for each head's estimate, then one for the method's.
    """
    repeated = [run.setting for run in runs]
    settings = [setting for i, setting in enumerate(repeated) if setting not in repeated[:i]]
    if reference not in settings:
        reference = settings[0]
    wanted = [run for run in runs if run.setting == reference]
    result, standard = [], _answers(wanted, max(run.generations for run in wanted))
    names = _short([*reference])
    for setting in settings:
        repeats = [run for run in runs if run.setting == setting]
        last = max(run.generations for run in repeats)
        for generation in range(1 if generations else last, last + 1):
            last_of_reference = setting == reference and generation == last
            answers = standard if last_of_reference else _answers(repeats, generation)
            for estimate, of_it in _estimates(answers, heads).items():
                row = {names[key]: _text(x) for key, x in setting.items()}
                if setting == reference and len(settings) > 1:
                    row[next(iter(row))] += " *"
                row |= {"t": str(generation)} if generations else {}
                row |= {"estimate": estimate} if heads else {}
                row |= {"runs": str(len(of_it)), **_numbers(of_it, columns)}
                if setting != reference:
                    difference = compare.paired_difference(of_it, standard)
                    row["MAE - *'s [95 %]"] = compare.text(difference)
                result.append(row)
    return result


def _answers(runs: Sequence[Tested], generation: int) -> list[Predictions]:
    """Reads the runs' predictions; of a run that ended earlier its last."""
    names = [f"generation_{min(generation, run.generations)}.csv" for run in runs]
    files = [run.folder / "predictions" / name for run, name in zip(runs, names, strict=True)]
    return [predictions.read(file) for file in files]


def _estimates(answers: list[Predictions], heads: bool) -> dict[str, list[Predictions]]:
    """Returns the runs' predictions by whose estimate they are."""
    of_heads = {
        name: [dataclasses.replace(answer, values=answer.heads[name]) for answer in answers]
        for name in (answers[0].heads if heads else ())
    }
    return of_heads | {"of the method": answers}


def _numbers(answers: Sequence[Predictions], columns: Sequence[str]) -> dict[str, str]:
    summaries = [report.summary(answer) for answer in answers]
    cells = {}
    for key in columns or [entry.key for entry in table.TABLE if entry.shown]:
        heading, form = report.heading(key)
        values = [summary[key] for summary in summaries if key in summary]
        if values:
            cells[heading] = form.format(np.mean(values)).removesuffix("%")
            if len(values) > 1:
                cells[heading] += f" ± {form.format(np.std(values, ddof=1)).removesuffix('%')}"
        elif columns:
            cells[heading] = report.ABSENT
    return cells


def _short(keys: Sequence[str]) -> dict[str, str]:
    """Returns the last word of each dotted key; all of it where two end alike."""
    lasts = {key: key.rpartition(".")[2] for key in keys}
    alike = collections.Counter(lasts.values())
    return {key: last if alike[last] == 1 else key for key, last in lasts.items()}


def _text(value: object) -> str:
    if value is None:
        return report.ABSENT
    return f"{value:g}" if isinstance(value, float) else str(value)
