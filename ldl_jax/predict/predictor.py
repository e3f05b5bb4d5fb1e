"""A trained network as a function of pictures, with the preprocessing that it was trained with."""

from functools import cached_property, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from ldl_jax import calibration, encodings, models
from ldl_jax.data.augment.augmentation import prepare
from ldl_jax.data.pictures import fit
from ldl_jax.heads import Features
from ldl_jax.methods import Method, Prediction
from ldl_jax.models import cost
from ldl_jax.models.functional import Model
from ldl_jax.predict import one_file, recorded
from ldl_jax.predict.batches import ROWS, batched, checked, pictures_at_once
from ldl_jax.predict.engines import Session
from ldl_jax.predict.one_file import Notes
from ldl_jax.train.predict_step import PredictStep
from ldl_jax.train.record import Record
from ldl_jax.train.weights import PyTree, Weights


class Predictor:
    """`predictor(images) -> Prediction` for uint8 RGB pictures [B, H, W, 3] of any size.

    Attributes:
      space: the label space of the answers.
      preprocessing: what is done to each picture.
      alignment: how the pictures were cut out of larger ones.
      about: the checkpoint's record.
      trained: the weights as they were trained.
      notes: where the model comes from, in words, where it was read from one file.
      older: a line on each newer checkpoint that is damaged, where this is an older one.
      session: what answers in XLA's place (`ldl_jax.predict.engines`), or None.
      folder: the checkpoint that it was read from; None of a file.

    Its batch normalisation is folded into the layers before it once, here; `trained` has it whole.
    """

    def __init__(
        self, about: Record, weights: Weights | None, session: Session | None = None
    ) -> None:
        self.about, self.notes = about, Notes()
        self.space, self.preprocessing = about.space, about.preprocessing
        self.alignment = about.alignment
        self.older: tuple[str, ...] = ()
        self.folder: Path | None = None
        self.session = session
        self._interval = jax.jit(
            partial(calibration.interval, about.calibration), static_argnums=(1, 2, 3)
        )
        if weights is None:  # of an ONNX file, which has none for JAX and runs no code
            assert session is not None
            return
        self.trained = weights
        model, method = recorded.parts(about, "about")
        backbone = weights.params["backbone"]
        model, backbone, model_state = models.folded(model, backbone, weights.model_state)
        predict = recorded.predict_step(about, model, method)
        self._weights = jax.device_put(
            Weights({**weights.params, "backbone": backbone}, model_state)
        )
        self._model, self._method, self._predict = model, method, predict

        def answer(weights: Weights, images: jax.Array) -> Prediction:
            return predict(weights, prepare(images, self.preprocessing))

        self._compute, self._answer = answer, jax.jit(answer)
        self._score_maps = jax.jit(self._mapped)

    @property
    def pure(self) -> tuple[PredictStep, Weights]:
        """The pure `predict(weights, preprocessed images) -> Prediction`, and its weights."""
        self._check_weights()
        return self._predict, self._weights

    @property
    def parts(self) -> tuple[Model, Method, Weights]:
        """The network, the method and the weights."""
        self._check_weights()
        return self._model, self._method, self._weights

    def save(self, path: str | Path, *, dtype: str = "float32", notes: Notes | None = None) -> None:
        """Writes the model as one file, which `ldl_jax.load` takes; see `one_file.write`."""
        self._check_weights()
        one_file.write(self, path, dtype=dtype, notes=notes)

    @cached_property
    def batch_size(self) -> int:
        """The number of pictures that are computed at a time, by the one program for all batches.

        Fewer pictures are padded, more go one batch after the other (`batches.pictures_at_once`).
        """
        side = self.preprocessing.stored_size
        images = jax.ShapeDtypeStruct((1, side, side, 3), np.uint8)
        return pictures_at_once(cost.multiply_adds(self._compute, self._weights, images))

    def _check_weights(self) -> None:
        """Raises ValueError for a model of an ONNX file, which only answers."""
        if not hasattr(self, "_weights"):
            raise ValueError("an ONNX file has no weights for JAX; load the run it was made of")

    @property
    def value_alone(self) -> bool:
        """Returns whether the method gives a value alone, and no calibration an interval."""
        return self.about.calibration is None and self.stand_in

    @cached_property
    def stand_in(self) -> bool:
        """Returns whether the method gives a value alone, for which its distribution stands in.

        Its distribution is then the two labels next to the value, and an interval of it means
        nothing. A distribution that is learnt is not so for random features.
        """
        if self.space.size < 3:
            return False
        if not hasattr(self, "_weights"):
            assert self.session is not None
            return self.session.value_alone
        rng = np.random.default_rng(0)
        width = self._model.width

        def draw(count: int) -> jax.Array:
            return jnp.asarray(rng.normal(size=(8, count)), jnp.float32)

        features = draw(width) if isinstance(width, int) else {n: draw(w) for n, w in width.items()}

        def answer(head: PyTree, features: Features) -> tuple[jax.Array, jax.Array]:
            value, probs, _ = self._method.predict(self._method.head.apply(head, features))
            return probs, encodings.two_hot(value, self.space)

        probs, stand_in = jax.jit(answer)(self._weights.params["head"], features)
        return np.allclose(probs, stand_in, atol=1e-6)

    def __call__(self, images: np.ndarray) -> Prediction:
        """Returns the value [B], probabilities [B, K] and single heads' values [B], in NumPy.

        One program is compiled, whatever the B of each call; see `batch_size`.

        Raises:
          ValueError: the pictures are not uint8 [B, H, W, 3], or there are none.
        """
        images = checked(images)
        return self.answer(np.stack([self.fitted(Image.fromarray(image)) for image in images]))

    def fitted(self, image: Image.Image) -> np.ndarray:
        """Cuts out an RGB picture's middle and resizes it for `answer`: uint8 [S, S, 3]."""
        stored = self.preprocessing
        return fit(image, stored.stored_size, stored.crop, stored.square)

    def answer(self, images: np.ndarray) -> Prediction:
        """Answers for pictures [B, S, S, 3] of `fitted`, in batches of one size."""
        if self.session is not None:
            return self.session(images)
        compute = partial(self._answer, self._weights)
        prediction: Prediction = batched(compute, images, self.batch_size)
        return prediction

    def interval(
        self, probs: np.ndarray, coverage: float = 0.9, group: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the least and the greatest label of intervals of answers' distributions [B, K].

        Each is [B]; those of a calibrated model are conformal (`ldl_jax.calibration`), those of
        another are central, and `coverage` is then the share of the distribution that they hold.
        A `group` of people that the model is not calibrated for, or "", has the intervals of all.

        Raises:
          ValueError: too few pictures were calibrated with for the coverage.
        """
        low, high = batched(
            lambda rows: self._interval(rows, self.space, coverage, group), probs, ROWS
        )
        return low, high

    def check_score_maps(self) -> None:
        """Checks that the network and the method have score maps.

        Raises:
          ValueError: one of them has none; the message says which.
        """
        self._check_weights()
        if self._model.maps is None:
            raise ValueError(
                f"score maps: the features of {self._model.name} are not the means of maps; "
                "ResNets, ThinAgeNet and TinyAgeNet have them"
            )
        layer = self._weights.params["head"].get("logits")
        deep = bool(self.about.hidden) or self.about.standardised
        if layer is None or deep or layer["kernel"].shape != (self._model.width, self.space.size):
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
        compute = partial(self._score_maps, self._weights)
        maps: np.ndarray = batched(compute, images, self.batch_size)
        return maps

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
