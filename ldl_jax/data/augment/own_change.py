"""A change of training pictures that a user brings along, as one step of the augmentation."""

import functools
import inspect
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax import factories

_KEY = "augment.name"
_B = 4  # pictures of a trial
_KEYS = 64  # that a change may leave a picture alone with
_ROUND = 0.01  # that results may lie outside of 0 to 255
# `change(key, image)` of one picture, or `change(key, images)` of a batch.
Change = Callable[[jax.Array, jax.Array], jax.Array]


def made(name: str, options: Mapping[str, object]) -> Change:
    """Makes a change of the factory "package.module:factory".

    Args:
      name: of `factory(**options) -> function(key, image)`. The image is float32 [H, W, 3], RGB
        from 0 to 255; the function is called for each picture with a key of its own. One whose
        second parameter is called `images` is called once, with a batch [B, H, W, 3]. It must work
        when it is jitted, keep shape and dtype, and stay within 0 to 255. One that draws nothing
        says so with an attribute `deterministic = True`.
      options: the factory's arguments.

    Raises:
      ValueError: the factory cannot be imported, does not take the options, raises an error, or
        returns no function.
    """
    factory = factories.imported(_KEY, name, "factory(**options)")
    function = factories.call(_KEY, name, factory, {}, options, "augment.options.")
    if not callable(function):
        raise _error(name, type(function).__name__, "a function of a key and an image")
    return function


def changed(
    key: jax.Array, images: jax.Array, name: str, options: Mapping[str, object]
) -> jax.Array:
    """Changes pictures float32 [B, H, W, 3] (RGB, 0-255); it can be traced."""
    with jax.ensure_compile_time_eval():  # a factory may keep its arrays beyond this trace
        function = made(name, options)
    return _applied(function, key, images)


def check(name: str, options: Mapping[str, object], size: int) -> None:
    """Tries a change on four pictures, and checks what it makes of them.

    Args:
      name: of its factory.
      options: of its factory.
      size: side of the pictures in pixels, the network's.

    Raises:
      ValueError: it cannot be jitted, gives another shape or dtype, leaves 0 to 255, gives other
        pictures with the same key, or the same ones with every key; the message says which.
    """
    images = jnp.asarray(_pictures(size))
    # Two programs: what a function draws by itself while it is traced is constant in each.
    first, second = (jax.jit(functools.partial(_applied, made(name, options))) for _ in range(2))
    key = jax.random.key(0)
    try:
        result = first(key, images)
        again = second(key, images)
    except Exception as error:  # a user's file is a program, and may raise anything
        function = made(name, options)
        raise ValueError(
            f"{_KEY}: {name!r}: its function raised {factories.said(error, function)}; it is "
            "jitted, and but for one of `images` vmapped over pictures: take jnp.where for `if`, "
            "jax.numpy for numpy, and jax.random with the key"
        ) from error
    _check_result(name, result, images)
    if not np.array_equal(result, again):
        raise _error(
            name,
            "other pictures from the same key",
            "the same ones: draw with jax.random and the key, not with numpy.random or random",
        )
    if getattr(made(name, options), "deterministic", False):
        return
    keys = jax.random.split(jax.random.key(1), _KEYS)
    if all(np.array_equal(result, first(key, images)) for key in keys):
        raise _error(
            name,
            f"the same pictures with {_KEYS + 1} keys",
            "others with another key; a function that draws nothing has the attribute "
            "deterministic = True",
        )


def _applied(function: Change, key: jax.Array, images: jax.Array) -> jax.Array:
    if _takes_batch(function):
        return function(key, images)
    return jax.vmap(function)(jax.random.split(key, images.shape[0]), images)


def _takes_batch(function: Change) -> bool:
    try:
        return [*inspect.signature(function).parameters][1:2] == ["images"]
    except (TypeError, ValueError):  # of a callable in another language
        return False


def _pictures(size: int) -> np.ndarray:
    """Returns four pictures float32 [4, size, size, 3]: noise, a slope, black, and white."""
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3))
    slope = np.broadcast_to(np.linspace(0, 255, size).round()[:, None, None], noise.shape)
    plain = [np.full(noise.shape, grey) for grey in (0, 255)]
    return np.stack([noise, slope, *plain]).astype(np.float32)


def _check_result(name: str, result: object, images: jax.Array) -> None:
    if not isinstance(result, jax.Array):
        raise _error(name, type(result).__name__, "an array")
    if (result.shape, result.dtype) != (images.shape, images.dtype):
        form = f"{result.dtype}{[*result.shape]}"
        raise _error(name, form, f"{images.dtype}{[*images.shape]} of a batch of {_B}")
    values = np.asarray(result)
    if not np.isfinite(values).all():
        raise _error(name, "numbers that are not finite", "finite ones")
    low, high = float(values.min()), float(values.max())
    if low < -_ROUND or high > 255 + _ROUND:
        raise _error(name, f"{low:g} to {high:g}", "0 to 255, as the pictures have: jnp.clip")


def _error(name: str, actual: str, expected: str) -> ValueError:
    return ValueError(f"{_KEY}: {name!r} gave {actual}, expected {expected}")
