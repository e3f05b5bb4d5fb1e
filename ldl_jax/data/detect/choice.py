"""A detector by its name: MTCNN, a file of its weights, or anybody's factory."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ldl_jax import factories
from ldl_jax.data.align import Detect, Face

MTCNN = "mtcnn"
_TRIAL = (320, 240)  # pixels of a picture that a detector of one's own is tried with
_KNOWN = "expected mtcnn, a .safetensors file of its weights, or package.module:factory"


def check(name: str = MTCNN) -> None:
    """Raises ValueError where a detector cannot be had; loads no network."""
    from ldl_jax.data.detect import weights

    if name == MTCNN:
        weights.folder()
    elif name.endswith(".safetensors"):
        weights.load(name)
    elif not factories.is_own(name):
        raise ValueError(f"detector: unknown {name!r}; {_KNOWN}")


def load(name: str = MTCNN, **settings: Any) -> Detect:
    """Loads a detector: RGB picture -> its faces.

    Args:
      name: "mtcnn"; a `.safetensors` file of its weights; or "package.module:factory". Such a
        factory takes the settings that were given, and returns a function from an RGB
        `PIL.Image` to a list of `ldl_jax.data.align.Face`, the most important first; it is tried
        once, on a grey picture.
      **settings: of `mtcnn.Settings`; those left out take their defaults.

    Raises:
      ValueError: the name is unknown, what it names cannot be loaded, or a setting is not its.
    """
    is_file = name.endswith(".safetensors")
    if factories.is_own(name) and not is_file:
        return _own(name, settings)
    if name != MTCNN and not is_file:
        raise ValueError(f"detector: unknown {name!r}; {_KNOWN}")
    from ldl_jax.data.detect import mtcnn

    known = {field.name for field in dataclasses.fields(mtcnn.Settings)}
    if unknown := settings.keys() - known:
        names, all_names = ", ".join(sorted(unknown)), ", ".join(sorted(known))
        raise ValueError(f"detector: MTCNN has no setting {names}; it has: {all_names}")
    return mtcnn.detector(mtcnn.Settings(**settings), name if is_file else None)


def _own(name: str, settings: dict[str, Any]) -> Detect:
    """Makes a detector of a factory, and tries it on a picture that shows nothing."""
    factory = factories.imported("detector", name, "factory(**settings)")
    detect = factories.call("detector", name, factory, {}, settings, "--detector-option=")
    if not callable(detect):
        kind = type(detect).__name__
        raise ValueError(f"detector: {name!r} returned {kind}, expected a function")
    checked = _held_to_contract(name, detect)
    grey = Image.new("RGB", _TRIAL, (128, 128, 128))
    try:
        checked(grey)
    except Exception as error:
        raise ValueError(
            f"detector: {name!r} fails on a grey picture of {_TRIAL[0]} x {_TRIAL[1]} pixels: "
            f"{factories.said(error, detect)}; where it finds no face it returns an empty list"
        ) from error
    return checked


def _held_to_contract(name: str, detect: Detect) -> Detect:
    def checked(image: Image.Image) -> list[Face]:
        faces = detect(image)
        if not isinstance(faces, Sequence) or not all(isinstance(face, Face) for face in faces):
            raise ValueError(f"{name} returned {faces!r:.80}, expected a list of Face")
        for face in faces:
            shape = np.shape(face.points)
            if shape != (5, 2) or len(face.box) != 4:
                raise ValueError(
                    f"{name} gave a face of {len(face.box)} edges and points of shape {shape}, "
                    "expected 4 and (5, 2)"
                )
            if not np.isfinite([*face.box, *np.ravel(face.points)]).all():
                raise ValueError(f"{name} gave a face whose box or points are not finite")
        return list(faces)

    return checked
