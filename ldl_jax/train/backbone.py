"""The frozen network of a run on features: kept once beside its checkpoints, which name it."""

import dataclasses
import hashlib
import os
from pathlib import Path

import jax
import numpy as np

from ldl_jax.models import array_files
from ldl_jax.train.record import Record
from ldl_jax.train.weights import PyTree

NAME = "backbone.safetensors"  # in a run's folder
_UP = 4  # folders above a checkpoint that the file may lie in


def fingerprint(tree: object) -> str:
    """Returns the SHA-256 (hex) of a tree's names and arrays."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(tree):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def dumped(params: PyTree, model_state: PyTree) -> bytes:
    """Returns the content of the file for these parameters and running statistics."""
    return array_files.dumps_tree({"params": params, "model_state": model_state})


def joined(
    path: Path, about: Record, weights: dict[str, PyTree]
) -> tuple[Record, dict[str, PyTree]]:
    """Returns a checkpoint with the network that its record names, as one of the whole network.

    Statistics of the features, where there are any, become the head's "input".

    Args:
      path: the run's folder, or the checkpoint.
      about: the checkpoint's record.
      weights: its "params" and "model_state".

    Raises:
      ValueError: the network's file is not there, or does not hold that network.
    """
    if not about.backbone:
        return about, weights
    whole = Path(os.path.abspath(path))
    folders = (whole, *list(whole.parents)[:_UP])
    file = next((folder / NAME for folder in folders if (folder / NAME).is_file()), None)
    if file is None:
        raise ValueError(
            f"{path} holds a head on features, and its network is kept in its run's folder as "
            f"{NAME}, which is not there; put that file beside the checkpoint"
        )
    try:
        trees = array_files.loads_tree(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file} is {error}; {path} has its network there") from error
    params, model_state = (trees.get(name, {}) for name in ("params", "model_state"))
    if fingerprint((params, model_state, None)) != about.backbone:
        raise ValueError(f"{file} is damaged, or holds another network than {path} was trained on")
    head = dict(weights["params"]["head"])
    if about.standardised:
        head["input"] = weights["model_state"]
    arrays = {"params": {"backbone": params, "head": head}, "model_state": model_state}
    return dataclasses.replace(about, backbone=""), arrays
