"""CEN with parts of its evolution taken away, to compare with: factories as of one's own method."""

import dataclasses

import jax
import jax.numpy as jnp

from ldl_jax import methods
from ldl_jax.heads import Outputs
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import Batch, Knowledge, Method


def without_teacher(space: LabelSpace) -> Method:
    """Returns CEN whose later generations are trained as the first one, on the labels alone."""
    method = methods.get("cen", space=space)

    def loss(outputs: Outputs, batch: Batch, knowledge: Knowledge | None = None) -> jax.Array:
        return method.loss(outputs, batch, None)

    return dataclasses.replace(method, loss=loss)


def without_slack(space: LabelSpace) -> Method:
    """Returns CEN whose regression does not allow the teacher's error (a slack of 0, Eq. 13)."""
    method = methods.get("cen", space=space)

    def teach(outputs: Outputs, batch: Batch) -> Knowledge:
        knowledge = method.teach(outputs, batch)
        return knowledge._replace(slack=jnp.zeros_like(knowledge.slack))

    return dataclasses.replace(method, teach=teach)
