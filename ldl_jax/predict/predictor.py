"""A trained network as a function of pictures, with the preprocessing that it was trained with."""

import typing
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from PIL import Image

from ldl_jax import decoders, encodings, methods, models
from ldl_jax.data.augment.augmentation import prepare
from ldl_jax.data.pictures import fit
from ldl_jax.files import from_home
from ldl_jax.heads import Features
from ldl_jax.methods import Method, Prediction
from ldl_jax.models.functional import Model
from ldl_jax.predict import foreign
from ldl_jax.predict.trust import check as trust_check
from ldl_jax.train import checkpoint
from ldl_jax.train.checkpoint import Arrays
from ldl_jax.train.intact import LogLine, warn
from ldl_jax.train.record import Record
from ldl_jax.train.state import PyTree, Weights
from ldl_jax.train.step import PredictStep, make_predict_step
from ldl_jax.train.transfer import check_finite, differences

Tree = typing.TypeVar("Tree")
SIZES = (1, 4, 16, 64, 256)  # of the batches that are computed, each of them compiled once


class Predictor:
    """`predictor(images) -> Prediction` for uint8 RGB pictures [B, H, W, 3] of any size.

    Attributes:
      space: the label space of the answers.
      preprocessing: what is done to each picture.
      alignment: how the pictures were cut out of larger ones.
      about: the checkpoint's record.
      older: a line on each newer checkpoint that is damaged, where this is an older one.

    Its batch normalisation is folded into the layers before it once, here.
    """

    def __init__(self, about: Record, weights: Weights) -> None:
        self.about = about
        self.space, self.preprocessing = about.space, about.preprocessing
        self.alignment = about.alignment
        self.older: tuple[str, ...] = ()
        model, method = _made(about, "about")
        backbone = weights.params["backbone"]
        model, backbone, model_state = models.folded(model, backbone, weights.model_state)
        predict = make_predict_step(model, method, flip=about.flip)
        self._weights = jax.device_put(
            Weights({**weights.params, "backbone": backbone}, model_state)
        )
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

    @property
    def parts(self) -> tuple[Model, Method, Weights]:
        """The network, the method and the weights."""
        return self._model, self._method, self._weights

    @cached_property
    def value_alone(self) -> bool:
        """Returns whether the method gives a value alone.

        Its distribution is then the two labels next to the value, and an interval of it means
        nothing. A distribution that is learnt is not so for random features.
        """
        if self.space.size < 3:
            return False
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

        At most five programs are compiled, whatever the B of each call; see `answer`.

        Raises:
          ValueError: the pictures are not uint8 [B, H, W, 3], or there are none.
        """
        images = _checked(images)
        return self.answer(np.stack([self.fitted(Image.fromarray(image)) for image in images]))

    def fitted(self, image: Image.Image) -> np.ndarray:
        """Cuts out an RGB picture's middle and resizes it for `answer`: uint8 [S, S, 3]."""
        stored = self.preprocessing
        return fit(image, stored.stored_size, stored.crop, stored.square)

    def answer(self, images: np.ndarray) -> Prediction:
        """Answers for pictures [B, S, S, 3] of `fitted`, in batches of a few sizes alone."""
        prediction: Prediction = _batched(partial(self._answer, self._weights), images)
        return prediction

    def interval(self, probs: np.ndarray, coverage: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Returns the least and the greatest label of central intervals of distributions [B, K].

        Each is [B]; `coverage` is the share of the distribution that lies in the interval.
        """
        low, high = _batched(lambda rows: self._interval(rows, self.space, coverage), probs)
        return low, high

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
        maps: np.ndarray = _batched(partial(self._score_maps, self._weights), images)
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


def load(
    path: str | Path,
    *,
    trust: Sequence[str] = (),
    allow_unsealed: bool = False,
    allow_nonfinite: bool = False,
    log: LogLine = warn,
) -> Predictor:
    """Loads the predictor of a run's workdir (its last finished generation), of one checkpoint, or
    of a foreign file that holds a whole age model: those of SSR-Net's authors, or HSE-FaceRes'.

    A foreign file is always safe to open. A checkpoint may name a method of somebody's own, as
    "package.module:factory"; that code is imported only where `trust` names its module.

    Args:
      path: the folder or the file.
      trust: the modules that a checkpoint may have imported, as "package.module".
      allow_unsealed: whether a checkpoint is read that was sealed once and has no seal now.
      allow_nonfinite: whether weights may be NaN or infinite.
      log: takes a line of text on what is wrong, where there still is an answer: a newer checkpoint
        that is damaged, or one without a seal. By default it warns.

    Raises:
      ValueError: nothing that can be read is there, only a network without a head for ages, weights
        that do not fit their network or are not finite, or code that is not trusted.
    """
    path = Path(from_home(path))
    if not path.exists():
        raise ValueError(f"path: {path} does not exist")
    older: list[str] = []
    if path.is_dir():
        about, weights = checkpoint.read(path, log, older.append, allow_unsealed=allow_unsealed)
    elif path.is_file():
        about, weights = foreign.read(path, allow_nonfinite=allow_nonfinite)
    else:
        raise ValueError(f"path: {path} is neither a file nor a folder")
    for line in older:
        log(line)
    trust_check(about, trust, path)
    predictor = Predictor(about, _fitting(about, weights, path, allow_nonfinite))
    predictor.older = tuple(older)
    return predictor


def _fitting(about: Record, weights: Arrays, path: Path, allow_nonfinite: bool) -> Weights:
    """Returns the weights of a checkpoint, after checking them against the network it names."""
    model, method = _made(about, str(path))
    key = jax.random.key(0)
    wanted = (
        *jax.eval_shape(model.init, key),
        jax.eval_shape(lambda key: method.head.init(key, model.width), key),
    )
    params = weights["params"]
    stored = (params["backbone"], weights["model_state"], params["head"])
    if faults := differences(stored, wanted):
        rest = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError(f"{path} does not fit {model.name}: {'; '.join(faults[:5])}{rest}")
    if not allow_nonfinite:
        remedy = " (--allow-nonfinite, or allow_nonfinite=True, takes them)"
        check_finite(weights, path, remedy)
    return Weights(params, weights["model_state"])


def _made(about: Record, source: str) -> tuple[Model, Method]:
    """Makes the network and the method that a record names.

    Raises:
      ValueError: it names no network or method that can be made.
    """
    try:
        method = methods.get(space=about.space, **about.method)
        method = method.deepened(about.hidden, standardised=about.standardised)
        return models.build(**about.model), method
    except TypeError as error:  # a record's options may have any names
        raise ValueError(f"{source}: its record's model or method: {error}") from error


def _checked(images: ArrayLike) -> np.ndarray:
    """Returns pictures as an array.

    Raises:
      ValueError: they are not uint8 [B, H, W, 3], or there are none.
    """
    expected = "images: expected uint8 [B, H, W, 3]"
    try:
        array = np.asarray(images)
    except ValueError:  # NumPy's of a ragged list
        shapes = sorted({str(list(np.shape(image))) for image in _rows(images)})
        raise ValueError(
            f"{expected}, got pictures of several shapes: {', '.join(shapes[:5])}; resize them, or "
            "call for each shape by itself"
        ) from None
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3:
        raise ValueError(f"{expected}, got {array.dtype} {list(array.shape)}")
    if 0 in array.shape:
        raise ValueError(
            f"{expected} with at least one picture of at least 1 x 1 pixels, got "
            f"{list(array.shape)}"
        )
    return array


def _rows(images: ArrayLike) -> list[np.ndarray]:
    """Returns the pictures of a ragged list, one that is ragged itself as an empty array."""
    rows = []
    for image in typing.cast(Sequence[ArrayLike], images):
        try:
            rows.append(np.asarray(image))
        except ValueError:
            rows.append(np.zeros(0))
    return rows


def _batched(function: Callable[[np.ndarray], Tree], rows: np.ndarray) -> Tree:
    """Applies a jitted function of a batch to any number of rows, as NumPy arrays.

    The rows go in batches of `SIZES`, the last of which is padded with zeros, so that no more than
    that many programs are compiled.
    """
    results = []
    for start in range(0, len(rows), SIZES[-1]):
        batch = rows[start : start + SIZES[-1]]
        size = next(size for size in SIZES if size >= len(batch))
        padded = np.zeros((size, *batch.shape[1:]), batch.dtype)
        padded[: len(batch)] = batch
        count = len(batch)
        results.append(jax.tree.map(lambda x, n=count: np.asarray(x)[:n], function(padded)))
    if len(results) == 1:
        return results[0]
    return typing.cast(Tree, jax.tree.map(lambda *parts: np.concatenate(parts), *results))
