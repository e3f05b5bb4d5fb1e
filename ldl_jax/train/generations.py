"""The chain of generations: a fold in which each learns from the last one's weights."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ldl_jax import processes
from ldl_jax.data.augment.augmentation import Preprocessing, Recipe
from ldl_jax.data.feed.feeds import EpochOrder, Feed
from ldl_jax.evaluation import predictions, report
from ldl_jax.evaluation.evaluate import JittedPredict, Predict, evaluate, jit_predict, summarize
from ldl_jax.methods import Method
from ldl_jax.models.functional import Model
from ldl_jax.placement import Placement
from ldl_jax.train.best import Best, read_best
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.faults import FaultConfig, first_watch
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.loop import (
    Hooks,
    JittedStep,
    JittedSteps,
    Schedule,
    Watcher,
    jit_train_step,
    jit_train_steps,
    train_generation,
)
from ldl_jax.train.record import Record
from ldl_jax.train.sharded import gathered
from ldl_jax.train.state import TrainState, Weights, init_state, init_weights
from ldl_jax.train.step import make_predict_step, make_train_step
from ldl_jax.train.trace import Trace
from ldl_jax.workdir import Row, Workdir

# `draw(key)`: fresh weights.
Draw = Callable[[jax.Array], Weights]
STUDENTS = ("pretrained", "teacher", "fresh")
USES = ("last", "best")


@dataclasses.dataclass(frozen=True)
class Chain:
    """How many generations there are, and what a later one starts from.

    Attributes:
      generations: at most so many.
      student: "pretrained" starts every generation as the first one (from init.path's weights,
        the paper's way, or fresh where there are none); "teacher" from its teacher's weights;
        "fresh" from random ones.
      early_end: stop before the generation that follows one without a better validation MAE.
    """

    generations: int = 4
    student: str = "pretrained"
    early_end: bool = False

    def __post_init__(self) -> None:
        if self.generations < 1:
            raise ValueError(f"chain.generations: expected 1 or more, got {self.generations}")
        if self.student not in STUDENTS:
            raise ValueError(
                f"chain.student: expected one of {', '.join(STUDENTS)}, got {self.student!r}"
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
    placement: Placement
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
    backbone: tuple[Any, Any] | None  # the pre-trained network's params and state
    about: Record  # goes into every checkpoint
    head: Any = None  # the pre-trained head's params, where they are taken
    frozen: bool = False  # the backbone is not trained
    distributions: bool = True  # test pictures' are kept
    accumulate: int = 1  # parts of a batch, one after the other
    ema: float = 0.0  # the decay of the weights' moving average
    faults: FaultConfig = dataclasses.field(default_factory=FaultConfig)
    keep: int = 2  # checkpoints of a generation
    best: str = ""  # the validation metric that a generation's best weights are kept by
    use: str = "last"  # which weights are tested and teach: "last" or "best"
    trace: Trace | None = None

    def order(self, generation: int) -> EpochOrder:
        """The training pictures' order in a generation."""
        return EpochOrder(len(self.train.part), self.batch, self.epochs, self.seed, generation)


@dataclasses.dataclass(frozen=True)
class Steps:
    """The jitted functions before and after training, compiled once for the whole chain."""

    draw: Draw
    test: JittedPredict
    validation: JittedPredict | None


def run(
    job: Job,
    workdir: Workdir,
    interrupt: Interrupt,
    watcher: Watcher,
    programs: tuple[JittedStep | JittedSteps, Steps] | None = None,
) -> list[Row]:
    """Trains the chain, or what is left of it; the results of each generation.

    Args:
      job: the chain.
      workdir: where it leaves everything.
      interrupt: of signals.
      watcher: looks on.
      programs: of `jitted`, for this job or one that differs in its seed alone.

    Raises:
      Interrupted: a signal came; the same call goes on from there.
      NotFiniteError: training diverged.
    """
    train, steps = jitted(job) if programs is None else programs
    teacher = resume(job, workdir, watcher)
    while not finished(job.chain, workdir.results()):
        generation = len(workdir.results()) + 1
        teacher = _generation(job, train, steps, workdir, generation, teacher, interrupt, watcher)
        if interrupt.check(now=True) is not None and generation < job.chain.generations:
            assert interrupt.number is not None
            raise Interrupted(interrupt.number, generation, len(job.order(generation)))
    return workdir.results()[: job.chain.generations]


def jitted(job: Job) -> tuple[JittedStep | JittedSteps, Steps]:
    """The jitted train step of a job, and the other functions."""
    model, method = gathered(job.model, job.method, job.placement)
    step = make_train_step(
        model,
        method,
        job.optimizer,
        frozen=job.frozen,
        accumulate=job.accumulate,
        ema=job.ema,
        faults=job.faults,
    )
    predict = make_predict_step(model, method, flip=job.flip)
    state = like(job)
    training = jit_train_step if job.schedule.call == 1 else jit_train_steps
    train = training(
        step,
        job.train.fetch,
        job.recipe,
        job.preprocessing,
        job.placement,
        steps=len(job.order(1)),
        like=state,
    )
    places = state.weights
    return train, Steps(
        drawing(job),
        predicting(job, job.test, predict, places),
        None if job.validation is None else predicting(job, job.validation, predict, places),
    )


def predicting(job: Job, feed: Feed, predict: Predict, like: Any = None) -> JittedPredict:
    """The predict step of a feed of the job; its weights live where those of `like` do."""
    return jit_predict(
        predict,
        feed.fetch,
        job.preprocessing,
        job.placement,
        like,
        distributions=job.distributions,
    )


def drawing(job: Job) -> Draw:
    """Draws a job's fresh weights.

    Once a generation: compiled well, the random numbers would cost 10 s of CPU, compiled fast 3.
    """
    quick = {"xla_backend_optimization_level": 0}
    draw = functools.partial(init_weights, job.model, job.method)
    return jax.jit(draw, compiler_options=quick)


def resume(job: Job, workdir: Workdir, watcher: Watcher) -> Weights | None:
    """The weights of the last finished generation, the next one's teacher.

    A finished generation whose checkpoints are all damaged is taken back, to be trained again.
    """
    while results := workdir.results():
        generation = len(results)
        folder = workdir.checkpoints(generation)
        checkpoints = Checkpoints(folder, job.keep)
        state = checkpoints.restore(like(job), watcher.say)
        checkpoints.close()
        if state is not None and int(state.step) == len(job.order(generation)):
            return _chosen(job, state, folder, watcher)[0]
        workdir.unfinish(generation)
    return None


def _chosen(
    job: Job, state: TrainState, folder: Path, watcher: Watcher
) -> tuple[Weights, int | None]:
    """The weights that are tested and teach, and their step where they are the best ones."""
    if job.use == "best":
        if (found := read_best(folder, watcher.say)) is not None:
            return job.placement.place_state(found[1]), found[0]
        watcher.say(f"{folder}: no best checkpoint can be read, so the last weights are taken")
    return state.answers, None


def like(job: Job) -> TrainState:
    """The shapes, dtypes and places of a state's arrays."""

    def state() -> TrainState:
        key = jax.random.key(job.seed)
        weights = init_weights(job.model, job.method, key)
        return init_state(weights, job.optimizer, 1, key, average=job.ema > 0)

    shapes = jax.eval_shape(state)
    return jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        shapes,
        job.placement.shardings(shapes),
    )


def finished(chain: Chain, results: list[Row]) -> bool:
    """Whether a chain with these results has no generation left to train."""
    if len(results) >= chain.generations:
        return True
    if not chain.early_end or len(results) < 2:
        return False
    return bool(results[-1]["mae_validation"] >= results[-2]["mae_validation"])


def first_state(
    job: Job, generation: int, teacher: Weights | None, draw: Draw | None = None
) -> TrainState:
    """The state at a generation's step 0."""
    key = jax.random.fold_in(jax.random.key(job.seed), generation)
    init_key, train_key = jax.random.split(key)
    weights = (draw or drawing(job))(init_key)
    if job.chain.student == "teacher" and teacher is not None:
        weights = teacher
    elif job.backbone is not None and not (job.chain.student == "fresh" and generation > 1):
        backbone, model_state = job.backbone
        head = weights.params["head"] if job.head is None else job.head
        weights = Weights({"backbone": backbone, "head": head}, model_state)
    # A copy: the training state is given up step by step, the teacher and the backbone stay.
    weights = jax.tree.map(lambda x: jnp.array(x, copy=True), weights)
    average = job.ema > 0
    return job.placement.place_state(
        init_state(weights, job.optimizer, generation, train_key, average=average)
    )


class Generation:
    """One generation of a run in training: its order, checkpoints, rows and results."""

    def __init__(
        self, job: Job, steps: Steps, workdir: Workdir, number: int, watcher: Watcher
    ) -> None:
        self.job, self.number, self.order = job, number, job.order(number)
        folder = workdir.checkpoints(number)
        self.checkpoints = Checkpoints(folder, job.keep)
        self._best = Best(folder, job.best) if job.best else None
        self._steps, self._workdir, self._watcher = steps, workdir, watcher

    def restored(self) -> TrainState | None:
        """The state of the last checkpoint that can be read."""
        state = self.checkpoints.restore(like(self.job), self._watcher.say)
        if state is not None and state.watch is None:
            watch = self.job.placement.place(first_watch(state.weights.params))
            state = state._replace(watch=watch)
        return state

    def first(self, teacher: Weights | None) -> TrainState:
        """The state at step 0."""
        return first_state(self.job, self.number, teacher, self._steps.draw)

    def start(self, step: int) -> None:
        """Rows after `step` will be written anew."""
        self._workdir.start_metrics(self.number, step)
        if self._best is not None:
            self._best.start(self._watcher.say)

    def hooks(self) -> Hooks:
        """What a loop hands its results to."""
        validate = None if self.job.validation is None else self._validate
        return Hooks(
            functools.partial(self._write, "train"),
            self._save,
            validate,
            functools.partial(self._write, "fault"),
        )

    def close(self) -> None:
        """Waits for the checkpoints that are being saved."""
        self.checkpoints.close()
        if self._best is not None:
            self._best.close()

    def finish(self, state: TrainState) -> Weights:
        """Tests the last or the best weights, and marks the generation as finished; gives them."""
        folder = self._workdir.checkpoints(self.number)
        weights, best_step = _chosen(self.job, state, folder, self._watcher)
        results = self._evaluate(self._steps.test, self.job.test, weights)
        if not processes.primary():
            return weights
        predictions.write(self._workdir.predictions(self.number), results)
        summary = report.summary(results)
        last = len(self.order)
        self._write("test", {"step": last, "epoch": _epoch(last, self.order), **summary})
        row: Row = {"generation": self.number, "test pictures": len(results.ids), **summary}
        if self.job.validation is not None:
            step = last if best_step is None else best_step
            row["mae_validation"] = _validation(self._workdir, self.number, step)
        if best_step is not None:
            row["best_step"] = best_step
        self._workdir.finish(self.number, row)
        return weights

    def _write(self, kind: str, row: Row, speed: float | None = None) -> None:
        place = {"kind": kind, "generation": self.number}
        total = (self.number - 1) * len(self.order) + row["step"]
        self._workdir.write({**place, **row, "total_step": total}, speed)

    def _validate(self, state: TrainState) -> None:
        step = int(state.step)
        summary = self._evaluate(
            self._steps.validation, self.job.validation, state.answers, summarize
        )
        self._write("validation", {"step": step, "epoch": _epoch(step, self.order), **summary})
        if self._best is not None:
            about = dataclasses.replace(self.job.about, generation=self.number)
            self._best.offer(step, summary, state.answers, about)

    def _save(self, state: TrainState) -> None:
        step = int(state.step)
        about = dataclasses.replace(self.job.about, generation=self.number, step=step)
        self.checkpoints.save(step, state, about)

    def _evaluate(self, predict: Any, feed: Any, weights: Weights, how: Any = evaluate) -> Any:
        space, batch = self.job.method.space, self.job.evaluation_batch
        return how(predict, weights, feed, space, batch, self._watcher.evaluation)


def _generation(
    job: Job,
    train: JittedStep | JittedSteps,
    steps: Steps,
    workdir: Workdir,
    number: int,
    teacher: Weights | None,
    interrupt: Interrupt,
    watcher: Watcher,
) -> Weights:
    """Trains, evaluates and finishes one generation, or what is left of it."""
    generation = Generation(job, steps, workdir, number, watcher)
    state = generation.restored()
    if state is None:
        state = generation.first(teacher)
    start = int(state.step)
    generation.start(start)
    watcher.generation(number, len(generation.order), start)
    try:
        state = train_generation(
            state,
            teacher,
            train,
            job.train,
            generation.order,
            job.schedule,
            job.rate,
            generation.hooks(),
            interrupt,
            watcher,
            job.faults,
            job.trace,
        )
    finally:
        generation.close()
    return generation.finish(state)


def _epoch(step: int, order: EpochOrder) -> float:
    return round(step / order.steps_per_epoch, 4)


def _validation(workdir: Workdir, generation: int, step: int) -> float:
    """The validation's MAE of a step."""
    rows = [
        row
        for row in workdir.rows()
        if (row["kind"], row["generation"], row["step"]) == ("validation", generation, step)
    ]
    return float(rows[-1]["mae"])
