"""The library's side of `benchmarks.train_step`: the programs of training and of predictors."""

import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import NamedTuple, cast

import jax
from jax.stages import Wrapped

from benchmarks import roofline, timing
from configs.recipes import dldlv2, ssrnet
from ldl_jax import models
from ldl_jax.run import config as schema
from ldl_jax.run import experiment
from ldl_jax.train import programs
from ldl_jax.train.job import Job
from ldl_jax.train.state import Weights
from ldl_jax.train.step import PredictStep

# The networks whose shipped configs are not CEN's, which `schema.defaults` are.
SHIPPED = {
    "ssrnet": lambda: ssrnet.training(50),
    **dict.fromkeys(("thinagenet", "tinyagenet", "vgg16"), lambda: dldlv2.fine_tuning("synthetic")),
}


class Measured(NamedTuple):
    """A compiled function, ready to be timed."""

    run: timing.Run
    steps: int  # those that one call takes
    work: roofline.Work  # that of one step
    compile_seconds: float


def config_of(
    name: str, size: int, dtype: str, batch: int | None = None, steps_per_call: int = 0
) -> schema.Config:
    """Returns a network's shipped config, on drawn faces with ages and from fresh weights.

    A `batch` of None keeps the config's own; `steps_per_call` 0 leaves them to the library.
    """
    config = SHIPPED.get(name, schema.defaults)()
    config.stages = {}
    config.init.path = ""
    config.chain.generations = 1
    config.model.name, config.model.dtype = name, dtype
    config.batch_size = config.batch_size if batch is None else batch
    config.steps_per_call = steps_per_call
    # The run must not end while it is timed, and a falling rate would lead to denormal numbers.
    config.epochs = 10**6
    config.optimizer.schedule = "constant"
    config.evaluation.flip = False
    config.evaluation.batch_size = config.batch_size
    config.data.size, config.data.space, config.data.feed = size, "age", "memory"
    # An epoch starts with a shuffle on the host, so it has several batches where these are small.
    batches = max(2 * config.batch_size, min(512, 8 * config.batch_size))
    config.data.synthetic_count = max(64, batches)
    return schema.parse(config)


def job_of(config: schema.Config) -> Job:
    """Builds a config's job on one device; it is tested on the pictures that it trains on."""
    job = experiment.build(config, lambda text: None, devices=1).job
    return dataclasses.replace(job, data=dataclasses.replace(job.data, test=job.data.train))


def weights_of(job: Job) -> Weights:
    """Returns the weights that the job starts from."""
    return programs.first_state(job, 1, None).weights


def functions(job: Job, weights: Weights | None = None) -> dict[str, Measured]:
    """Compiles the "train" and "infer" of a job, with these weights or those it starts from."""
    weights = weights_of(job) if weights is None else weights
    train, _ = programs.jitted(job)
    return {"train": _training(job, train, weights), "infer": _inference(*folded(job, weights))}


def folded(job: Job, weights: Weights) -> tuple[Job, Weights]:
    """Folds the network's batch normalisation, as a predictor does."""
    backbone = weights.params["backbone"]
    model, backbone, model_state = models.folded(job.model, backbone, weights.model_state)
    params = {**weights.params, "backbone": backbone}
    return dataclasses.replace(job, model=model), Weights(params, model_state)


def predict_of(job: Job) -> PredictStep:
    """Returns a job's pure `predict(weights, images) -> Prediction`."""
    return programs.predict_step(job, job.model, job.method)


def _training(job: Job, train: Callable, weights: Weights) -> Measured:
    state = programs.first_state(job, 1, None, lambda key: weights)
    store, count = job.data.train.store, job.schedule.steps_per_call
    order = job.order(1)
    items = job.data.train.items(order, 0)
    if count > 1:
        items = job.data.train.spans(order, range(count, len(order), count), 0, count)

    def arguments() -> tuple:
        return (None, store, next(items), *([] if count == 1 else [None]))

    work, seconds = _compile(train, count, state, *arguments())

    def run(calls: int) -> None:
        nonlocal state
        for _ in range(calls):
            state, scalars = train(state, *arguments())
        jax.block_until_ready((state, scalars))

    return Measured(run, count, work, seconds)


def _inference(job: Job, weights: Weights) -> Measured:
    predict = programs.predicting(job, predict_of(job), weights).test
    store = job.data.test.store
    items = job.data.test.items(job.order(1), 0)
    work, seconds = _compile(predict, 1, weights, store, next(items))

    def run(calls: int) -> None:
        for item in itertools.islice(items, calls):
            prediction = predict(weights, store, item)
        jax.block_until_ready(prediction)

    return Measured(run, 1, work, seconds)


def _compile(jitted: Callable, steps: int, *arguments: object) -> tuple[roofline.Work, float]:
    start = time.perf_counter()
    lowered = cast(Wrapped, jitted).lower(*arguments)
    compiled = lowered.compile()
    seconds = time.perf_counter() - start
    return roofline.work_of(lowered, compiled, steps), seconds
