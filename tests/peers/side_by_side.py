"""Checks that ours and a peer's function agree in values and gradients to 1e-5."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; make test-peers does it")

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def agree(ours, theirs, draws, output, dtype=torch.float64):
    """`ours(x, d)` of JAX and `theirs(x, d)` of PyTorch: the batch's mean, and its gradient by x.

    x is the draw's `output`, d the rest of it: arrays, or tensors of `dtype`; in float64, so that
    what differs is ours. The gradient is compared as each example's own: to 1e-5 of an entry or,
    where that is more, 1e-5 of the greatest one or of 1.
    """
    own = jax.jit(jax.value_and_grad(lambda x, d: ours(x, d).astype(jnp.float32)))
    for seed, draw in draws.items():
        d = {name: x for name, x in draw.items() if name != output}
        value, gradient = own(draw[output], {**d, "index": d["index"].astype(np.int32)})
        t = {name: tensor(x, torch.int64 if name == "index" else dtype) for name, x in d.items()}
        leaf = tensor(draw[output], dtype).requires_grad_()
        expected = theirs(leaf, t)
        expected.backward()
        message = f"seed {seed}"
        np.testing.assert_allclose(value, expected.item(), **TOLERANCE, err_msg=message)
        of_examples = len(leaf) * leaf.grad.numpy()
        atol = 1e-5 * max(1.0, np.abs(of_examples).max())
        np.testing.assert_allclose(
            len(leaf) * gradient, of_examples, rtol=1e-5, atol=atol, err_msg=message
        )


def tensor(x, dtype=torch.float64):
    return torch.tensor(np.asarray(x), dtype=dtype)
