"""Schedules against values worked out by hand, optimizers against PyTorch's."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ldl_jax.train.optimizers import OptimizerConfig, learning_rate, optimizer

EPOCH = 10  # steps
pytestmark = pytest.mark.usefixtures("optax_promotes")


def rates(config, steps, at):
    schedule = learning_rate(config, EPOCH, steps)
    return [float(schedule(step)) for step in at]


def test_step_schedule_divides_by_ten_every_forty_epochs():
    """CEN's "Training Details": from 0.001, by a factor of 10 every 40 epochs, for 160 epochs."""
    at = [0, 399, 400, 799, 800, 1200, 1599]
    expected = [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-6, 1e-6]
    np.testing.assert_allclose(rates(OptimizerConfig(), 1600, at), expected, rtol=1e-5)


def test_step_schedule_with_a_fraction_of_an_epoch():
    config = OptimizerConfig(learning_rate=1.0, every=0.5, factor=0.5)
    expected = [1, 1, 0.5, 0.25, 0.125]
    np.testing.assert_allclose(rates(config, 100, [0, 4, 5, 10, 15]), expected, rtol=1e-6)


def test_warmup_rises_from_nothing_and_the_schedule_follows():
    config = OptimizerConfig(learning_rate=1.0, every=2, factor=0.1, warmup_epochs=1)
    at = [0, 1, 5, 9, 10, 29, 30, 50]
    expected = [0, 0.1, 0.5, 0.9, 1, 1, 0.1, 0.01]
    np.testing.assert_allclose(rates(config, 100, at), expected, rtol=1e-5)


@pytest.mark.parametrize("warmup", [0, 2])
def test_cosine_ends_at_zero(warmup):
    config = OptimizerConfig(learning_rate=0.4, schedule="cosine", warmup_epochs=warmup)
    start, steps = 10 * warmup, 100
    at = [start, start + 7, (start + steps) // 2, steps]
    expected = [0.2 * (1 + math.cos(math.pi * (s - start) / (steps - start))) for s in at]
    np.testing.assert_allclose(rates(config, steps, at), expected, rtol=1e-5, atol=1e-8)
    assert expected[-1] == 0


def test_constant():
    config = OptimizerConfig(learning_rate=0.3, schedule="constant", warmup_epochs=0.2)
    np.testing.assert_allclose(rates(config, 50, [0, 1, 2, 49]), [0, 0.15, 0.3, 0.3], rtol=1e-6)


def test_a_schedule_is_a_function_of_a_traced_step():
    schedule = learning_rate(OptimizerConfig(schedule="cosine", warmup_epochs=1), EPOCH, 100)
    jitted = jax.jit(schedule)
    for step in (0, 5, 10, 60):
        np.testing.assert_allclose(jitted(jnp.int32(step)), schedule(step), rtol=1e-6)


def quadratic():
    """A loss Σ (A w - b)² with a weight and a bias, and where to start."""
    rng = np.random.default_rng(0)
    matrix, target = rng.normal(size=(4, 3)), rng.normal(size=4)
    return matrix.astype(np.float32), target.astype(np.float32), np.ones(3, np.float32)


def ours(config, steps):
    matrix, target, start = quadratic()
    schedule = learning_rate(config, EPOCH, steps)
    transform = optimizer(config, schedule)

    @jax.jit
    def step(w, state):
        gradient = jax.grad(lambda w: jnp.square(matrix @ w - target).sum())(w)
        updates, state = transform.update(gradient, state, w)
        return optax.apply_updates(w, updates), state

    w, state, path = jnp.asarray(start), transform.init(jnp.asarray(start)), []
    for _ in range(steps):
        w, state = step(w, state)
        path.append(np.asarray(w))
    return np.stack(path), [float(schedule(step)) for step in range(steps)]


@pytest.mark.parametrize(
    ("config", "make"),
    [
        (
            OptimizerConfig("sgd", 0.01, momentum=0.9, weight_decay=0.1, every=0.5),
            lambda torch, w: torch.optim.SGD([w], 0.01, momentum=0.9, weight_decay=0.1),
        ),
        (
            OptimizerConfig("sgd", 0.01, "constant", momentum=0.0, weight_decay=0.0),
            lambda torch, w: torch.optim.SGD([w], 0.01),
        ),
        (
            OptimizerConfig("adam", 0.1, "cosine", weight_decay=0.2),
            lambda torch, w: torch.optim.Adam([w], 0.1, weight_decay=0.2),
        ),
        (
            OptimizerConfig("adamw", 0.1, "cosine", weight_decay=0.2, warmup_epochs=0.3),
            lambda torch, w: torch.optim.AdamW([w], 0.1, weight_decay=0.2),
        ),
        (
            OptimizerConfig("adamw", 0.1, beta1=0.8, beta2=0.95, epsilon=1e-3, weight_decay=0.0),
            lambda torch, w: torch.optim.AdamW(
                [w], 0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.0
            ),
        ),
    ],
    ids=["sgd", "plain-sgd", "adam", "adamw", "adamw-betas"],
)
def test_against_pytorch(config, make):
    torch = pytest.importorskip("torch")
    path, schedule = ours(config, 12)
    matrix, target, start = (torch.tensor(x) for x in quadratic())
    w = start.clone().requires_grad_()
    theirs = make(torch, w)
    for rate, expected in zip(schedule, path, strict=True):
        theirs.param_groups[0]["lr"] = rate
        theirs.zero_grad()
        (matrix @ w - target).square().sum().backward()
        theirs.step()
        np.testing.assert_allclose(w.detach().numpy(), expected, rtol=2e-5, atol=1e-6)
    assert not np.allclose(path[-1], start)


def test_adams_decay_enters_the_gradient_and_adamws_does_not():
    adam, adamw = (ours(OptimizerConfig(n, 0.1, weight_decay=0.5), 5)[0] for n in ("adam", "adamw"))
    assert not np.allclose(adam[-1], adamw[-1], rtol=1e-2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "rmsprop"),
        ("schedule", "exponential"),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("every", -1.0),
        ("factor", 0.0),
        ("epsilon", -1e-8),
        ("momentum", 1.0),
        ("beta1", -0.1),
        ("beta2", 1.0),
        ("warmup_epochs", -0.5),
        ("weight_decay", float("nan")),
    ],
)
def test_refuses(field, value):
    with pytest.raises(ValueError, match=rf"^optimizer\.{field}: .* got '?{value}"):
        OptimizerConfig(**{field: value})
