"""A predictor's whole answer as one function of stored pictures, for files of other programs."""

from collections.abc import Callable
from typing import Protocol

import jax
import numpy as np

from ldl_jax import decoders
from ldl_jax.data.augment.augmentation import prepare
from ldl_jax.methods import Prediction
from ldl_jax.train.record import Record

FORMAT = 1  # of inputs, outputs and metadata, raised where a reader would have to know
INPUT = "images"
COVERAGE = 0.9  # of the interval
OUTPUTS = ("value", "probs", "low", "high")
HEAD = "head_"  # before the name of each head whose own value the method gives


class Traceable(Protocol):
    """The part of a predictor that is traced."""

    about: Record

    @property
    def pure(self) -> tuple[Callable[..., Prediction], object]:
        """The pure function of prepared pictures, and its weights."""

    @property
    def value_alone(self) -> bool:
        """Returns whether the method gives a value without a distribution."""


class Answering:
    """Answers for stored pictures, uint8 [B, S, S, 3], with the arrays that `outputs` names."""

    def __init__(self, predictor: Traceable) -> None:
        self.about = predictor.about
        self._predict, self._weights = predictor.pure
        size = self.about.preprocessing.stored_size
        shape = jax.ShapeDtypeStruct((1, size, size, 3), np.uint8)
        self._heads = sorted(jax.eval_shape(lambda images: self._whole(images), shape).heads)

    def __call__(self, images: jax.Array) -> list[jax.Array]:
        """Returns value, probabilities, the interval's ends, and each head's own value."""
        prediction = self._whole(images)
        low, high = decoders.interval(prediction.probs, self.about.space, COVERAGE)
        heads = [prediction.heads[name] for name in self._heads]
        return [prediction.value, prediction.probs, low, high, *heads]

    @property
    def outputs(self) -> list[str]:
        """The names of the arrays."""
        return [*OUTPUTS, *(f"{HEAD}{name}" for name in self._heads)]

    def _whole(self, images: jax.Array) -> Prediction:
        return self._predict(self._weights, prepare(images, self.about.preprocessing))


def check(predictor: Traceable) -> None:
    """Checks that a predictor's numbers are finite.

    Raises:
      ValueError: some are NaN or infinite; the message names the first arrays.
    """
    leaves = jax.tree.leaves_with_path(predictor.pure[1])
    broken = [
        jax.tree_util.keystr(path)
        for path, leaf in leaves
        if not np.isfinite(np.asarray(leaf)).all()
    ]
    if broken:
        rest = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise ValueError(
            f"the model: weights are NaN or infinite in {', '.join(broken[:3])}{rest}; such a "
            "network gives no answers"
        )
