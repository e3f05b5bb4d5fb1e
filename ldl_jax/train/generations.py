"""The chain of generations: a fold in which each learns from the last one's weights."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ldl_jax import processes
from ldl_jax.data.augment import Preprocessing, Recipe
from ldl_jax.data.pipeline import EpochOrder, Feed
from ldl_jax.evaluation import predictions, report
from ldl_jax.evaluation.evaluate import JittedPredict, evaluate, jit_predict
from ldl_jax.layout import Layout
from ldl_jax.methods import Method
from ldl_jax.models.functional import Model
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.loop import (
    Hooks,
    JittedStep,
    Schedule,
    Watcher,
    jit_train_step,
    train_generation,
)
from ldl_jax.train.sharded import gathered
from ldl_jax.train.state import TrainState, Weights, init_state, init_weights
from ldl_jax.train.step import make_predict_step, make_train_step
from ldl_jax.workdir import Row, Workdir

OFFSPRING = ("pretrained", "ancestor", "fresh")


@dataclasses.dataclass(frozen=True)
class Chain:
    """How many generations there are, and what a later one starts from.

    Attributes:
      generations: at most so many.
      offspring: "pretrained" starts every generation as the first one (from init.path's weights,
        the paper's way, or fresh where there are none); "ancestor" from its ancestor's weights;
        "fresh" from random ones.
      early_end: stop before the generation that follows one without a better validation MAE.
    """

    generations: int = 4
    offspring: str = "pretrained"
    early_end: bool = False

    def __post_init__(self) -> None:
        if self.generations < 1:
            raise ValueError(f"chain.generations: expected 1 or more, got {self.generations}")
        if self.offspring not in OFFSPRING:
            raise ValueError(
                f"chain.offspring: expected one of {', '.join(OFFSPRING)}, got {self.offspring!r}"
            )


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that a chain needs, as objects; `experiment` makes it of a config."""

    model: Model
    method: Method
    optimizer: optax.GradientTransformation
    rate: optax.Schedule
    recipe: Recipe
    preprocessing: Preprocessing
    layout: Layout
    train: Feed
    validation: Feed | None
    test: Feed
    seed: int
    batch: int
    evaluation_batch: int
    epochs: int
    schedule: Schedule
    chain: Chain
    flip: bool
    trunk: tuple[Any, Any] | None  # the pre-trained network's params and state
    about: dict[str, Any]  # goes into every checkpoint: what the weights are
    frozen: bool = False  # the trunk is not trained

    def order(self, generation: int) -> EpochOrder:
        """The training pictures' order in a generation."""
        return EpochOrder(len(self.train.part), self.batch, self.epochs, self.seed, generation)


@dataclasses.dataclass(frozen=True)
class _Steps:
    """The jitted functions, compiled once for the whole chain."""

    train: JittedStep
    test: JittedPredict
    validation: JittedPredict | None


def run(job: Job, workdir: Workdir, interrupt: Interrupt, watcher: Watcher) -> list[Row]:
    """Trains the chain, or what is left of it; the results of each generation.

    Raises:
      Interrupted: a signal came; the same call goes on from there.
      NotFiniteError: training diverged.
    """
    steps = _compile(job)
    teacher = _resume(job, workdir, watcher)
    while len(workdir.results()) < job.chain.generations and not _ended(job, workdir.results()):
        generation = len(workdir.results()) + 1
        teacher = _generation(job, steps, workdir, generation, teacher, interrupt, watcher)
        if interrupt.check(now=True) is not None and generation < job.chain.generations:
            assert interrupt.number is not None
            raise Interrupted(interrupt.number, generation, len(job.order(generation)))
    return workdir.results()[: job.chain.generations]


def _compile(job: Job) -> _Steps:
    model, method = gathered(job.model, job.method, job.layout)
    step = make_train_step(model, method, job.optimizer, frozen=job.frozen)
    predict = make_predict_step(model, method, flip=job.flip)

    def jitted(feed: Feed) -> JittedPredict:
        like = _like(job).weights
        return jit_predict(predict, feed.fetch, job.preprocessing, job.layout, like)

    return _Steps(
        jit_train_step(
            step,
            job.train.fetch,
            job.recipe,
            job.preprocessing,
            job.layout,
            steps=len(job.order(1)),
            like=_like(job),
        ),
        jitted(job.test),
        None if job.validation is None else jitted(job.validation),
    )


def _resume(job: Job, workdir: Workdir, watcher: Watcher) -> Weights | None:
    """The weights of the last finished generation, the next one's teacher.

    A finished generation whose checkpoints are all damaged is taken back, to be trained again.
    """
    while results := workdir.results():
        generation = len(results)
        checkpoints = Checkpoints(workdir.checkpoints(generation))
        state = checkpoints.restore(_like(job), watcher.say)
        checkpoints.close()
        if state is not None and int(state.step) == len(job.order(generation)):
            return state.weights
        workdir.unfinish(generation)
    return None


def _like(job: Job) -> TrainState:
    """The shapes, dtypes and places of a state's arrays."""

    def state() -> TrainState:
        key = jax.random.key(job.seed)
        return init_state(init_weights(job.model, job.method, key), job.optimizer, 1, key)

    shapes = jax.eval_shape(state)
    return jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        shapes,
        job.layout.shardings(shapes),
    )


def _ended(job: Job, results: list[Row]) -> bool:
    if not job.chain.early_end or len(results) < 2:
        return False
    return bool(results[-1]["mae_validation"] >= results[-2]["mae_validation"])


def _first_state(job: Job, generation: int, ancestor: Weights | None) -> TrainState:
    """The state at a generation's step 0."""
    key = jax.random.fold_in(jax.random.key(job.seed), generation)
    init_key, train_key = jax.random.split(key)
    # Drawn once: compiled well, the random numbers would cost 10 s of CPU, and compiled fast 3.
    quick = {"xla_backend_optimization_level": 0}
    draw = functools.partial(init_weights, job.model, job.method)
    weights = jax.jit(draw, compiler_options=quick)(init_key)
    if job.chain.offspring == "ancestor" and ancestor is not None:
        weights = ancestor
    elif job.trunk is not None and not (job.chain.offspring == "fresh" and generation > 1):
        trunk, model_state = job.trunk
        weights = Weights({**weights.params, "trunk": trunk}, model_state)
    # A copy: the training state is given up step by step, the ancestor and the trunk stay.
    weights = jax.tree.map(lambda x: jnp.array(x, copy=True), weights)
    return job.layout.place_state(init_state(weights, job.optimizer, generation, train_key))


def _generation(
    job: Job,
    steps: _Steps,
    workdir: Workdir,
    generation: int,
    teacher: Weights | None,
    interrupt: Interrupt,
    watcher: Watcher,
) -> Weights:
    """Trains, evaluates and finishes one generation, or what is left of it."""
    order = job.order(generation)
    checkpoints = Checkpoints(workdir.checkpoints(generation))
    state = checkpoints.restore(_like(job), watcher.say)
    if state is None:
        state = _first_state(job, generation, teacher)
    start = int(state.step)
    workdir.start_metrics(generation, start)
    watcher.generation(generation, len(order), start)

    def write(kind: str, row: Row, speed: float | None = None) -> None:
        place = {"kind": kind, "generation": generation}
        total = (generation - 1) * len(order) + row["step"]
        workdir.write({**place, **row, "total_step": total}, speed)

    def validate(state: TrainState) -> None:
        step = int(state.step)
        summary = report.summary(_evaluate(job, steps.validation, job.validation, state, watcher))
        write("validation", {"step": step, "epoch": _epoch(step, order), **summary})

    def save(state: TrainState) -> None:
        step = int(state.step)
        checkpoints.save(step, state, {**job.about, "generation": generation, "step": step})

    hooks = Hooks(
        lambda row, speed: write("train", row, speed),
        save,
        validate if job.validation is not None else None,
    )
    try:
        state = train_generation(
            state,
            teacher,
            steps.train,
            job.train,
            order,
            job.schedule,
            job.rate,
            hooks,
            interrupt,
            watcher,
        )
    finally:
        checkpoints.close()
    results = _evaluate(job, steps.test, job.test, state, watcher)
    if processes.leads():
        predictions.write(workdir.predictions(generation), results)
        summary = report.summary(results)
        last = len(order)
        write("test", {"step": last, "epoch": _epoch(last, order), **summary})
        row: Row = {"generation": generation, "test pictures": len(results.ids), **summary}
        if job.validation is not None:
            row["mae_validation"] = _last_validation(workdir, generation)
        workdir.finish(generation, row)
    return state.weights


def _evaluate(
    job: Job, predict: Any, feed: Any, state: TrainState, watcher: Watcher
) -> predictions.Predictions:
    return evaluate(
        predict, state.weights, feed, job.method.space, job.evaluation_batch, watcher.evaluation
    )


def _epoch(step: int, order: EpochOrder) -> float:
    return round(step / order.steps_per_epoch, 4)


def _last_validation(workdir: Workdir, generation: int) -> float:
    rows = [
        row
        for row in workdir.rows()
        if row["kind"] == "validation" and row["generation"] == generation
    ]
    return float(rows[-1]["mae"])
