"""A run of two generations that takes seconds, as a program to be killed: tiny_run.py WORKDIR."""

import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"

import jax
from absl import logging
from flax import nnx
from rich.console import Console

from launch import main
from ldl_jax import models
from ldl_jax.models.functional import functional
from ldl_jax.run import command
from ldl_jax.run.config import Config, DataConfig, EvaluationConfig, ModelConfig
from ldl_jax.train.job import Chain


class Pooled(nnx.Module):
    """One dense layer on 4x4 pooled cells, and a batch normalisation."""

    def __init__(self, rngs):
        self.dense = nnx.Linear(48, 64, rngs=rngs)
        self.norm = nnx.BatchNorm(64, momentum=0.9, rngs=rngs)

    def __call__(self, images, *, train):
        batch, height, width, channels = images.shape
        cells = images.reshape(batch, 4, height // 4, 4, width // 4, channels).mean(axis=(2, 4))
        x = self.dense(cells.reshape(batch, 16 * channels))
        return jax.nn.relu(self.norm(x, use_running_average=not train))


def config(epochs):
    """36 training and 12 test faces, CEN, a row a step, two checkpoints an epoch."""
    return Config(
        batch_size=12,
        epochs=epochs,
        log_every=1,
        checkpoint_every=0.67,
        data=DataConfig(synthetic_count=48, size=32, space="age"),
        model=ModelConfig("pooled"),
        evaluation=EvaluationConfig(batch_size=12),
        chain=Chain(2, student="teacher"),
    )


if __name__ == "__main__":
    models.MODELS["pooled"] = lambda dtype="float32": functional("pooled", Pooled, 64)
    logging.set_verbosity(logging.FATAL)
    try:
        main.run(config(epochs=4), Path(sys.argv[1]), Console(width=200))
    except (ValueError, OSError) as error:
        command.fail(str(error))
