"""The contract of a method: pure functions on a batch, and what a generation hands to the next."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax

from ldl_jax.heads import Head, Outputs
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import deep

Batch = Mapping[str, jax.Array]


class Knowledge(NamedTuple):
    """The knowledge that a generation hands to the next one about a batch.

    Attributes:
      probs: [B, K] the teacher's distribution, already softened by its temperature.
      slack: [B] the teacher's |normalised estimate - normalised label| (CEN Eq. 10).
    """

    probs: jax.Array
    slack: jax.Array


class Prediction(NamedTuple):
    """The answer of a method for a batch.

    Attributes:
      value: [B] the estimate, in the label's unit.
      probs: [B, K] the distribution over the label space.
      heads: each head's own estimate [B] by name, where there are several.
    """

    value: jax.Array
    probs: jax.Array
    heads: Mapping[str, jax.Array] = {}


@dataclasses.dataclass(frozen=True)
class Method:
    """A way of learning an ordered label; every function is pure and takes a whole batch.

    Attributes:
      name: for tables and messages.
      space: the label space.
      head: the layers on the network's features.
      encode: `encode(labels [B], sigma [B]) -> target`, which the loss compares with: a
        distribution [B, K], ranks [B, K-1] or a value [B]; sigma is NaN where unknown.
      loss: `loss(outputs, batch, knowledge=None) -> [B]`, with batch["labels"] and
        batch["sigma"], each [B]; `knowledge` is the previous generation's.
      predict: `predict(outputs) -> Prediction`.
      teach: `teach(outputs, batch) -> Knowledge`.
      hyper_parameters: the factory's arguments, its defaults included; `methods.get` fills them
        in. A checkpoint keeps them, and `methods.get` makes the method again from them.
      watch: `watch(outputs) -> {name: []}`, scalars that a training log shows beside the loss.
    """

    name: str
    space: LabelSpace
    head: Head
    encode: Callable[[jax.Array, jax.Array], jax.Array]
    loss: Callable[..., jax.Array]
    predict: Callable[[Outputs], Prediction]
    teach: Callable[[Outputs, Batch], Knowledge]
    hyper_parameters: Mapping[str, object] = dataclasses.field(default_factory=dict)
    watch: Callable[[Outputs], Mapping[str, jax.Array]] = lambda outputs: {}

    def deepened(
        self, hidden: Sequence[int] = (), dropout: float = 0.0, *, standardised: bool = False
    ) -> "Method":
        """Returns the method with these hidden layers below its head (`methods.deep`)."""
        head = deep.deepened(self.head, hidden, dropout, standardised=standardised)
        return dataclasses.replace(self, head=head)


def check_number(
    name: str, value: float, low: float, high: float = float("inf"), *, strict: bool = False
) -> None:
    """Raises ValueError unless a value is finite and in [low, high], or (low, high] if `strict`.

    A traced value passes: runs in one program have theirs checked before the program is traced.
    """
    if isinstance(value, jax.core.Tracer):
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    outside = not is_number or not low <= value <= high or math.isinf(value)
    if outside or (strict and value == low):
        least = f"more than {low:g}" if strict else f"at least {low:g}"
        most = "" if high == float("inf") else f" and at most {high:g}"
        raise ValueError(f"method.{name}: expected a number of {least}{most}, got {value!r}")


def check_flag(name: str, value: bool) -> None:
    """Raises ValueError unless a hyper-parameter is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"method.{name}: expected True or False, got {value!r}")


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raises ValueError unless a hyper-parameter is one of the words that are known."""
    if value not in known:
        raise ValueError(f"method.{name}: expected one of {', '.join(known)}, got {value!r}")
