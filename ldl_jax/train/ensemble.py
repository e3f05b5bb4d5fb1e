"""An ensemble of teachers: networks of other runs, from which a first generation learns.

Its weights are one `Weights` whose params and model_state are tuples, an entry a member, so that
they pass through a chain as a single teacher's do.
"""

import dataclasses
from collections.abc import Sequence

import jax

from ldl_jax.methods import Batch, Knowledge, Method
from ldl_jax.models.functional import Model
from ldl_jax.train.state import PyTree, Weights

Members = Sequence[tuple[Model, Method]]


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """The networks and methods of the members, and their weights."""

    members: Members
    weights: Weights


def joined(weights: Sequence[Weights]) -> Weights:
    """Returns the weights of several members as one."""
    params = tuple(each.params for each in weights)
    return Weights(params, tuple(each.model_state for each in weights))  # type: ignore[arg-type]


def is_joined(weights: Weights) -> bool:
    """Returns whether weights are those of several members."""
    return isinstance(weights.params, tuple)


def knowledge(members: Members, weights: Weights, batch: Batch) -> Knowledge:
    """Returns the mean of what the members hand over about a batch: distributions and slack.

    Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), whose
    teacher is the mean of an ensemble's softened distributions; the members may differ in their
    seeds alone (Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles", 2017), or in network and method.
    """
    known = []
    params_of: Sequence[PyTree] = weights.params  # type: ignore[assignment]
    pairs = zip(params_of, weights.model_state, strict=True)
    for (model, method), (params, model_state) in zip(members, pairs, strict=True):
        features, _ = model.apply(params["backbone"], model_state, batch["images"], train=False)
        known.append(method.teach(method.head.apply(params["head"], features), batch))
    return jax.tree.map(lambda *each: sum(each[1:], start=each[0]) / len(each), *known)
