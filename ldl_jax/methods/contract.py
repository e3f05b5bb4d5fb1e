"""What a method is: pure functions on a batch, and what one generation hands to the next.

Reached as `ldl_jax.methods.NAME`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from ldl_jax.heads import Head, Outputs
from ldl_jax.labels import LabelSpace

Batch = Mapping[str, jax.Array]


class Knowledge(NamedTuple):
    """What a generation hands to the next one about a batch.

    Attributes:
      probs: [B, K] the teacher's distribution, already softened by its temperature.
      slack: [B] |its normalised estimate - the normalised label| (CEN Eq. 10).
    """

    probs: jax.Array
    slack: jax.Array


class Prediction(NamedTuple):
    """What a method answers for a batch.

    Attributes:
      value: [B] the estimate, in the label's unit.
      probs: [B, K] the distribution over the label space.
      heads: the single heads' estimates [B] by name, where there are several.
    """

    value: jax.Array
    probs: jax.Array
    heads: Mapping[str, jax.Array] = {}


@dataclasses.dataclass(frozen=True)
class Method:
    """One way of learning an ordered label; every function is pure and takes a whole batch.

    Attributes:
      name: for tables and messages.
      space: the label space.
      head: the layers on the network's features.
      encode: `encode(labels [B], sigma [B]) -> target`, what the loss compares with: a distribution
        [B, K], ranks [B, K-1] or a value [B]; sigma is NaN where unknown.
      loss: `loss(outputs, batch, knowledge=None) -> [B]`, with batch["labels"] and
        batch["sigma"], each [B]; `knowledge` is the previous generation's.
      predict: `predict(outputs) -> Prediction`.
      teach: `teach(outputs, batch) -> Knowledge`.
      hyper_parameters: what the factory was called with, its defaults included; `methods.get`
        fills them in.
      watch: `watch(outputs) -> {name: []}`, what a training log should show beside the loss.
    """

    name: str
    space: LabelSpace
    head: Head
    encode: Callable[[jax.Array, jax.Array], jax.Array]
    loss: Callable[..., jax.Array]
    predict: Callable[[Outputs], Prediction]
    teach: Callable[[Outputs, Batch], Knowledge]
    hyper_parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    watch: Callable[[Outputs], Mapping[str, jax.Array]] = lambda outputs: {}


def check_number(
    name: str, value: float, low: float, high: float = float("inf"), *, strict: bool = False
) -> None:
    """A hyper-parameter within [low, high], or (low, high] where `strict`.

    A traced one passes: several runs in one program have theirs checked before it is traced.

    Raises:
      ValueError: it is no finite number, or outside.
    """
    if isinstance(value, jax.core.Tracer):
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    outside = not number or not low <= value <= high or math.isinf(value)
    if outside or (strict and value == low):
        least = f"more than {low:g}" if strict else f"at least {low:g}"
        most = "" if high == float("inf") else f" and at most {high:g}"
        raise ValueError(f"method.{name}: expected a number of {least}{most}, got {value!r}")


def check_flag(name: str, value: bool) -> None:
    """A hyper-parameter that is True or False.

    Raises:
      ValueError: it is something else.
    """
    if not isinstance(value, bool):
        raise ValueError(f"method.{name}: expected True or False, got {value!r}")


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """A hyper-parameter that is one of some words.

    Raises:
      ValueError: it is none of them.
    """
    if value not in known:
        raise ValueError(f"method.{name}: expected one of {', '.join(known)}, got {value!r}")
