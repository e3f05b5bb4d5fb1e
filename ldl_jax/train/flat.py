"""The small arrays of a training state laid end to end, so that one kernel updates all of them.

An optimizer that goes through a network array by array is as many kernels a step as there are
arrays, and a small network's step on a GPU is bound by their number. So several steps in one call
keep the small arrays of parameters, moments, running statistics and moving average as a few vectors
from step to step. Outside of the call a state is what it always was, and so is a checkpoint.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ldl_jax.train.state import PyTree, TrainState, Weights

# Elements; a larger array's update waits for memory rather than for its launch, and a copy of it
# would only take memory.
_SMALL = 2**14


class Layout(NamedTuple):
    """The layout of a state between the steps of a call: which arrays lie end to end.

    A vector has the float32 arrays of up to 16,384 elements of the backbone, or of the head, or of
    the running statistics. All others stay by themselves.

    Attributes:
      like: the shapes and dtypes of the state's arrays.
      by_name: whether each top-level name of the backbone has a vector of its own, for an optimizer
        that treats them in different ways.
    """

    like: TrainState
    by_name: bool = False

    def pack(self, state: TrainState) -> TrainState:
        """Returns a state with its small arrays in vectors."""

        def pack_moments(node: Any) -> Any:
            return self._packed(node) if isinstance(node, dict) else node

        return state._replace(
            weights=self.pack_weights(state.weights),
            # The dicts of an optimizer's state are trees like the parameters, or like their head.
            opt_state=jax.tree.map(pack_moments, state.opt_state, is_leaf=_is_dict),
            ema=None if state.ema is None else self.pack_weights(state.ema),
        )

    def unpack(self, state: TrainState) -> TrainState:
        """Returns the state that `pack` took."""

        def unpack_moments(like: Any, node: Any) -> Any:
            return self._unpacked(node, like) if isinstance(like, dict) else node

        opt_state = jax.tree.map(
            unpack_moments, self.like.opt_state, state.opt_state, is_leaf=_is_dict
        )
        return state._replace(
            weights=self.unpack_weights(state.weights),
            opt_state=opt_state,
            ema=None if state.ema is None else self.unpack_weights(state.ema),
        )

    def pack_weights(self, weights: Weights) -> Weights:
        """Returns weights, or their gradient and new statistics, with small arrays in vectors."""
        return Weights(self._packed(weights.params), _end_to_end(weights.model_state))

    def unpack_weights(self, weights: Weights) -> Weights:
        """Returns the weights that `pack_weights` took."""
        template = self.like.weights
        model_state = _apart(weights.model_state, template.model_state)
        return Weights(self._unpacked(weights.params, template.params), model_state)

    def _packed(self, params: dict[str, PyTree]) -> dict[str, PyTree]:
        return {name: _mapped(self._by_name(name), _end_to_end, p) for name, p in params.items()}

    def _unpacked(self, packed: dict[str, PyTree], like: dict[str, PyTree]) -> dict[str, PyTree]:
        return {
            name: _mapped(self._by_name(name), _apart, packed[name], part)
            for name, part in like.items()
        }

    def _by_name(self, name: str) -> bool:
        return self.by_name and name == "backbone"


def _is_dict(node: Any) -> bool:
    return isinstance(node, dict)


def _mapped(by_name: bool, function: Callable[..., PyTree], *trees: PyTree) -> PyTree:
    """Calls a function of trees, or with `by_name` of what they have under each name."""
    if not by_name:
        return function(*trees)
    return {name: function(*(tree[name] for tree in trees)) for name in trees[0]}


def _end_to_end(tree: PyTree) -> list[jax.Array]:
    """Returns a vector of the small arrays of a tree, where there are any, and then the others."""
    leaves = jax.tree.leaves(tree)
    small = [leaf.reshape(-1) for leaf in leaves if _is_small(leaf)]
    others = [leaf for leaf in leaves if not _is_small(leaf)]
    return [jnp.concatenate(small), *others] if small else others


def _apart(packed: list[jax.Array], like: PyTree) -> PyTree:
    """Returns the tree of the shapes of `like` that `_end_to_end` took."""
    leaves, structure = jax.tree.flatten(like)
    small = [leaf.size for leaf in leaves if _is_small(leaf)]
    ends = list(itertools.accumulate(small, initial=0))
    starts, others = iter(ends), iter(packed[1:] if small else packed)
    arrays = []
    for leaf in leaves:
        if _is_small(leaf):
            start = next(starts)
            part = jax.lax.slice(packed[0], (start,), (start + leaf.size,))
            arrays.append(part.reshape(leaf.shape))
        else:
            arrays.append(next(others))
    return jax.tree.unflatten(structure, arrays)


def _is_small(array: jax.Array | jax.ShapeDtypeStruct) -> bool:
    return array.size <= _SMALL and array.dtype == jnp.float32
