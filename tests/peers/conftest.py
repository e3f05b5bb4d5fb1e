"""Draws for the tests against peers. A peer's tests are skipped where it is not installed."""

import numpy as np
import pytest

from ldl_jax.labels import AGE, LabelSpace

# As peers know labels: K classes, 0 to K-1.
SPACES = {"age": AGE, "five": LabelSpace.range(0, 4)}


@pytest.fixture(params=SPACES)
def space(request):
    """The grid of ages, and five classes."""
    return SPACES[request.param]


@pytest.fixture(scope="session")
def seeds():
    """The seeds of the draws: two fixed ones, and a fresh one that a failure prints."""
    return (0, 1, int(np.random.SeedSequence().generate_state(1)[0]))


@pytest.fixture
def draws(space, seeds):
    """`draw(space, seed)` by seed."""
    return {seed: draw(space, seed) for seed in seeds}


def draw(space, seed, batch=33, scale=3.0):
    """A batch of outputs, labels on the grid and targets, as float32 NumPy; `index` as int64."""
    rng = np.random.default_rng(seed)
    K = space.size
    index = rng.integers(0, K, batch)
    numbers = {
        "logits": rng.normal(0, scale, (batch, K)),
        "rank_logits": rng.normal(0, scale, (batch, K - 1)),
        "score": rng.uniform(-0.2, 1.2, batch),
        "value": rng.uniform(0, K - 1, batch),
        "target": rng.dirichlet(np.full(K, 0.5), batch),
        "teacher": rng.dirichlet(np.ones(K), batch),
        "slack": rng.uniform(0, 0.3, batch),
        "ranks": rng.uniform(0, 1, (batch, K - 1)),
        "weights": rng.uniform(0, 2, K - 1),
        "counts": rng.integers(1, 1000, K),
        "grid": space.values,
        "labels": index,
    }
    return {name: np.float32(x) for name, x in numbers.items()} | {"index": index}
