"""Writes a predictor as an ONNX file, and says what fewer bits cost."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ldl_jax import files
from ldl_jax.data.synthetic.faces import faces
from ldl_jax.predict.engines import Session
from ldl_jax.predict.graph import graph
from ldl_jax.predict.predictor import Predictor

DRAWN = 64  # faces that int8 is compared on where no pictures are given


def write(
    predictor: Predictor,
    path: str | Path,
    *,
    int8: bool = False,
    images: Sequence[np.ndarray] | None = None,
    labels: np.ndarray | None = None,
    log: Callable[[str], None] = print,
) -> None:
    """Writes the model of `ldl_jax.predict.graph` as a file, whole or not at all.

    Args:
      predictor: as `ldl_jax.load` gives it.
      path: the file; one that is there is replaced.
      int8: whether its weights have 8 bits. What that costs is said: how far the values are from
        the predictor's, and the mean absolute error of both where labels are given.
      images: N of uint8 RGB [H, W, 3], the faces that int8 is compared on; by default `DRAWN`
        drawn ones. How far values move depends on what the network was trained on, so give such
        faces.
      labels: of these faces [N].
      log: takes that line of text.

    Raises:
      ValueError: weights are NaN or infinite, something has no form in ONNX, or a package is
        missing.
      OSError: the file cannot be written.
    """
    content = graph(predictor, int8=int8).SerializeToString()
    line = cost(predictor, content, images, labels) if int8 else ""
    files.write(path, content)
    if line:
        log(line)


def cost(
    predictor: Predictor,
    content: bytes,
    images: Sequence[np.ndarray] | None = None,
    labels: np.ndarray | None = None,
) -> str:
    """Returns a line on how far the values of an ONNX file are from a predictor's.

    Args:
      predictor: what the file was made of.
      content: the file's.
      images: N of uint8 RGB [H, W, 3]; by default `DRAWN` drawn faces.
      labels: of these faces [N].
    """
    size, unit = predictor.preprocessing.stored_size, predictor.space.unit
    kind = "drawn" if images is None else "given"
    pictures = np.asarray(faces(DRAWN, max(size, 32)).images) if images is None else images
    stored = np.stack([predictor.fitted(Image.fromarray(image)) for image in pictures])
    before = np.asarray(predictor.answer(stored).value)
    after = np.asarray(Session(content, "the model")(stored).value)
    moved = np.abs(after - before)
    text = (
        f"int8: on {len(stored)} {kind} faces the values are {moved.mean():.3g} {unit} from those "
        f"of float32 on average, {moved.max():.3g} at most"
    )
    if labels is None:
        return text
    errors = [np.abs(values - labels).mean() for values in (before, after)]
    return f"{text}; the mean absolute error is {errors[1]:.4g} instead of {errors[0]:.4g}"
