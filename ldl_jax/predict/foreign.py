"""Whole age models in others' files, read as a checkpoint of a run here is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax

from ldl_jax import methods, models
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import AGE
from ldl_jax.models import pretrained, weight_files

# What each kind of file that has a head for ages is: the network, the method, how faces were cut.
WHOLE: tuple[tuple[dict[str, Any], dict[str, Any], Alignment], ...] = tuple(
    (
        {"name": "ssrnet", "form": form},
        {"name": "ssr", "stages": [3, 3, 3], "least": 0.0},
        Alignment("box", 0.4),
    )
    for form in ("keras", "pytorch")
)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(about, weights) of a file with a whole age model, as `checkpoint.read` gives them.

    Raises:
      ValueError: it cannot be read, is of no known kind, or holds a network without a head for
        ages; the message names that network.
    """
    weight_files.read(path)  # what is no weight file at all is said first
    reasons = []
    for network, method, alignment in WHOLE:
        model = models.build(**network)
        try:
            found = pretrained.load(path, model, _layers(model, method), strict=True)
        except ValueError as error:
            reasons.append(str(error))
            continue
        about = {
            "model": network,
            "method": method,
            "space": dataclasses.asdict(AGE),
            "preprocessing": dataclasses.asdict(_preprocessing(model, found.inputs)),
            "alignment": dataclasses.asdict(alignment),
            "flip": False,
        }
        return about, {
            "params": {"backbone": found.params, "head": found.head},
            "model_state": found.model_state,
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


def _layers(model: models.Model, method: dict[str, Any]) -> Any:
    """The shapes of the head's parameters."""
    head = methods.get(space=AGE, **method).head
    return jax.eval_shape(lambda key: head.init(key, model.width), jax.random.key(0))


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
