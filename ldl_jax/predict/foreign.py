"""Reads whole age models from other projects' files, as `checkpoint.read` reads a run's."""

from __future__ import annotations

from pathlib import Path

import jax

from ldl_jax import methods, models
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import AGE
from ldl_jax.models import pretrained, weight_files
from ldl_jax.train.checkpoint import Arrays
from ldl_jax.train.record import Options, Record

# The kinds of files with a head for ages: the network, the method, and how faces were cut out.
WHOLE: tuple[tuple[Options, Options, Alignment], ...] = tuple(
    (
        {"name": "ssrnet", "form": form},
        {"name": "ssr", "stages": [3, 3, 3], "least": 0.0},
        Alignment("box", 0.4),
    )
    for form in ("keras", "pytorch")
)


def read(path: Path) -> tuple[Record, Arrays]:
    """Reads a file with a whole age model: the record and the weights that a run's would have.

    Raises:
      ValueError: it cannot be read, is of no known kind, or holds a network without a head for
        ages; the message names that network.
    """
    weight_files.read(path)  # raises where it is no weight file at all
    reasons = []
    for network, method, alignment in WHOLE:
        model = models.build(**network)
        try:
            loaded = pretrained.load(path, model, _layers(model, method), strict=True)
        except ValueError as error:
            reasons.append(str(error))
            continue
        about = Record(
            model=network,
            method=method,
            space=AGE,
            preprocessing=_preprocessing(model, loaded.inputs),
            alignment=alignment,
            flip=False,
        )
        return about, {
            "params": {"backbone": loaded.params, "head": loaded.head},
            "model_state": loaded.model_state,
        }
    for name in pretrained.LAYOUTS:
        if _holds(path, name):
            raise ValueError(
                f"path: {path} holds the backbone of a {name} only, without a head for ages; train "
                f"one on it with --config.model.name={name} --config.init.path={path}"
            )
    raise ValueError(
        f"path: {path} is neither a whole age model (an SSR-Net) nor the backbone of one of "
        f"{', '.join(pretrained.LAYOUTS)}; as an SSR-Net: {min(reasons, key=len)[:300]}"
    )


def _layers(model: models.Model, method: Options) -> Arrays:
    """Returns the shapes of the head's parameters."""
    head = methods.get(space=AGE, **method).head
    shapes: Arrays = jax.eval_shape(lambda key: head.init(key, model.width), jax.random.key(0))
    return shapes


def _preprocessing(model: models.Model, inputs: pretrained.TrainedInputs | None) -> Preprocessing:
    assert inputs is not None, "a whole model's layout says what pictures it takes"
    return Preprocessing(
        model.size, model.size, inputs.mean, inputs.std, channels=inputs.colours.lower()
    )


def _holds(path: Path, name: str) -> bool:
    try:
        pretrained.load(path, models.build(name))
    except ValueError:
        return False
    return True
