"""A method of one's own that breaks the contract is told so, in what and how."""

import dataclasses

import jax.numpy as jnp
import pytest

from ldl_jax import methods
from ldl_jax.labels import AGE
from ldl_jax.methods import METHODS, Knowledge, Prediction

WIDTH = 5


@pytest.mark.parametrize("name", ["cen", "corn", "regression_l1", "ssr", "megaage"])
def test_built_in_methods_pass(name):
    assert name in METHODS
    methods.check(methods.get(name, space=AGE), WIDTH)
    methods.check(methods.get(name, space=AGE), {"a": 2, "b": 3})


def changed(**functions):
    return dataclasses.replace(methods.get("dex", space=AGE), name="mine", **functions)


DEX = methods.get("dex", space=AGE)


def replacing(**fields):
    """predict, with fields of what it returns replaced."""
    return lambda outputs: DEX.predict(outputs)._replace(**fields)


@pytest.mark.parametrize(
    ("functions", "says"),
    [
        (
            {"loss": lambda o, b, k=None: DEX.loss(o, b, k).mean()},
            r"'mine': its loss: expected \[3\] for a batch of 3: one a picture, not reduced .*\(\)",
        ),
        (
            {"loss": lambda o, b, k=None: DEX.loss(o, b, k) if k is None else jnp.ones((3, 1))},
            r"its taught loss: expected \[3\].*got shape \(3, 1\)",
        ),
        (
            {"loss": lambda o, b, k=None: jnp.full(3, jnp.nan)},
            r"its loss: expected finite numbers, got \[nan nan nan\]",
        ),
        (
            {"loss": lambda o, b, k=None: DEX.loss(o, b, k).astype(jnp.bfloat16)},
            r"its loss: expected float32, got bfloat16",
        ),
        ({"predict": replacing(probs=jnp.full((3, 7), 1 / 7))}, r"probs: expected \[3, 101\]"),
        ({"predict": replacing(probs=jnp.ones((3, 101)))}, r"sums of 1, got sums of \[101"),
        ({"predict": replacing(value=jnp.ones((3, 1)))}, r"predict's value: expected \[3\]"),
        (
            {"predict": lambda o: jnp.ones(3)},
            r"its predict: expected a Prediction, got a A",
        ),
        ({"teach": lambda o, b: Prediction(jnp.ones(3), o["logits"])}, r"expected a Knowledge"),
        (
            {"teach": lambda o, b: Knowledge(jnp.full((3, 101), -1 / 101), jnp.ones(3))},
            r"teach's probs: expected no negative ones",
        ),
    ],
)
def test_what_breaks_the_contract(functions, says):
    with pytest.raises(ValueError, match=says):
        methods.check(changed(**functions), WIDTH)
