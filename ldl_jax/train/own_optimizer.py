"""Makes and checks an optimizer and a schedule that a user brings along."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ldl_jax import factories
from ldl_jax.train.state import PyTree

_NAME, _SCHEDULE = "optimizer.name", "optimizer.schedule"
_CHUNK = 2**16  # steps whose rates are looked at in one call
_SIDE = 3  # the most of each side of the arrays that an optimizer is tried with


def transform(
    name: str, rate: optax.Schedule, numbers: Mapping[str, object], options: Mapping[str, object]
) -> optax.GradientTransformation:
    """Makes an optimizer of the factory "package.module:factory".

    Args:
      name: of `factory(learning_rate, **options) -> optax.GradientTransformation`; every
        optimizer of Optax is one, as "optax:lion".
      rate: the learning rate by step.
      numbers: of the config, by name; those that the factory has a parameter for are handed on.
      options: the factory's other arguments.

    Raises:
      ValueError: the factory cannot be imported, does not take what it is given, raises an error,
        or returns something else.
    """
    factory = factories.imported(_NAME, name, "factory(learning_rate, ...)")
    arguments = {"learning_rate": rate, **numbers}
    optimizer = factories.call(
        *(_NAME, name, factory, arguments, options),
        "optimizer.options.",
        required=("learning_rate",),
    )
    if not (
        callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))
    ):
        raise _error(_NAME, name, type(optimizer).__name__, "an optax.GradientTransformation")

    def init(params: PyTree) -> optax.OptState:
        # A step gives up the arrays of its state, so none may be the parameters' own.
        return jax.tree.map(
            lambda x: jnp.copy(x) if isinstance(x, jax.Array) else x, optimizer.init(params)
        )

    return optax.GradientTransformation(init, optimizer.update)


def schedule(
    name: str, steps: int, numbers: Mapping[str, object], options: Mapping[str, object]
) -> optax.Schedule:
    """Makes a schedule of the factory "package.module:factory".

    Args:
      name: of `factory(steps, **options) -> (step -> learning rate)`.
      steps: how many there are in all.
      numbers: "learning_rate" and "steps_per_epoch"; those that the factory has a parameter for
        are handed on.
      options: the factory's other arguments.

    Raises:
      ValueError: as `transform`.
    """
    factory = factories.imported(_SCHEDULE, name, "factory(steps, ...)")
    arguments = {"steps": steps, **numbers}
    function = factories.call(
        *(_SCHEDULE, name, factory, arguments, options),
        "optimizer.schedule_options.",
        required=("steps",),
    )
    if not callable(function):
        raise _error(_SCHEDULE, name, type(function).__name__, "a function: step -> learning rate")

    def rate(step: jax.typing.ArrayLike) -> jax.Array:
        return jnp.asarray(function(step)).astype(jnp.float32)

    return rate


def takes(name: str, number: str) -> bool:
    """Returns whether an optimizer's or a schedule's factory takes a number of the config."""
    return number in factories.parameters(factories.imported("optimizer", name, "factory(...)"))


def check_schedule(name: str, rate: optax.Schedule, steps: int) -> None:
    """Checks that the rate is one finite number of 0 or more at every step, also when jitted.

    Raises:
      ValueError: it is not; the message names the first step.
    """
    rates = []
    for start in range(0, steps, _CHUNK):
        count = jnp.arange(start, min(steps, start + _CHUNK), dtype=jnp.int32)
        try:
            values = np.asarray(jax.jit(jax.vmap(rate))(count))
        except Exception as error:
            raise ValueError(
                f"{_SCHEDULE}: {name!r} cannot be jitted: {factories.said(error, rate)}; the "
                "step is traced: take jnp.where for `if`, and jax.numpy for numpy"
            ) from error
        if values.ndim != 1:
            shape = values.shape[1:]
            raise _error(_SCHEDULE, name, f"shape {shape} of a step", "a scalar")
        rates.append(values)
    values = np.concatenate(rates)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        raise _error(
            *(_SCHEDULE, name, f"{values[wrong[0]]} at step {wrong[0]} ({wrong.size} such steps)"),
            f"finite rates of 0 or more at all {steps} steps",
        )
    if not values.any():
        raise _error(_SCHEDULE, name, f"0 at all {steps} steps", "a rate above 0")


def check_transform(name: str, made: optax.GradientTransformation, like: PyTree) -> None:
    """Puts two small gradients through an optimizer, and checks what it gives and keeps.

    Args:
      name: the optimizer's, for messages.
      made: the optimizer.
      like: the shapes of the parameters; it is tried with arrays of the same names and axes, each
        cut to three along an axis.

    Raises:
      ValueError: it cannot be jitted or stacked, its state is not of arrays or changes its form,
        its updates have other shapes or are not finite, or it is not a function of its arguments.
    """

    def small(shape: jax.ShapeDtypeStruct) -> jax.Array:
        sides = [min(side, _SIDE) for side in shape.shape]
        return jnp.linspace(0.1, 1, int(np.prod(sides)), dtype=jnp.float32).reshape(sides)

    params = jax.tree.map(small, like)
    gradient = jax.tree.map(lambda x: 0.1 * x - 0.02, params)
    _check_state(name, _tried(name, "init", made.init, params))

    def two_steps(params: PyTree, gradient: PyTree) -> tuple[PyTree, PyTree, PyTree]:
        state = made.init(params)
        _, later = made.update(gradient, state, params)
        updates, last = made.update(gradient, later, params)
        return updates, state, last

    ways = [jax.jit(lambda p, g: two_steps(p, g)) for _ in range(2)]
    first, second = (_tried(name, "update", way, params, gradient) for way in ways)
    updates, state, last = first
    _check_same_form(name, "updates", updates, params, "the parameters")
    _check_same_form(name, "state after an update", last, state, "the state before")
    for path, update in jax.tree.leaves_with_path(updates):
        if not np.isfinite(np.asarray(update)).all():
            key = jax.tree_util.keystr(path)
            raise _error(_NAME, name, f"an update of {key} that is not finite", "finite numbers")
    equal = jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), first, second)
    if not all(jax.tree.leaves(equal)):
        raise _error(
            *(_NAME, name, "other updates from the same gradient"),
            "a pure function: random numbers from a key in the state, and no variable that it "
            "changes",
        )
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), (params, gradient))
    _tried(
        name, "update under jax.vmap", lambda *x: jax.eval_shape(jax.vmap(two_steps), *x), *stacked
    )


def _check_state(name: str, state: PyTree) -> None:
    """Raises ValueError where a state has a leaf that a checkpoint cannot keep."""
    for path, leaf in jax.tree.leaves_with_path(state):
        key = jax.tree_util.keystr(path)
        if not isinstance(leaf, (jax.Array, np.ndarray)):
            raise _error(
                *(_NAME, name, f"{type(leaf).__name__} in its state{key}"),
                "arrays, as jnp.zeros([], jnp.int32)",
            )
        if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
            raise _error(
                *(_NAME, name, f"a {leaf.dtype} in its state{key}"),
                "arrays that a checkpoint can keep: jax.random.key_data(key)",
            )


def _check_same_form(name: str, what: str, tree: PyTree, like: PyTree, of: str) -> None:
    actual, expected = str(jax.tree.structure(tree)), str(jax.tree.structure(like))
    if actual != expected:
        raise _error(_NAME, name, f"{what} of the form {actual}", f"that of {of}: {expected}")
    for (path, leaf), wanted in zip(
        jax.tree.leaves_with_path(tree), jax.tree.leaves(like), strict=True
    ):
        if (leaf.shape, leaf.dtype) != (wanted.shape, wanted.dtype):
            key = jax.tree_util.keystr(path)
            raise _error(
                *(_NAME, name, f"{what}{key} of {leaf.dtype}{[*leaf.shape]}"),
                f"{wanted.dtype}{[*wanted.shape]}, as {of}",
            )


def _tried(name: str, what: str, function: Callable[..., PyTree], *arguments: PyTree) -> PyTree:
    try:
        return function(*arguments)
    except Exception as error:  # a user's file is a program, and may raise anything
        raise ValueError(
            f"{_NAME}: {name!r}: its {what} raised {factories.said(error, function)}; it is "
            "called with (gradient, state, params), jitted"
        ) from error


def _error(key: str, name: str, actual: str, expected: str) -> ValueError:
    return ValueError(f"{key}: {name!r} gave {actual}, expected {expected}")
