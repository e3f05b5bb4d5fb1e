"""Keeps a calibration in a checkpoint that is written already, and tells whose it is."""

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax import files
from ldl_jax.train.backbone import fingerprint
from ldl_jax.train.intact import check_seal, digest, seal_of
from ldl_jax.train.record import Record
from ldl_jax.train.weights import PyTree

_ABOUT = Path("about", "metadata")  # where Orbax keeps the record in a checkpoint
_RAW = "--raw, or raw=True, answers without it"


def network_mark(head: PyTree) -> str:
    """Returns what tells a network: a SHA-256 of its head's arrays, rounded to bfloat16.

    It is the same for a model that was kept in bfloat16.
    """

    def rounded(leaf: jax.Array | np.ndarray) -> np.ndarray:
        array = jnp.asarray(leaf)
        if jnp.issubdtype(array.dtype, jnp.floating):
            array = array.astype(jnp.bfloat16).astype(jnp.float32)
        return np.asarray(array)

    return fingerprint(jax.tree.map(rounded, head))


def check(about: Record, head: PyTree, path: Path) -> None:
    """Checks that a record's calibration was fitted for the network that it is kept with.

    Raises:
      ValueError: it was fitted for another one.
    """
    known = about.calibration
    if known is not None and known.network and known.network != network_mark(head):
        raise ValueError(
            f"{path}: its calibration is of another network; calibrate this one, as "
            f"python -m launch.calibrate does ({_RAW})"
        )


def keep(step_folder: Path, about: Record) -> None:
    """Puts another record into a checkpoint; a kill leaves it whole, with the old or the new one.

    While the record is replaced, seals of both stand beside the checkpoint under names of their
    own, and either is taken for its seal (`intact.check_seal`).

    Args:
      step_folder: the checkpoint.
      about: its record, with what is new.

    Raises:
      DamageError: the checkpoint is not as it was written.
      ValueError: its record lies elsewhere than this release writes it.
      OSError: a file cannot be written.
    """
    sealed, record = check_seal(step_folder), step_folder / _ABOUT
    if not record.is_file():
        raise ValueError(f"{step_folder}: its record is not in {_ABOUT}; export it to one file")
    content = json.dumps(about.to_json()).encode()
    # It is written beside the checkpoint, whose seal counts every file that is in it.
    written = step_folder.with_name(f"{step_folder.name}.about")
    files.write(written, content)
    if not sealed:
        os.replace(written, record)
        return
    seal = seal_of(step_folder)
    before, after = (seal.with_name(f"{step_folder.name}.{x}.sha256") for x in ("before", "after"))
    files.write(after, digest(step_folder, {_ABOUT: content}))
    if seal.exists():
        os.replace(seal, before)
    os.replace(written, record)
    os.replace(after, seal)
    before.unlink(missing_ok=True)
