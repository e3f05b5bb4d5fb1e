"""Any tree of arrays as nested dicts by name, which is what a network's arrays are here, and back.

A class of one's own, a list or a framework's state is a tree to JAX, but not to a file of weights.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Tree = Any  # of arrays, of any kinds of nodes that JAX knows
Named = dict[str | int, Tree]  # nested


class Names(NamedTuple):
    """The names of a tree's arrays, and what is needed to make the tree again.

    Numbers that are no floats become float32 in the dict, as averages and files of weights want
    them, and are rounded back: they must be below 2^24.
    """

    structure: Tree
    routes: tuple[tuple[str | int, ...], ...]
    dtypes: tuple[np.dtype, ...]

    def named(self, tree: Tree) -> Named:
        """Returns the arrays of a tree of this structure as nested dicts."""
        result: Named = {}
        for route, leaf in zip(self.routes, jax.tree.leaves(tree), strict=True):
            inner = result
            for key in route[:-1]:
                inner = inner.setdefault(key, {})
            inner[route[-1]] = jnp.asarray(leaf).astype(jnp.float32)
        return result

    def tree(self, named: Named) -> Tree:
        """Returns the tree of what `named` gave."""
        leaves = []
        for route, dtype in zip(self.routes, self.dtypes, strict=True):
            leaf: Tree = named
            for key in route:
                leaf = leaf[key]
            if not jnp.issubdtype(dtype, jnp.floating):
                leaf = jnp.round(leaf)
            leaves.append(leaf.astype(dtype))
        return jax.tree.unflatten(self.structure, leaves)


def names_of(tree: Tree) -> Names:
    """Returns the names of the arrays of a tree, or of their shapes.

    Raises:
      ValueError: an array is of something else than numbers.
    """
    leaves, structure = jax.tree.flatten_with_path(tree)
    for path, leaf in leaves:
        if not hasattr(leaf, "dtype") or not (
            jnp.issubdtype(leaf.dtype, jnp.number) or leaf.dtype == bool
        ):
            kind = getattr(leaf, "dtype", type(leaf).__name__)
            name = jax.tree_util.keystr(path)
            raise ValueError(f"its array {name}: expected numbers, got {kind}")
    routes = tuple(tuple(map(_key, path)) or ("array",) for path, _ in leaves)
    return Names(structure, routes, tuple(np.dtype(leaf.dtype) for _, leaf in leaves))


def _key(entry: object) -> str | int:
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            key = getattr(entry, attribute)
            return key if isinstance(key, int) else str(key)
    return str(entry)
