"""A trained network as a function of pictures, with the preprocessing that it was trained with."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from ldl_jax import decoders, methods, models
from ldl_jax.data.augment.augmentation import prepare
from ldl_jax.data.pictures import fit
from ldl_jax.methods import Prediction
from ldl_jax.predict import foreign
from ldl_jax.train import checkpoint
from ldl_jax.train.record import Record
from ldl_jax.train.state import Weights
from ldl_jax.train.step import PredictStep, make_predict_step


class Predictor:
    """`predictor(images) -> Prediction` for uint8 RGB pictures [B, H, W, 3] of any size.

    Attributes:
      space: the label space of the answers.
      preprocessing: what is done to each picture.
      alignment: how the pictures were cut out of larger ones.
      about: the checkpoint's record.
    """

    def __init__(self, about: Record, weights: Weights) -> None:
        self.about = about
        self.space, self.preprocessing = about.space, about.preprocessing
        self.alignment = about.alignment
        model = models.build(**about.model)
        method = methods.get(space=self.space, **about.method)
        predict = make_predict_step(model, method, flip=about.flip)
        self._weights = jax.device_put(weights)
        self._model, self._method, self._predict = model, method, predict

        def answer(weights: Weights, images: jax.Array) -> Prediction:
            return predict(weights, prepare(images, self.preprocessing))

        self._answer = jax.jit(answer)
        self._interval = jax.jit(decoders.interval, static_argnums=(1, 2))
        self._score_maps = jax.jit(self._mapped)

    @property
    def pure(self) -> tuple[PredictStep, Weights]:
        """The pure `predict(weights, preprocessed images) -> Prediction`, and its weights."""
        return self._predict, self._weights

    def __call__(self, images: np.ndarray) -> Prediction:
        """Returns the value [B], probabilities [B, K] and single heads' values [B], in NumPy.

        Raises:
          ValueError: the pictures are not uint8 [B, H, W, 3].
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(
                f"images: expected uint8 [B, H, W, 3], got {images.dtype} {list(images.shape)}"
            )
        return self.answer(np.stack([self.fitted(Image.fromarray(image)) for image in images]))

    def fitted(self, image: Image.Image) -> np.ndarray:
        """Cuts out an RGB picture's middle and resizes it for `answer`: uint8 [S, S, 3]."""
        return fit(image, self.preprocessing.stored_size, self.preprocessing.crop)

    def answer(self, images: np.ndarray) -> Prediction:
        """Answers for pictures [B, S, S, 3] of `fitted`; it compiles once for each B."""
        prediction: Prediction = self._answer(self._weights, images)
        return jax.tree.map(np.asarray, prediction)

    def interval(self, probs: np.ndarray, coverage: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Returns the least and the greatest label of central intervals of distributions [B, K].

        Each is [B]; `coverage` is the share of the distribution that lies in the interval.
        """
        low, high = self._interval(probs, self.space, coverage)
        return np.asarray(low), np.asarray(high)

    def check_score_maps(self) -> None:
        """Checks that the network and the method have score maps.

        Raises:
          ValueError: one of them has none; the message says which.
        """
        if self._model.maps is None:
            raise ValueError(
                f"score maps: the features of {self._model.name} are not the means of maps; "
                "ResNets, ThinAgeNet and TinyAgeNet have them"
            )
        layer = self._weights.params["head"].get("logits")
        if layer is None or layer["kernel"].shape != (self._model.width, self.space.size):
            raise ValueError(
                f"score maps: the method {self._method.name} has no logits of the labels that are "
                "linear in the network's features"
            )

    def score_maps(self, images: np.ndarray) -> np.ndarray:
        """Computes score maps [B, h, w] of pictures of `fitted`: what each part adds to the answer.

        S = Σ_k p_k A_k, with A_k = Σ_j w_kj F_j + b_k. F_j are the network's last maps before they
        are pooled. p is the answer for the picture itself, even where `flip` would average it with
        that for its mirror image. The mean of S over the map is Σ_k p_k x_k, the expected logit.

        Raises:
          ValueError: as in `check_score_maps`.

        Source: Gao et al., "Age Estimation Using Expectation of Label Distribution Learning",
        Sec. 4.6.
        """
        self.check_score_maps()
        return np.asarray(self._score_maps(self._weights, images))

    def _mapped(self, weights: Weights, images: jax.Array) -> jax.Array:
        assert self._model.maps is not None
        maps = self._model.maps(
            weights.params["backbone"], weights.model_state, prepare(images, self.preprocessing)
        )
        outputs = self._method.head.apply(weights.params["head"], maps.mean(axis=(1, 2)))
        probs = self._method.predict(outputs).probs
        layer = weights.params["head"]["logits"]
        towards = probs @ layer["kernel"].T  # Σ_k p_k w_k, for each picture
        return jnp.einsum("bhwd,bd->bhw", maps, towards) + (probs @ layer["bias"])[:, None, None]


def load(path: str | Path) -> Predictor:
    """Loads the predictor of a run's workdir (its last finished generation), of one checkpoint, or
    of a foreign file that holds a whole age model: the authors' SSR-Net.

    Raises:
      ValueError: nothing that can be read is there, or only a network without a head for ages.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"path: {path} does not exist")
    about, weights = foreign.read(path) if path.is_file() else checkpoint.read(path)
    return Predictor(about, Weights(weights["params"], weights["model_state"]))
