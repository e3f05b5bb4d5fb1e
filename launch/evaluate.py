"""Scores trained models on a labelled set, without training.

python -m launch.evaluate --checkpoint=runs/quickstart --config=configs/quickstart.py
python -m launch.evaluate --checkpoint=runs/mine --checkpoint=imdb.h5 --part=all \\
    --config.data.name=csv_folder --config.data.csv=faces/ages.csv --out=evaluated
python -m launch.evaluate --checkpoint=runs/mine --config=configs/mine.py --corruptions

The keys config.data.* are those of a training's config: dataset, protocol, parts. The pictures are
prepared as each model was trained to see them, whatever data.size says. Ages are compared in years,
whatever grid or groups a model has; with data.space, as adience, in that space. Another unit, as a
score, is a scale of its own: a model of other ends is refused.

Ages are decided at 18, 21 and 25 (--thresholds), errors compared by group of people (--groups), and
a challenge age chosen for a false positive rate (--max-fpr): see docs/decisions.md.
With --corruptions spoiled copies of the pictures are scored too (docs/report.md).
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from ldl_jax.data.synthetic.corruptions import CORRUPTIONS
from ldl_jax.evaluation import compare, gallery, grid, report, robustness, trust_tables
from ldl_jax.predict import hub
from ldl_jax.run import config as schema
from ldl_jax.run import only_data, operating, score_folder, scoring, spoiling
from ldl_jax.run.command import fail, flag_errors, quiet, start
from ldl_jax.run.config import Config
from ldl_jax.run.progress import bar, teller
from ldl_jax.run.spoiling import Spoiling
from ldl_jax.workdir import Row

# Of the data section, what a model brings with it.
_OF_THE_MODEL = (
    *("size", "stored_size", "crop", "square", "channels", "mean", "std", "alignment"),
)


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags when the command starts: other commands have some of these names."""
    flags.DEFINE_multi_string(
        "checkpoint",
        [],
        "a run's workdir, one checkpoint, or the file of an age model; may be repeated, or be "
        "given without the flag's name",
        flag_values=values,
    )
    flags.DEFINE_multi_string(
        "trust",
        [],
        "a module that a checkpoint may have imported, and so run: package.module; may be repeated",
        flag_values=values,
    )
    only_data.define_flag(values)
    flags.DEFINE_enum(
        "part", "test", scoring.PARTS, "of the dataset; all needs no split", flag_values=values
    )
    flags.DEFINE_list(
        "thresholds",
        None,
        "ages that are decided, as 18,21,25, which is the default where they lie within the labels",
        flag_values=values,
    )
    flags.DEFINE_list(
        "groups",
        None,
        "what errors are compared by, as sex,skin; by default all groups of people that are known",
        flag_values=values,
    )
    flags.DEFINE_float(
        "max-fpr",
        None,
        "chooses on the validation part, for each threshold, the least challenge age with at most "
        "this share of people under the threshold who pass; needs --part=test",
        flag_values=values,
    )
    flags.DEFINE_float("confidence", 0.95, "of that choice", flag_values=values)
    flags.DEFINE_boolean(
        "raw", False, "score answers as the networks give them, uncalibrated", flag_values=values
    )
    flags.DEFINE_string(
        "out", None, "a folder for tables, predictions and figures", flag_values=values
    )
    _define_corruption_flags(values)


def _define_corruption_flags(values: flags.FlagValues) -> None:
    """Defines the flags of spoiled pictures."""
    flags.DEFINE_flag(
        flags.Flag(
            _KindsParser(),
            None,
            "corruptions",
            (),
            "score spoiled copies of the pictures too: by all corruptions, or by those named, as "
            f"--corruptions=blur,noise, of {', '.join(CORRUPTIONS)}",
            boolean=True,
        ),
        flag_values=values,
    )
    flags.DEFINE_list(
        "severities", None, "of the corruptions, as 1,3,5; by default 1 to 5", flag_values=values
    )
    flags.DEFINE_integer(
        "spoiled-pictures",
        None,
        "how many of the pictures are spoiled, drawn by config.data.seed; by default all",
        flag_values=values,
    )


class _KindsParser(flags.ArgumentParser[tuple[str, ...]]):
    """Parses the names of corruptions; a flag without a value stands for all of them."""

    def parse(self, argument: str | tuple[str, ...]) -> tuple[str, ...]:
        if isinstance(argument, tuple):
            return argument
        if argument in ("true", "false"):  # the flag alone, and --nocorruptions
            return CORRUPTIONS if argument == "true" else ()
        return tuple(name.strip() for name in argument.split(","))

    def flag_type(self) -> str:
        return "comma separated list of corruptions"


def _spoiling(values: flags.FlagValues) -> Spoiling | None:
    """Returns what the flags ask; ValueError where they are wrong."""
    most = values["spoiled-pictures"].value
    if not values.corruptions:
        limits = {"severities": values.severities, "spoiled-pictures": most}
        if named := [f"--{name}" for name, value in limits.items() if value is not None]:
            raise ValueError(f"{', '.join(named)}: of corruptions; give --corruptions too")
        return None
    if values.severities is None:
        return Spoiling(values.corruptions, most=most)
    try:
        severities = tuple(map(int, values.severities))
    except ValueError:
        listed = ",".join(values.severities)
        raise ValueError(f"--severities: expected some of 1 to 5, got {listed}") from None
    return Spoiling(values.corruptions, severities, most)


def main(arguments: Sequence[str]) -> None:
    """Prints the table; ends the process with 1 where something is wrong."""
    quiet()
    values = flags.FLAGS
    named = [*arguments[1:], *values.checkpoint]
    if not named:
        fail("--checkpoint: give a run's workdir, a checkpoint, or the file of an age model")
    out = None if values.out is None else Path(values.out)
    try:
        _check_overrides(only_data.keys_given(values))
        checkpoints = [hub.local(name) for name in named]
        asked = _asked(values)
        config = schema.parse(values.config)
        spoiled = _spoiling(values)
        options = {"raw": values.raw, "spoiled": spoiled}
        run(checkpoints, config, values.part, out, Console(), values.trust, asked, **options)
    except (ValueError, OSError) as error:
        fail(str(error))


@dataclasses.dataclass(frozen=True)
class Questions:
    """Holds what is asked beside the metrics: thresholds, groups, and a false positive rate."""

    thresholds: tuple[float, ...] | None = None
    groups: tuple[str, ...] | None = None
    wanted: operating.Wanted | None = None


def _asked(values: flags.FlagValues) -> Questions:
    """Returns what the flags ask; ValueError where one is wrong."""
    thresholds = None
    if values.thresholds is not None:
        try:
            thresholds = tuple(map(float, values.thresholds))
        except ValueError:
            listed = ",".join(values.thresholds)
            raise ValueError(f"--thresholds: expected numbers, as 18,21, got {listed!r}") from None
    groups = None if values.groups is None else tuple(name.strip() for name in values.groups)
    wanted = None
    if values["max-fpr"].value is not None:
        wanted = operating.Wanted(values["max-fpr"].value, values.confidence)
        if values.part != "test":
            raise ValueError(
                "--max-fpr: a challenge age is chosen on the validation part and checked on the "
                f"test part, got --part={values.part}"
            )
    elif values["confidence"].present:
        raise ValueError("--confidence: is that of --max-fpr, which is not given")
    return Questions(thresholds, groups, wanted)


def run(
    checkpoints: Sequence[Path],
    config: Config,
    part: str,
    out: Path | None,
    console: Console,
    trust: Sequence[str] = (),
    asked: Questions | None = None,
    *,
    raw: bool = False,
    spoiled: Spoiling | None = None,
) -> None:
    """Scores the models on a part, shows the tables, and writes everything into `out`."""
    asked = asked or Questions()
    if out is not None:
        score_folder.check(out)
    log = teller(console)
    with bar(console) as progress:
        task = progress.add_task("pictures")
        flags_of = (trust, asked.thresholds, asked.groups, raw)

        def count(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        points: list[dict[str, Any]] = []
        # The validation part is first, as there may be none.
        parts = (part,) if asked.wanted is None else ("validation", part)
        *held_out, scores = scoring.score_parts(checkpoints, config, parts, log, count, *flags_of)
        if asked.wanted is not None:
            points = operating.choose(asked.wanted, asked.thresholds, held_out[0], scores)
        if spoiled is not None:
            scores = spoiling.score(scores, config, spoiled, _quiet, count)
    rows = rows_of(scores)
    if out is not None:
        score_folder.put(out, scores, rows, config, points)
    unit = scores.models[0].predictions.unit
    grid.show(console, report.table(rows, unit, pictures=scores.pictures))
    analyses = {model.candidate.name: model.analysis for model in scores.models}
    for table in trust_tables.tables(analyses, points):
        console.print()
        grid.show(console, report.table(table, keep=2))
    if asked.wanted is not None:
        for line in operating.lines(points):
            log(line)
    for name, analysis in analyses.items():
        for line in trust_tables.lines(analysis):
            log(f"{name}: {line}")
    if known := spoiling.by_model(scores):
        console.print()
        grid.show(console, report.table(robustness.rows_of(known), keep=2))
        counts = sorted({measured["pictures"] for measured in known.values()})
        of = f"{counts[0]} of the {len(scores.models[0].predictions)} pictures"
        log(f"MAE on {of}, spoiled, in {unit}")
    log(f"split: {scores.protocol}")
    for model in scores.models:
        for note in model.notes:
            log(f"{model.candidate.name}: {note}")
    if out is not None:
        left_out = gallery.left_out()
        if left_out:
            log(f"left out: {left_out}")
        log(f"table, predictions, analyses{'' if left_out else ' and figures'}: {out}")


def _quiet(text: str) -> None:
    """Takes the lines on a part that the lines on the test part say again."""


def rows_of(scores: scoring.Scores) -> list[Row]:
    """Returns a row of the table for each model."""
    rows = []
    for model in scores.models:
        row: Row = {"model": model.candidate.name, "pictures": len(model.predictions)}
        row |= model.summary
        if model is not scores.models[0]:
            row["MAE - first's [95 %]"] = compare.text(model.difference)
        rows.append(row)
    return rows


def _check_overrides(keys: Sequence[str]) -> None:
    """Raises ValueError for keys on the command line that make no difference here."""
    models_own = {f"data.{name}" for name in _OF_THE_MODEL}
    faults = [f"{key} is the model's own" for key in keys if key in models_own]
    known = ("data.", "evaluation.batch_size", "evaluation.distributions")
    faults += [f"{key} is of training" for key in keys if not key.startswith(known)]
    if faults:
        raise ValueError(f"--config: {'; '.join(faults)}; leave it out")


def cli() -> None:
    """Runs the command, for `python -m launch.evaluate` and for `ldl-evaluate`."""
    with flag_errors():
        define_flags()
    start(main)


if __name__ == "__main__":
    cli()
