"""Measures what calibrated intervals hold of labels that nothing has seen, and how wide they are.

    python -m benchmarks.coverage --checkpoint=RUN [--pictures 6000] [--redraws 20]
    python -m benchmarks.coverage --aaf=DIR --weights=faceres-deep.json [--cache DIR]
    python -m benchmarks.coverage --cost [--network resnet10_tiny]

With --checkpoint a trained run answers for fresh drawn faces of three groups of people. With --aaf
a head is trained on All-Age-Faces' features (configs/features_aaf.py), 30 % of whose training
pictures are held out, and answers for these and for the authors' test part. Either way the pictures
that were held out are then cut in two at random, again and again: the first 2,000 calibrate, and
the others are measured. Printed are the means over the redraws, of which each is a new draw of both
sides of the guarantee. "Spread" is the standard deviation from redraw to redraw, and "least" the
least mean of a group of people, or of a range of labels.

With --cost it measures what a calibration adds to the time of an answer, inside of the jitted
predict step: the network with drawn weights at 64 pixels, its answers averaged over the mirror
image, without and with a temperature and a map at 51 levels, and the interval of each answer.
"""

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np

from benchmarks import printing, timing
from benchmarks.inference import predictor_of
from configs import features_aaf
from ldl_jax import calibration
from ldl_jax.calibration import Calibration, Options
from ldl_jax.data.augment.augmentation import prepare
from ldl_jax.data.synthetic import faces
from ldl_jax.evaluation import calibrating, evaluate, rates
from ldl_jax.evaluation.groups import joined
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace
from ldl_jax.predict.loading import load
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run import config as schema
from ldl_jax.run import experiment
from ldl_jax.train import programs, stored
from ldl_jax.train.predict_step import PredictStep
from ldl_jax.train.record import Record
from ldl_jax.train.weights import Weights

LEVEL = 0.9
COLUMNS = "intervals|labels held, %:|spread, %:|width:|least of a group, %:|least of a range, %:"
COST_COLUMNS = (
    "pictures|as it was, ms:|calibrated, ms:|more, %:|its maps alone, ms:|interval more, ms:"
)
WAYS = {
    "central, as it was": None,
    "cdf": Options(),
    "rps": Options(score="rps"),
    "cdf, of all labels": Options(temperature=False, recalibrate=False),
    "cdf by group": Options(groups=True),
}
Answers = tuple[np.ndarray, np.ndarray, LabelSpace, Sequence[str]]


def of_drawn_faces(checkpoint: Path, pictures: int) -> Answers:
    """Returns a run's answers for fresh faces of three groups."""
    predictor = load(checkpoint, raw=True)
    size = predictor.preprocessing.stored_size
    records = faces.faces(pictures, size, seed=90210, pictures_per_person=1, groups=3)
    assert records.images is not None
    probs = predictor.answer(np.asarray(records.images)).probs
    return np.asarray(probs), records.labels, predictor.space, joined(records.groups)


def of_aaf(root: Path, weights: Path, cache: Path | None) -> tuple[Answers, Answers]:
    """Returns a head's answers for what was held out of training, and for the test part."""
    config = features_aaf.get_config()
    config.data.root, config.init.path = str(root), str(weights)
    config.data.validation_fraction, config.data.leaks = 0.3, "drop_train"
    config.init.features_cache = str(cache) if cache else ""
    keys = {"data.root": root, "init.path": weights, "data.validation_fraction": 0.3}
    keys["data.leaks"] = "drop_train"
    keys |= {"init.features_cache": cache} if cache else {}
    with tempfile.TemporaryDirectory() as folder:
        overrides = [f"--config.{key}={value}" for key, value in keys.items()]
        way = ["--config=configs/features_aaf.py", f"--workdir={folder}/run", *overrides]
        subprocess.run([sys.executable, "-m", "launch.main", *way], check=True)
        built = experiment.build(schema.parse(config), lambda line: None)
        arrays = stored.read_own(Path(folder) / "run")[1]
    sexes: dict[str, str] = {}
    for name in ("train", "val"):
        text = next(root.rglob(f"image sets/{name}.txt")).read_text()
        sexes |= {line.split()[0]: line.split()[1] for line in text.splitlines() if line.strip()}
    job, known = built.job, Weights(arrays["params"], arrays["model_state"])
    predict = programs.predict_step(job, job.model, job.method)
    parts = []
    for name in ("validation", "test"):
        feed = built.feeds[name]
        inputs = (job.data.preprocessing, job.placement)
        step = evaluate.jit_predict(predict, feed.fetch, *inputs)
        answers: Predictions = evaluate.evaluate(step, known, feed, job.method.space, 256)
        groups = tuple(f"sex {sexes[key]}" for key in answers.ids)
        parts.append((answers.probs, answers.labels, answers.space, groups))
    return parts[0], parts[1]


def held(
    known: Calibration | None, answers: Answers, edges: tuple[float, ...]
) -> tuple[float, float, list[float], list[float]]:
    """Returns the share of labels in the intervals, their width, and the shares of each part.

    The parts are the groups of people, and the ranges of labels.
    """
    probs, labels, space, groups = answers
    if known is not None:
        probs = np.asarray(calibration.apply(known, probs))
    low, high = calibrating.intervals(known, probs, space, groups, (LEVEL,))[LEVEL]
    inside, of = (labels >= low) & (labels <= high), np.searchsorted(edges, labels, side="right")
    by_group = [float(inside[np.asarray(groups) == name].mean()) for name in sorted(set(groups))]
    by_range = [float(inside[of == index].mean()) for index in range(len(edges) + 1)]
    return float(inside.mean()), float(np.mean(high - low)), by_group, by_range


def table(answers: Answers, redraws: int, count: int, edges: tuple[float, ...]) -> None:
    """Prints what each kind of interval holds, over redraws of who calibrates."""
    ways = WAYS | {f"cdf by range ({', '.join(f'{x:g}' for x in edges)})": Options(edges=edges)}
    rng, rows = np.random.default_rng(0), []
    probs, labels, space, groups = answers
    orders = [rng.permutation(len(labels)) for _ in range(redraws)]
    for name, options in ways.items():
        measured = []
        for order in orders:
            first, rest = order[:count], order[count:]
            known = None
            if options is not None:
                of = [groups[row] for row in first]
                known = calibration.fit(probs[first], labels[first], space, options, of)
            others = (probs[rest], labels[rest], space, [groups[row] for row in rest])
            measured.append(held(known, others, edges))
        shares, widths, by_group, by_range = map(np.array, zip(*measured, strict=True))
        numbers = [
            shares.mean(),
            shares.std(),
            *(x.mean(axis=0).min() for x in (by_group, by_range)),
        ]
        texts = [f"{x:.1%}" for x in numbers]
        rows.append([name, *texts[:2], f"{widths.mean():.2f}", *texts[2:]])
    print(f"\n{len(labels)} pictures, of which {count} calibrate; {redraws} redraws\n")
    print(printing.head(COLUMNS))
    print("\n".join(map(printing.line, rows)))


def cost(network: str, batches: Sequence[int], repeats: int) -> None:
    """Prints the time of an answer without and with a calibration, the sides in turns."""
    raw, _ = predictor_of(network, 64)
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(raw.space.size), 7500), rng.integers(0, raw.space.size, 7500)
    known = calibration.fit(p, y, raw.space, Options())
    sides = {
        "as it was": raw.about,
        "calibrated": dataclasses.replace(raw.about, calibration=known),
    }
    print(f"{network}, {len(known.levels)} levels, {printing.device()}\n")
    print(printing.head(COST_COLUMNS))
    for count in batches:
        images = rng.integers(0, 256, (count, 64, 64, 3), np.uint8)
        runs, ends = {}, {}
        for name, about in sides.items():
            predictor = Predictor(about, raw.trained)
            predict, weights = predictor.pure

            def answer(
                weights: Weights, images: jax.Array, predict: PredictStep = predict
            ) -> object:
                return predict(weights, prepare(images, raw.preprocessing))

            def interval(probs: jax.Array, about: Record = about) -> object:
                return calibration.interval(about.calibration, probs, about.space, LEVEL)

            step = jax.jit(answer)
            runs[name] = timing.repeated(step, weights, images)
            probs = step(weights, images).probs
            ends[name] = timing.repeated(jax.jit(interval), probs)
        maps = jax.jit(partial(calibration.apply, known))
        ends["maps"] = timing.repeated(maps, probs)
        times, of_ends = timing.in_turns(runs, repeats), timing.in_turns(ends, repeats)
        before, after = times["as it was"], times["calibrated"]
        added = 1e3 * (of_ends["calibrated"].median - of_ends["as it was"].median)
        cells = [f"{1e3 * x.median:.3f}" for x in (before, after)]
        ratio = f"{100 * (after.over(before) - 1):+.1f}"
        alone = f"{1e3 * of_ends['maps'].median:.3f}"
        print(printing.line([str(count), *cells, ratio, alone, f"{added:+.3f}"]), flush=True)


def main() -> None:
    """Measures what the command line asks for."""
    parser = printing.parser("coverage", __doc__)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--aaf", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--pictures", type=int, default=6000)
    parser.add_argument("--calibrate", type=int, default=2000)
    parser.add_argument("--redraws", type=int, default=20)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--network", default="resnet10_tiny")
    parser.add_argument("--repeats", type=int, default=9)
    flags = parser.parse_args()
    if flags.cost:
        cost(flags.network, (1, 32, 256), flags.repeats)
    if flags.checkpoint is not None:
        answers = of_drawn_faces(flags.checkpoint, flags.pictures)
        table(answers, flags.redraws, flags.calibrate, (20, 40, 60))
    if flags.aaf is not None:
        held_out, test = of_aaf(flags.aaf, flags.weights, flags.cache)
        known = calibration.fit(*held_out[:3], Options(groups=True), held_out[3])
        share, width, by_sex, _ = held(known, test, (18, 30, 50))
        sizes = [test[3].count(name) for name in sorted(set(test[3]))]
        expected = [
            "{:.1%} to {:.1%}".format(*rates.conformal_range(cell.count, size, LEVEL))
            for cell, size in zip(known.groups, sizes, strict=True)
        ]
        by_name = ", ".join(
            f"{x:.1%} (expected {of})" for x, of in zip(by_sex, expected, strict=True)
        )
        print(
            f"held out: {len(held_out[1])}; test: {len(test[1])}, of which intervals of "
            f"{LEVEL:.0%} hold {share:.1%} ({width:.2f} wide), by sex {by_name}"
        )
        both = (
            np.concatenate([held_out[0], test[0]]),
            np.concatenate([held_out[1], test[1]]),
            test[2],
            (*held_out[3], *test[3]),
        )
        table(both, flags.redraws, flags.calibrate, (18, 30, 50))


if __name__ == "__main__":
    main()
