"""Calibrates a trained model: its distributions, and intervals that hold what they promise.

python -m launch.calibrate runs/mine
python -m launch.calibrate runs/mine --coverage=0.95 --ranges=18,40,60
python -m launch.calibrate model.safetensors --part=all --config.data.name=csv_folder \\
    --config.data.csv=faces/ages.csv

It is fitted on the validation part of the model's own run, or on other labelled pictures, which
the keys config.data.* name as those of a training do; never on its run's train or test part.
It is kept in the checkpoint, or in the model's file. Predictions, scores and exports use it from
then on, and --raw leaves it out there. docs/calibration.md says what is promised, and when.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from ldl_jax import files
from ldl_jax.calibration import Options
from ldl_jax.calibration.conformal import SCORES
from ldl_jax.evaluation import calibrating as tables
from ldl_jax.evaluation import grid
from ldl_jax.predict import hub
from ldl_jax.run import calibrating, only_data, scoring
from ldl_jax.run import config as schema
from ldl_jax.run.command import fail, flag_errors, quiet, start
from ldl_jax.run.progress import bar, teller


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags when the command starts: other commands have some of these names."""

    def boolean(name: str, default: bool, text: str) -> None:
        flags.DEFINE_boolean(name, default, text, flag_values=values)

    def string(name: str, text: str) -> None:
        flags.DEFINE_string(name, None, text, flag_values=values)

    flags.DEFINE_float(
        "coverage",
        0.9,
        "what the intervals must be able to hold of new labels; others can be asked for later",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "score",
        None,
        SCORES,
        "of the intervals; by default cdf, and rps where the method gives a value alone",
        flag_values=values,
    )
    flags.DEFINE_list(
        "ranges", [], "labels, as 18,40,60: each range keeps the coverage", flag_values=values
    )
    boolean("groups", False, "each group of people keeps the coverage, where groups are known")
    boolean("temperature", True, "temper the distributions")
    boolean("recalibrate", True, "map their cumulative probabilities")
    flags.DEFINE_integer(
        "seed", 0, "of the draw of the pictures that are for the distributions", flag_values=values
    )
    string("to", "a new file for the calibrated model (.safetensors); by default where it is")
    string("json", "a JSON file for the figures")
    boolean("force", False, "replace the file of --to")
    only_data.define_flag(values)
    flags.DEFINE_enum(
        "part", "validation", scoring.PARTS, "of the dataset that is given", flag_values=values
    )
    flags.DEFINE_multi_string(
        "trust",
        [],
        "a module that the checkpoint or its run's config may have imported, and so run: "
        "package.module",
        flag_values=values,
    )
    boolean("allow-unsealed", False, "read a checkpoint that was sealed once and has no seal now")


def main(arguments: Sequence[str]) -> None:
    """Calibrates the model, and prints what that is worth; ends with 1 where something is wrong."""
    quiet()
    values = flags.FLAGS
    try:
        options = check(arguments[1:], values)
        run(arguments[1], options, values, Console())
    except (ValueError, OSError) as error:
        fail(str(error))


def check(names: Sequence[str], values: flags.FlagValues) -> Options:
    """Checks the command line before anything is read or written.

    Raises:
      ValueError: naming everything that is wrong.
    """
    faults: list[str] = []
    edges: list[float] = []
    options = Options()
    if len(names) != 1:
        count = f"{len(names)} ({', '.join(names)})" if names else "none"
        faults.append(f"give one run, checkpoint or model file to calibrate, got {count}")
    try:
        edges = [float(text) for text in values.ranges]
    except ValueError:
        faults.append(f"--ranges: expected numbers, as 18,40,60, got {','.join(values.ranges)}")
    if any(not a < b for a, b in itertools.pairwise(edges)):
        faults.append(f"--ranges: expected numbers that rise, got {','.join(values.ranges)}")
    try:
        options = Options(
            temperature=values.temperature,
            recalibrate=values.recalibrate,
            score=values.score or "cdf",
            edges=tuple(edges),
            groups=values.groups,
            coverage=values.coverage,
            seed=values.seed,
        )
    except ValueError as error:
        faults += [f"--{line}" for line in str(error).split("; ")]
    if values.to is not None:
        target = Path(values.to)
        if target.suffix != ".safetensors":
            faults.append(f"--to: expected a name that ends in .safetensors, got {values.to!r}")
        elif target.exists() and not (values.force and target.is_file()):
            faults.append(f"--to: {values.to} is there already; give another name, or --force")
    if values.json is not None and Path(values.json).is_dir():
        faults.append(f"--json: {values.json} is a folder, expected a file")
    overrides = [*config_flags.get_override_values(values["config"])]
    known = ("data.", "evaluation.batch_size")
    faults += [f"--config.{key}: is of training" for key in overrides if not key.startswith(known)]
    if values["part"].present and not _other_pictures(values):
        faults.append("--part: is of a dataset that --config.data names; leave it out")
    if faults:
        raise ValueError("; ".join(faults))
    return options


def _other_pictures(values: flags.FlagValues) -> bool:
    """Returns whether pictures are given, so that those of the model's own run are not taken."""
    keys = config_flags.get_override_values(values["config"])
    return bool(values["config"].present) or any(key.startswith("data.") for key in keys)


def run(name: str, options: Options, values: flags.FlagValues, console: Console) -> None:
    """Fits the calibration, shows what it is worth, and keeps it.

    Raises:
      ValueError, OSError: something cannot be read, is not for calibration, or cannot be written.
    """
    log, path = teller(console), hub.local(name)
    in_place = values.to is None
    if in_place and name.startswith("hf://"):
        raise ValueError("--to: a model on the hub is calibrated into a file; give its name")
    unsealed = bool(values["allow-unsealed"].value)
    predictor = calibrating.opened(path, values.trust, unsealed, in_place, log)
    if predictor.value_alone and values.score is None:
        options = dataclasses.replace(options, score="rps")
    if _other_pictures(values):
        pictures = calibrating.LabelledPart(schema.parse(values.config), values.part, of_run=False)
    else:
        pictures = calibrating.validation_of(path, values.trust)
    with bar(console) as progress:
        task = progress.add_task("pictures")

        def count(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        outcome = calibrating.calibrate(predictor, path, pictures, options, log, count)
    grid.show(console, tables.table(outcome.before, outcome.after, predictor.space))
    fitted = outcome.calibration
    log(f"{outcome.pictures} pictures ({fitted.data}); temperature {fitted.temperature:.3f}")
    for note in outcome.notes:
        log(note)
    kept_in = calibrating.keep(predictor, path, fitted, None if in_place else Path(values.to))
    if values.json is not None:
        both = {"before": outcome.before, "after": outcome.after}
        content = {key: x and dataclasses.asdict(x) for key, x in both.items()}
        files.write_json(values.json, content | {"notes": outcome.notes})
    log(f"kept in {kept_in}")


def cli() -> None:
    """Runs the command, for `python -m launch.calibrate` and for `ldl-calibrate`."""
    with flag_errors():
        define_flags()
    start(main)


if __name__ == "__main__":
    cli()
