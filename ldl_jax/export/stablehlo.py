"""Writes a predictor's whole answer as StableHLO, which runs without this package.

JAX reads it on CPUs and CUDA cards, and so do other programs that know `jax.export`'s files:

    exported = jax.export.deserialize(bytearray(Path("model.stablehlo").read_bytes()))
    answers = exported.call(images)  # uint8 RGB [B, S, S, 3]
    answers["value"], answers["probs"], answers["low"], answers["high"]
"""

from pathlib import Path

import jax
import numpy as np

from ldl_jax import files
from ldl_jax.models import convolution
from ldl_jax.predict.answering import Answering, Traceable, check

PLATFORMS = ("cpu", "cuda")


def write(predictor: Traceable, path: str | Path) -> None:
    """Writes the model with its weights inside, whole or not at all, for any number of pictures.

    It is a function of pictures as `predictor.answer` takes them, uint8 RGB [B, S, S, 3], and
    returns a dict of float32 arrays with the names and meanings of the ONNX model's outputs
    (`ldl_jax.predict.graph`). JAX keeps such files readable for newer releases for six months.

    Args:
      predictor: as `ldl_jax.load` gives it.
      path: the file; one that is there is replaced.

    Raises:
      ValueError: weights are NaN or infinite.
      OSError: the file cannot be written.
    """
    check(predictor)
    answer = Answering(predictor)
    size = predictor.about.preprocessing.stored_size
    (batch,) = jax.export.symbolic_shape("B")

    def named(images: jax.Array) -> dict[str, jax.Array]:
        return dict(zip(answer.outputs, answer(images), strict=True))

    # The forms of convolutions that are fast on CPUs are not what a card wants.
    with convolution.plain(pooling=True):
        pictures = jax.ShapeDtypeStruct((batch, size, size, 3), np.uint8)
        exported = jax.export.export(jax.jit(named), platforms=PLATFORMS)(pictures)
    files.write(path, bytes(exported.serialize()))
