"""A trained network as a function of pictures, with the preprocessing that it was trained with."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from ldl_jax import calibration, encodings, methods, models
from ldl_jax.data.augment.augmentation import prepare
from ldl_jax.data.pictures import fit
from ldl_jax.heads import Features
from ldl_jax.methods import Method, Prediction
from ldl_jax.models import cost
from ldl_jax.models.functional import Model
from ldl_jax.predict import engines, foreign, hub, one_file
from ldl_jax.predict.batches import ROWS, batched, checked, pictures_at_once
from ldl_jax.predict.engines import Session
from ldl_jax.predict.one_file import Notes
from ldl_jax.predict.trust import check as trust_check
from ldl_jax.train import calibrated, model_file
from ldl_jax.train.intact import LogLine, warn
from ldl_jax.train.predict_step import PredictStep, make_predict_step
from ldl_jax.train.record import Record
from ldl_jax.train.weights import Arrays, PyTree, Weights, check_finite, differences


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
        model, method = _made(about, "about")
        backbone = weights.params["backbone"]
        model, backbone, model_state = models.folded(model, backbone, weights.model_state)
        predict = make_predict_step(model, method, flip=about.flip, calibration=about.calibration)
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


def load(
    path: str | Path,
    *,
    trust: Sequence[str] = (),
    allow_unsealed: bool = False,
    allow_nonfinite: bool = False,
    engine: str = "xla",
    raw: bool = False,
    log: LogLine = warn,
) -> Predictor:
    """Loads the predictor of a run's workdir (its last finished generation), of one checkpoint, of
    one file that `Predictor.save` wrote, or of a foreign file that holds a whole age model: those
    of SSR-Net's authors, or HSE-FaceRes'.

    A foreign file is always safe to open. A checkpoint may name a method of somebody's own, as
    "package.module:factory"; that code is imported only where `trust` names its module.

    Args:
      path: the folder or the file, or a model on the Hugging Face hub, as "hf://owner/name" or
        "hf://owner/name@revision" (`ldl_jax.predict.hub`).
      trust: the modules that a checkpoint may have imported, as "package.module".
      allow_unsealed: whether a checkpoint is read that was sealed once and has no seal now.
      allow_nonfinite: whether weights may be NaN or infinite.
      engine: what computes the answers, "xla", "onnxruntime" or "auto" (`ldl_jax.predict.engines`).
        Score maps and `pure` are XLA's always, and an ONNX file's answers ONNX Runtime's.
      raw: whether answers stay as the network gives them, without the model's calibration.
      log: takes a line of text on what is wrong, where there still is an answer: a newer checkpoint
        that is damaged, or one without a seal. By default it warns.

    Raises:
      ValueError: nothing that can be read is there, only a network without a head for ages, weights
        that do not fit their network or are not finite, code that is not trusted, or a calibration
        of another network.
    """
    path = hub.local(path)
    if not path.exists():
        raise ValueError(f"path: {path} does not exist")
    engines.check(engine)
    if path.suffix == ".onnx" and path.is_file():
        of_file = engines.opened(path)
        if raw and of_file.about.calibration is not None:
            raise ValueError(
                f"path: {path} has its calibration inside; load the run it was made of"
            )
        return Predictor(of_file.about, None, of_file)
    older: list[str] = []
    folders: list[Path] = []
    notes = Notes()
    if path.is_dir():
        from ldl_jax.train import checkpoint  # late, since it needs Orbax, and no file does

        about, weights = checkpoint.read(
            path, log, older.append, allow_unsealed=allow_unsealed, located=folders.append
        )
    elif path.is_file() and one_file.knows(path):
        about, weights, notes = model_file.read(path)
    elif path.is_file():
        about, weights = foreign.read(path, allow_nonfinite=allow_nonfinite)
    else:
        raise ValueError(f"path: {path} is neither a file nor a folder")
    for line in older:
        log(line)
    trust_check(about, trust, path)
    if raw:
        about = dataclasses.replace(about, calibration=None)
    predictor = Predictor(about, _fitting(about, weights, path, allow_nonfinite))
    predictor.older, predictor.notes = tuple(older), notes
    predictor.session = engines.session(predictor, engine)
    predictor.folder = folders[0] if folders else None
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
    calibrated.check(about, params["head"], path)
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
    except (TypeError, ValueError) as error:  # a record's options may have any names and values
        raise ValueError(f"{source}: its record's model or method: {error}") from error
