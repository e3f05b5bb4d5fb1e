"""What is only known to be true on a GPU if it is tried there; `make bench-gpu` runs it.

LDL_JAX_TEST_GPU=1 python -m pytest tests/gpu
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from ldl_jax import models
from ldl_jax.data.augment.augmentation import prepare
from ldl_jax.train import memory, programs
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.step import make_predict_step

STEPS = 4  # of a call


@pytest.fixture(autouse=True)
def on_a_gpu(monkeypatch):
    """Skips where there is none; the benchmarks are run from the repository."""
    if jax.default_backend() != "gpu":
        pytest.skip("JAX sees no GPU; with one, set LDL_JAX_TEST_GPU=1")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def job_of(name="resnet10_tiny", dtype="float32", precision="tf32"):

    from benchmarks import train_step_library

    config = train_step_library.config_of(name, 64, dtype, 32, STEPS)
    return train_step_library.job_of(dataclasses.replace(config, precision=precision))


def train(job, state, calls, train_steps=None):
    """The state and the losses after so many calls from a state; the state is given up."""
    train_steps = train_steps or programs.jitted(job)[0]
    order, start = job.order(1), int(state.step)
    ends = [start + STEPS * (call + 1) for call in range(calls)]
    losses = []
    for item in job.data.train.spans(order, ends, start, STEPS):
        state, scalars = train_steps(state, None, job.data.train.store, item, None)
        losses += np.asarray(scalars["loss"]).tolist()
    return state, losses


def assert_equal(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), a, b)


@pytest.mark.parametrize("name", ["resnet10_tiny", "ssrnet"])
@pytest.mark.parametrize("dtype", models.DTYPES)
def test_the_same_seed_gives_the_same_bits(name, dtype):
    job = job_of(name, dtype)
    train_steps, steps = programs.jitted(job)
    states = [
        train(job, programs.first_state(job, 1, None, steps.draw), 2, train_steps) for _ in range(2)
    ]
    assert states[0][1] == states[1][1]
    assert_equal(states[0][0], states[1][0])
    assert np.isfinite(states[0][1]).all()


def test_bfloat16_learns_what_float32_does():
    losses = {}
    for dtype in models.DTYPES:
        job = job_of(dtype=dtype)
        losses[dtype] = train(job, programs.first_state(job, 1, None), 2)[1]
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.05)
    assert losses["bfloat16"] != losses["float32"]


def test_precision_says_whether_products_are_rounded_to_tf32():
    job = job_of(precision="float32")
    state = programs.first_state(job, 1, None)
    store, row = job.data.test.store, next(job.data.test.items(job.order(1), 0))
    images = job.data.test.fetch(store, row)["images"]
    predict = make_predict_step(job.model, job.method, flip=False)
    with jax.default_device(jax.devices("cpu")[0]):
        weights, images = jax.device_get((state.weights, images))
        exact = jax.jit(predict)(weights, prepare(images, job.data.preprocessing)).value
        exact = np.asarray(exact)
    gaps = {}
    for precision in ("float32", "tf32"):
        predict = programs.jitted(job_of(precision=precision))[1].test
        gaps[precision] = np.abs(np.asarray(predict(state.weights, store, row).value) - exact).max()
    assert gaps["float32"] < 2e-3  # of 101 years
    assert gaps["float32"] < gaps["tf32"] < 1.0


def test_a_run_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    job = job_of("ssrnet", "bfloat16")
    train_steps, steps = programs.jitted(job)
    straight, _ = train(job, programs.first_state(job, 1, None, steps.draw), 2, train_steps)
    half, _ = train(job, programs.first_state(job, 1, None, steps.draw), 1, train_steps)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(STEPS, half, job.about)
    checkpoints.wait()
    restored = checkpoints.restore(programs.like(job), pytest.fail)
    checkpoints.close()
    assert_equal(train(job, restored, 1, train_steps)[0], straight)


def test_memory_is_told_and_enough():
    assert memory.memory_of(jax.devices()[0]) > 2**30
