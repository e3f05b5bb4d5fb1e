"""Estimates for `benchmarks.scaling`: a pre-training's steps and hours on many devices."""

from __future__ import annotations

import io
import time
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from benchmarks import timing, train_step_library
from ldl_jax import models
from ldl_jax.data import pictures
from ldl_jax.data.synthetic import faces
from ldl_jax.models import cost


class Task(NamedTuple):
    """The data of the pre-training, and how often it is seen."""

    pictures: int
    identities: int  # the number of people, the classes of the head
    epochs: int
    size: int  # the side of a picture in pixels


class Network(NamedTuple):
    """A network with the task's head, on one device."""

    name: str
    parameters: int  # those of the head included
    flops: float  # of a training step for one picture
    rate: float  # the images/s of training on one device
    source: str  # where the rate comes from, for the table


class TrainingRun(NamedTuple):
    """A network's training on several devices."""

    network: Network
    devices: int
    batch: int  # the pictures of a step on all devices
    steps: int
    seconds: float  # of all steps
    exchange: float  # the most seconds that the exchange of gradients can add

    @property
    def images_per_second(self) -> float:
        """The images/s of all devices together while they train."""
        return self.devices * self.network.rate


def network(name: str, task: Task, rate: float | None, flops: float, source: str) -> Network:
    """Counts a network's parameters and FLOPs; `flops` a second give the rate where it is None."""
    sized = {"size": task.size} if "size" in models.known_options(name) else {}
    model = models.build(name, **sized)
    params, model_state = jax.eval_shape(model.init, jax.random.key(0))
    assert isinstance(model.width, int), f"{name} has features in parts"

    def features(params: object, model_state: object, images: jax.Array) -> jax.Array:
        return model.apply(params, model_state, images, train=False)[0]

    backbone = cost.measure(features, params, model_state, task.size, activations=False)
    parameters = backbone.parameters + (model.width + 1) * task.identities
    per_picture = 6.0 * (backbone.multiply_adds + model.width * task.identities)
    return Network(name, parameters, per_picture, rate or flops / per_picture, source)


def training_run(
    network: Network, devices: int, batch: int, task: Task, link: float
) -> TrainingRun:
    """Estimates a network's training on `devices` devices, each with `batch` pictures a step.

    A ring moves 2 (n - 1) / n of the gradient's bytes over each device's link, which carries `link`
    bytes/s.
    """
    steps = task.epochs * (task.pictures // (devices * batch))
    gradient = 4 * network.parameters
    exchange = steps * 2 * (devices - 1) / devices * gradient / link
    seconds = steps * batch / network.rate
    return TrainingRun(network, devices, devices * batch, steps, seconds, exchange)


def decode_rate(size: int, seconds: float = 1.0) -> float:
    """Measures how many JPEGs of a drawn face one core decodes in a second."""
    face = faces.faces(8, size=size, seed=0).images
    assert face is not None
    file = io.BytesIO()
    Image.fromarray(np.asarray(face[0])).save(file, "JPEG", quality=90)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        pictures.decode_one(file.getvalue(), size)
        count += 1
    return count / (time.perf_counter() - start)


def measured_rate(name: str, size: int, batch: int) -> float:
    """Measures images/s of the library's training step in bfloat16 on the first device."""
    config = train_step_library.config_of(name, size, "bfloat16", batch)
    step = train_step_library.functions(train_step_library.job_of(config))["train"]
    calls = timing.in_turns({"train": step.run}, repeats=5)["train"]
    return batch * step.steps / calls.median
