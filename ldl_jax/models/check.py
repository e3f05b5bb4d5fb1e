"""Checks a user's own network against the contract of `Model` before anything is trained."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax.heads import total
from ldl_jax.models.functional import Features, Model, ModelState, Params

PyTree = Params  # of arrays, as a user's functions return it: of any form
_B = 3
# Of features of other batches: sums in another order, also in bfloat16, are far nearer.
_NEAR = 0.05
_Call = Callable[..., tuple[Features, ModelState]]


def check(model: Model, size: int) -> None:
    """Puts small batches through all of a network's functions, and checks the results.

    Args:
      model: the network.
      size: the side of the pictures, `data.size`.

    Raises:
      ValueError: naming the function, what it returned and what was expected: features of another
        shape than [B, width], or not finite; another answer to the same question; a state that
        evaluation changes; ...
    """
    _check_width(model)
    arrays = _shapes(model, size)
    results = _run(model, "its functions", jax.jit(lambda: _answers(model, size)))
    for name in ("init", "evaluation", "training"):
        _check_same(model, name, *results[name])
    evaluated, trained = results["evaluation"][0], results["training"][0]
    for name, (features, state) in (("evaluation", evaluated), ("training", trained)):
        _check_finite(model, f"its features in {name}", features)
        _check_finite(model, f"its model_state after {name}", state)
    _check_near(model, evaluated[0], results["fewer"])
    _check_still(model, results["init"][0][1], evaluated[1])
    _check_maps(model, arrays, size)


def _check_width(model: Model) -> None:
    width = model.width
    widths = width.values() if isinstance(width, Mapping) else (width,)
    if not widths or not all(type(x) is int and x > 0 for x in widths):
        raise _error(model, "its width", "the number of features, or one a part by name", width)


def _shapes(model: Model, size: int) -> tuple[Params, ModelState]:
    """Traces a network's functions alone, and returns the shapes of its arrays."""
    weights = _run(model, "init(key)", jax.eval_shape, model.init, jax.random.key(0))
    if not isinstance(weights, tuple | list) or len(weights) != 2:
        raise _error(model, "init(key)", "(params, model_state)", _described(weights))
    for name, tree in zip(("params", "model_state"), weights, strict=True):
        _check_tree(model, name, tree)
    if not jax.tree.leaves(weights[0]):
        raise _error(model, "init(key)", "params with arrays to train", "none")
    for train in (False, True):
        for count in (_B, 1):
            what = f"apply(..., train={train}{', key=key' if train else ''}) of {count} pictures "
            what += f"of {size}x{size}"
            images = jax.ShapeDtypeStruct((count, size, size, 3), jnp.float32)
            call = _pure(model, train)
            answer = _run(model, what, jax.eval_shape, call, *weights, images, jax.random.key(1))
            _check_answer(model, what, answer, weights[1], count)
    return weights[0], weights[1]


def _pure(model: Model, train: bool) -> _Call:
    """Returns a call of the network that sees whether it changes the trees that it is given."""

    def call(params: Params, state: ModelState, images: jax.Array, key: jax.Array) -> PyTree:
        leaves, structure = jax.tree.flatten((params, state))
        answer = model.apply(params, state, images, train=train, **({"key": key} if train else {}))
        after, structure_after = jax.tree.flatten((params, state))
        unchanged = str(structure) == str(structure_after) and all(
            a is b for a, b in zip(leaves, after, strict=True)
        )
        if not unchanged:
            raise _error(
                model, "apply", "params and model_state to stay as they are given", "others"
            )
        return answer

    return call


def _check_answer(model: Model, what: str, answer: object, state: ModelState, count: int) -> None:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise _error(model, what, "(features, model_state)", _described(answer))
    width, features = model.width, answer[0]
    parts = features if isinstance(features, Mapping) else {"": features}
    widths = width if isinstance(width, Mapping) else {"": width}
    if parts.keys() != widths.keys():
        raise _error(model, what, f"features {_described_width(width)}", _described(features))
    for name, part in parts.items():
        label = f"{what}: its features{f' {name!r}' if name else ''}"
        shape = getattr(part, "shape", None)
        if shape != (count, widths[name]):
            hint = "; pool it, as by x.mean(axis=(1, 2))" if len(shape or ()) == 4 else ""
            raise _error(model, label, f"[{count}, {widths[name]}]{hint}", _described(part))
        if part.dtype != jnp.float32:
            raise _error(model, label, "float32", part.dtype)
    before, after = _leaves(state), _leaves(answer[1])
    if before != after:
        changed = sorted({*before.items()} ^ {*after.items()})
        names = ", ".join(dict.fromkeys(f"{name} {kind}" for name, kind in changed[:4]))
        raise _error(model, what, "a model_state of the arrays that init gave", f"others: {names}")


def _check_tree(model: Model, name: str, tree: object) -> None:
    """Checks that a tree is one of nested dicts of float32 arrays with plain names."""
    if not isinstance(tree, dict):
        raise _error(model, f"init's {name}", "nested dicts of arrays", _described(tree))
    for key, node in tree.items():
        if not isinstance(key, str | int) or (
            isinstance(key, str) and (not key or "." in key or "/" in key or key.isdecimal())
        ):
            raise _error(model, f"init's {name}", "names without dots, slashes, digits alone", key)
        if isinstance(node, dict):
            _check_tree(model, f"{name}[{key!r}]", node)
        elif getattr(node, "dtype", None) != jnp.float32:
            actual = getattr(node, "dtype", _described(node))
            raise _error(model, f"init's {name}[{key!r}]", "a float32 array", actual)


def _answers(model: Model, size: int) -> dict[str, PyTree]:
    """Returns what a network's functions give, each asked twice; can be traced."""
    key = jax.random.key(0)
    images = jax.random.uniform(jax.random.key(1), (_B, size, size, 3), jnp.float32, -1.0, 1.0)
    first, again = model.init(key), model.init(key)
    params, state = first
    drawn = jax.random.key(2)
    evaluated, trained = [], []
    for _ in range(2):  # in turn, so that what one leaves outside changes the other
        evaluated.append(model.apply(params, state, images, train=False))
        trained.append(model.apply(params, state, images, train=True, key=drawn))
    fewer = model.apply(params, state, images[: _B - 1], train=False)[0]
    return {
        "init": (first, again),
        "evaluation": evaluated,
        "training": trained,
        "fewer": fewer,
    }


def _check_same(model: Model, name: str, first: object, second: object) -> None:
    """Checks that the same question was given the same answer twice."""
    a, b = jax.tree.leaves(first), jax.tree.leaves(second)
    if len(a) != len(b) or any(
        not np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True)
    ):
        raise _error(
            model,
            name if name == "init" else f"apply in {name}",
            "the same result for the same arguments: random numbers from `key` alone, and what is "
            "remembered in model_state",
            "another result the second time",
        )


def _check_finite(model: Model, what: str, tree: object) -> None:
    for route, leaf in jax.tree.leaves_with_path(tree):
        broken = ~np.isfinite(np.asarray(leaf))
        if broken.any():
            value = np.asarray(leaf)[broken][0]
            raise _error(
                model, what + jax.tree_util.keystr(route), "finite numbers", f"{value} among them"
            )


def _check_near(model: Model, features: object, fewer: object) -> None:
    """Checks that a picture's features in evaluation do not depend on the others of its batch."""
    for whole, part in zip(jax.tree.leaves(features), jax.tree.leaves(fewer), strict=True):
        scale = float(np.abs(np.asarray(whole)).max())
        difference = float(np.abs(np.asarray(whole)[: _B - 1] - np.asarray(part)).max())
        if difference > _NEAR * scale:
            raise _error(
                model,
                "apply in evaluation",
                "a picture's features to be its own alone: batch normalisation by running "
                "statistics",
                f"other features ({difference:.2g} of {scale:.2g}) in a batch without the last one",
            )


def _check_still(model: Model, before: ModelState, after: ModelState) -> None:
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    if not all(np.array_equal(a, b) for a, b in pairs):
        raise _error(
            model, "apply in evaluation", "model_state as it was", "a model_state that changes"
        )


def _check_maps(model: Model, arrays: tuple[Params, ModelState], size: int) -> None:
    if model.maps is None:
        return
    images = jax.ShapeDtypeStruct((_B, size, size, 3), jnp.float32)
    maps = _run(model, "maps", jax.eval_shape, model.maps, *arrays, images)
    shape: tuple[int, ...] = getattr(maps, "shape", ())
    if len(shape) != 4 or (shape[0], shape[3]) != (_B, total(model.width)):
        raise _error(model, "maps", f"[{_B}, h, w, {total(model.width)}]", _described(maps))


def _run(model: Model, what: str, function: Callable[..., PyTree], *arguments: object) -> PyTree:
    """Calls a function of the user's, and says in one line what it raises."""
    try:
        return function(*arguments)
    except _ContractError:
        raise
    except jax.errors.UnexpectedTracerError:
        raise _error(
            model,
            what,
            "a pure function, which gives what it remembers back as model_state",
            "an array of an earlier call, which the network has kept outside",
        ) from None
    except Exception as error:  # a user's network is a program, and may raise anything
        text = " ".join(str(error).split())
        text = text if len(text) < 400 else f"{text[:400]} ..."
        raise _error(model, what, "a result", f"{type(error).__name__}: {text}") from error


def _leaves(tree: object) -> dict[str, str]:
    """Returns the shape and the type of each array of a tree by its route."""
    return {
        jax.tree_util.keystr(route): f"{leaf.dtype}{list(leaf.shape)}"
        for route, leaf in jax.tree.leaves_with_path(tree)
    }


def _described_width(width: object) -> str:
    return f"in the parts {', '.join(width)}" if isinstance(width, Mapping) else "as one array"


def _described(x: object) -> str:
    if isinstance(x, Mapping):
        return f"the parts {', '.join(map(str, x))}"
    if isinstance(x, tuple | list):
        return f"a {type(x).__name__} of {len(x)}"
    return str(list(x.shape)) if hasattr(x, "shape") else f"a {type(x).__name__}"


class _ContractError(ValueError):
    """Says which part of the contract a network breaks."""


def _error(model: Model, what: str, expected: str, actual: object) -> _ContractError:
    return _ContractError(f"model.name: {model.name!r}: {what}: expected {expected}, got {actual}")
