"""The same numbers through ours and a peer's: values and gradients to 1e-5."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax.labels import AGE, LabelSpace

torch = pytest.importorskip("torch", reason="PyTorch is not installed; make test-peers does it")

# As peers know labels: K classes, 0 to K-1.
SPACES = {"age": AGE, "five": LabelSpace.range(0, 4)}
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def draw(space, batch=33, scale=3.0):
    """A fresh batch of outputs and labels on the grid, as float32 NumPy."""
    rng = np.random.default_rng()
    K = space.size
    index = rng.integers(0, K, batch)
    numbers = {
        "logits": rng.normal(0, scale, (batch, K)),
        "rank_logits": rng.normal(0, scale, (batch, K - 1)),
        "value": rng.uniform(0, K - 1, batch),
        "target": rng.dirichlet(np.full(K, 0.5), batch),
        "labels": index.astype(np.float64),
    }
    return {name: x.astype(np.float32) for name, x in numbers.items()} | {"index": index}


def tensor(x, dtype=torch.float64):
    """A leaf of the gradient; in float64, so that what differs is ours."""
    return torch.tensor(np.asarray(x), dtype=dtype, requires_grad=True)


def agree(ours, theirs, x, dtype=torch.float64):
    """`ours(x)` of JAX and `theirs(x)` of PyTorch: one number, and its gradient by x."""
    value, gradient = jax.value_and_grad(lambda x: jnp.asarray(ours(x)))(jnp.asarray(x))
    leaf = tensor(x, dtype)
    expected = theirs(leaf)
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), **TOLERANCE)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), **TOLERANCE)
