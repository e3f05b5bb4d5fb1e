"""The arrays of a model, and checks of them: what answering needs, without Optax and Orbax."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Arrays in nested dicts, lists and tuples, as JAX's functions on trees take them.
PyTree = Any
Arrays = dict[str, Any]  # "params" and "model_state", the fields of `Weights`


class Weights(NamedTuple):
    """All that a network needs to answer: a teacher is that, and a checkpoint is read for it.

    Attributes:
      params: {"backbone": the network's, "head": the method's head's}, float32.
      model_state: the network's running statistics, float32.
    """

    params: dict[str, PyTree]
    model_state: PyTree


def differences(stored: PyTree, wanted: PyTree) -> tuple[str, ...]:
    """Returns what is missing from a tree of arrays, left over in it, or of another shape or kind.

    Of floating point numbers the kind is the same, whatever their precision.
    """
    have, want = by_route(stored), by_route(wanted)
    faults = [f"missing {name}" for name in want if name not in have]
    faults += [f"left over {name}" for name in have if name not in want]
    faults += [
        f"{name} is {list(have[name].shape)}, expected {list(array.shape)}"
        for name, array in want.items()
        if name in have and have[name].shape != array.shape
    ]
    faults += [
        f"{name} is of {have[name].dtype}, expected {array.dtype}"
        for name, array in want.items()
        if name in have
        and jnp.issubdtype(array.dtype, jnp.floating)
        and not jnp.issubdtype(have[name].dtype, jnp.floating)
    ]
    return tuple(sorted(faults))


def check_finite(tree: PyTree, path: Path, remedy: str = "") -> None:
    """Checks that all numbers of weights are finite; `remedy` ends the message.

    Raises:
      ValueError: some are NaN or infinite; the message names the first arrays.
    """
    broken = [
        name
        for name, array in by_route(tree).items()
        if jnp.issubdtype(array.dtype, jnp.floating) and not np.isfinite(np.asarray(array)).all()
    ]
    if broken:
        rest = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise ValueError(
            f"{path}: weights are NaN or infinite in {', '.join(broken[:3])}{rest}; such a network "
            f"gives no answers{remedy}"
        )


def by_route(tree: PyTree) -> dict[str, jax.Array | np.ndarray]:
    """Returns the arrays of a tree by the texts of their routes, as "['head']['kernel']"."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}
