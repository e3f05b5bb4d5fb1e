"""A trained network as a function of pictures, with the preprocessing that it was trained with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from ldl_jax import methods, models
from ldl_jax.data.augment import Preprocessing, prepare
from ldl_jax.data.pictures import fit
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import Prediction
from ldl_jax.train import checkpoint
from ldl_jax.train.state import Weights
from ldl_jax.train.step import make_predict_step
from ldl_jax.workdir import read_results


class Predictor:
    """`predictor(images) -> Prediction` for uint8 RGB pictures [B, H, W, 3] of any size.

    Attributes:
      space: the label space of the answers.
      preprocessing: what is done to each picture.
      about: what the weights are, as stored with them.
    """

    def __init__(self, about: dict[str, Any], weights: Weights) -> None:
        self.about = about
        space = about["space"]
        self.space = LabelSpace(
            tuple(space["values"]), space["unit"], tuple(tuple(pair) for pair in space["bounds"])
        )
        stored = about["preprocessing"]
        self.preprocessing = Preprocessing(
            stored["stored_size"],
            stored["size"],
            tuple(stored["mean"]),
            tuple(stored["std"]),
            stored["crop"],
        )
        model = models.build(**about["model"])
        method = methods.get(space=self.space, **about["method"])
        predict = make_predict_step(model, method, flip=about["flip"])
        self._weights = weights

        def answer(weights: Weights, images: jax.Array) -> Prediction:
            return predict(weights, prepare(images, self.preprocessing))

        self._answer: Callable[[Weights, Any], Prediction] = jax.jit(answer)

    def __call__(self, images: np.ndarray) -> Prediction:
        """The value [B], probabilities [B, K] and single heads' values [B], in NumPy.

        Raises:
          ValueError: the pictures are not uint8 [B, H, W, 3].
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(
                f"images: expected uint8 [B, H, W, 3], got {images.dtype} {list(images.shape)}"
            )
        size, crop = self.preprocessing.stored_size, self.preprocessing.crop
        images = np.stack([fit(Image.fromarray(image), size, crop) for image in images])
        return jax.tree.map(np.asarray, self._answer(self._weights, images))


def load(path: str | Path) -> Predictor:
    """The predictor of a run's workdir (its last finished generation) or of one checkpoint.

    Raises:
      ValueError: nothing that can be read is there.
    """
    path = Path(path)
    finished = len(read_results(path))
    if finished:
        path = path / "checkpoints" / f"generation_{finished}"
    elif path.name.isdigit() and (path / "state").is_dir():
        return _predictor(*checkpoint.read_step(path))
    elif not any(child.name.isdigit() for child in path.glob("*")):
        raise ValueError(
            f"path: {path} is neither the workdir of a run with a finished generation nor a "
            "checkpoint (WORKDIR/checkpoints/generation_N or a step in it)"
        )
    return _predictor(*checkpoint.read_weights(path))


def _predictor(about: dict[str, Any], weights: dict[str, Any]) -> Predictor:
    return Predictor(about, Weights(weights["params"], weights["model_state"]))
