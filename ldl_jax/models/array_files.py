"""Writes arrays as the bytes of a safetensors file, and reads them back; no code in it is run."""

import json

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ldl_jax.models.functional import Params


def dumps(arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """Returns arrays by name, and texts beside them, as the content of a file.

    The same arrays and texts give the same bytes.
    """
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata)
    if not metadata:
        return content
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])  # its texts come in another order each time
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of 8 bytes
    return b"".join([len(text).to_bytes(8, "little"), text, memoryview(content)[start:]])


def loads(content: bytes) -> dict[str, np.ndarray]:
    """Returns the arrays in what `dumps` gave.

    Raises:
      ValueError: the content is cut short, or no such file's.
    """
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"damaged ({' '.join(str(error).split())[:200]})") from error


def dumps_tree(tree: Params) -> bytes:
    """Returns nested dicts of arrays as the content of a file; empty dicts are left out."""
    routes = flatten_dict(tree)
    return dumps({json.dumps(route): np.asarray(array) for route, array in routes.items()})


def loads_tree(content: bytes) -> Params:
    """Returns the nested dicts in what `dumps_tree` gave.

    Raises:
      ValueError: the content is cut short, or no such file's.
    """
    arrays = loads(content)
    try:
        return unflatten_dict({tuple(json.loads(name)): x for name, x in arrays.items()})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"damaged ({' '.join(str(error).split())[:200]})") from error
