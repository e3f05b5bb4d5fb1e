"""The jitted functions of a job, each compiled once for a chain, and the states they start from."""

import dataclasses
import functools
import typing
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from ldl_jax.data.feed.feeds import Feed
from ldl_jax.evaluation.evaluate import JittedPredict, Predict, jit_predict
from ldl_jax.methods import Method
from ldl_jax.models.functional import Model
from ldl_jax.train.compiled import JittedStep, JittedSteps, jit_train_step, jit_train_steps
from ldl_jax.train.ensemble import is_joined
from ldl_jax.train.flat import Layout
from ldl_jax.train.job import Job
from ldl_jax.train.sharded import exchanging, gathered
from ldl_jax.train.state import PyTree, TrainState, Weights, init_state, init_weights
from ldl_jax.train.step import PredictStep, TrainStep, make_predict_step, make_train_step

_Function = typing.TypeVar("_Function", bound=Callable[..., PyTree])
# `draw(key)`: fresh weights.
Draw = Callable[[jax.Array], Weights]


@dataclasses.dataclass(frozen=True)
class Steps:
    """The jitted functions that a generation calls before and after its training."""

    draw: Draw
    test: JittedPredict
    validation: JittedPredict | None


def jitted(job: Job) -> tuple[JittedStep | JittedSteps, Steps]:
    """Returns the jitted train step of a job, and the other functions."""
    model, method = gathered(job.model, job.method, job.placement)
    predict = predict_step(job, model, method)
    data, state, steps = job.data, like(job), len(job.order(1))
    inputs = (data.train.fetch, job.augment, data.preprocessing, job.placement, steps, state)
    train: JittedStep | JittedSteps
    if job.schedule.steps_per_call == 1:
        train = jit_train_step(train_step(job, model, method, job.optimizer.transform), *inputs)
    else:
        layout = layout_of(job, state)
        step = train_step(job, model, method, job.optimizer.transform, layout)
        train = jit_train_steps(step, *inputs, layout)
    return train, predicting(job, predict, state.weights)


def layout_of(job: Job, state: TrainState) -> Layout | None:
    """Returns how a job's states lie between the steps of a call.

    None where they are split over devices, array by array, in a way that vectors cannot be, and
    where an optimizer looks at whole arrays.
    """
    if job.placement.splits or job.optimizer.by_array:
        return None
    return Layout(state, job.optimizer.by_name)


def train_step(
    job: Job,
    model: Model,
    method: Method,
    transform: optax.GradientTransformation,
    layout: Layout | None = None,
) -> TrainStep:
    """Returns the pure train step of these with the job's other settings."""
    model = exchanging(model, job.placement) if job.exchange == "float32" else model
    step = make_train_step(
        model,
        method,
        transform,
        frozen=job.init.freeze,
        still=job.init.still,
        accumulate=job.accumulate,
        ema=job.optimizer.ema,
        faults=job.faults,
        ensemble=() if job.init.ensemble is None else job.init.ensemble.members,
        layout=layout,
    )
    return _precise(job, step)


def predict_step(job: Job, model: Model, method: Method) -> PredictStep:
    """Returns the pure predict step of these as the job evaluates."""
    return make_predict_step(model, method, flip=job.evaluation.flip, crops=job.evaluation.crops)


def predicting(job: Job, predict: Predict, weights: PyTree | None = None) -> Steps:
    """Returns the functions before and after training, with this predict step.

    The weights that they take live where those of `weights` do; without it, on every device.
    """

    data, keep = job.data, job.evaluation.distributions

    def predict_of(feed: Feed) -> JittedPredict:
        inputs = (data.preprocessing, job.placement, weights)
        return jit_predict(_precise(job, predict), feed.fetch, *inputs, distributions=keep)

    validation = None if data.validation is None else predict_of(data.validation)
    return Steps(drawing(job), predict_of(data.test), validation)


def _precise(job: Job, function: _Function) -> _Function:
    """Returns a function with products and convolutions of float32 in the job's precision."""
    if job.precision == "tf32":
        return function

    def precise(*arguments: PyTree) -> PyTree:
        with jax.default_matmul_precision("float32"):
            return function(*arguments)

    return typing.cast(_Function, precise)


def drawing(job: Job) -> Draw:
    """Returns the function that draws a job's fresh weights, the head's alone where that is all.

    Once a generation: compiled well, the random numbers would cost 10 s of CPU, compiled fast 3.
    """
    draw = functools.partial(init_weights, job.model, job.method)
    quickly = {"xla_backend_optimization_level": 0}
    fresh_students = job.chain.student == "fresh" and job.chain.generations > 1
    if job.init.backbone is None or fresh_students:
        return jax.jit(draw, compiler_options=quickly)
    backbone, model_state = job.init.backbone
    head = jax.jit(lambda key: draw(key).params["head"], compiler_options=quickly)
    return lambda key: Weights({"backbone": backbone, "head": head(key)}, model_state)


def like(job: Job) -> TrainState:
    """Returns the shapes, dtypes and places of a state's arrays."""

    def state() -> TrainState:
        key = jax.random.key(job.seed)
        weights = init_weights(job.model, job.method, key)
        transform, ema = job.optimizer.transform, job.optimizer.ema
        return init_state(weights, transform, 1, key, average=ema > 0)

    shapes = jax.eval_shape(state)
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        shapes,
        job.placement.shardings(shapes),
    )


def first_state(
    job: Job, generation: int, teacher: Weights | None, draw: Draw | None = None
) -> TrainState:
    """Returns the state at a generation's step 0."""
    key = jax.random.fold_in(jax.random.key(job.seed), generation)
    init_key, train_key = jax.random.split(key)
    if job.chain.student == "teacher" and teacher is not None and not is_joined(teacher):
        weights = teacher
    else:
        weights = (draw or drawing(job))(init_key)
        if job.init.backbone is not None and not (job.chain.student == "fresh" and generation > 1):
            backbone, model_state = job.init.backbone
            head = weights.params["head"] if job.init.head is None else job.init.head
            weights = Weights({"backbone": backbone, "head": head}, model_state)
    # A copy: the training state is given up step by step, the teacher and the backbone stay.
    weights = jax.tree.map(lambda x: jnp.array(x, copy=True), weights)
    average, transform = job.optimizer.ema > 0, job.optimizer.transform
    state = init_state(weights, transform, generation, train_key, average=average)
    return job.placement.place_state(state)
