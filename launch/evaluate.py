"""Scores trained models on a labelled set, without training.

python -m launch.evaluate --checkpoint=runs/quickstart --config=configs/quickstart.py
python -m launch.evaluate --checkpoint=runs/mine --checkpoint=imdb.h5 --part=all \\
    --config.data.name=csv_folder --config.data.csv=faces/ages.csv --out=evaluated

The keys config.data.* are those of a training's config: dataset, protocol, parts. The pictures are
prepared as each model was trained to see them, whatever data.size says. Ages are compared in years,
whatever grid or groups a model has; with data.space, as adience, in that space. Another unit, as a
score, is a scale of its own: a model of other ends is refused.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from ldl_jax.evaluation import compare, grid, report
from ldl_jax.run import config as schema
from ldl_jax.run import only_data, score_folder, scoring
from ldl_jax.run.command import fail, flag_errors, only_flags, quiet, start
from ldl_jax.run.config import Config
from ldl_jax.run.progress import bar, teller
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
        "a run's workdir, one checkpoint, or the file of an age model; may be repeated",
        flag_values=values,
    )
    flags.DEFINE_multi_string(
        "trust",
        [],
        "a module of a checkpoint's own method that may be run (package.module); may be repeated",
        flag_values=values,
    )
    config_flags.DEFINE_config_file(
        "config",
        only_data.__file__,
        "whose data section is taken; --config.data.KEY=VALUE alone does as well",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "part", "test", scoring.PARTS, "of the dataset; all needs no split", flag_values=values
    )
    flags.DEFINE_string(
        "out", None, "a folder for tables, predictions and figures", flag_values=values
    )


def main(arguments: Sequence[str]) -> None:
    """Prints the table; ends the process with 1 where something is wrong."""
    quiet()
    only_flags(arguments)
    values = flags.FLAGS
    if not values.checkpoint:
        fail("--checkpoint: give a run's workdir, a checkpoint, or the file of an age model")
    out = None if values.out is None else Path(values.out)
    try:
        _check_overrides([*config_flags.get_override_values(values["config"])])
        checkpoints = [Path(name) for name in values.checkpoint]
        config = schema.parse(values.config)
        run(checkpoints, config, values.part, out, Console(), values.trust)
    except (ValueError, OSError) as error:
        fail(str(error))


def run(
    checkpoints: Sequence[Path],
    config: Config,
    part: str,
    out: Path | None,
    console: Console,
    trust: Sequence[str] = (),
) -> None:
    """Scores the models on a part, shows the table, and writes everything into `out`."""
    if out is not None:
        score_folder.check(out)
    log = teller(console)
    with bar(console) as progress:
        task = progress.add_task("pictures")

        def count(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        scores = scoring.score(checkpoints, config, part, log, count, trust)
    rows = rows_of(scores)
    if out is not None:
        score_folder.put(out, scores, rows, config)
    grid.show(console, report.table(rows, scores.models[0].predictions.unit))
    log(f"split: {scores.protocol}")
    for model in scores.models:
        for note in model.notes:
            log(f"{model.candidate.name}: {note}")
    if out is not None:
        log(f"table, predictions, analyses and figures: {out}")


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
