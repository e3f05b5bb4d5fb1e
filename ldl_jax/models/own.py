"""Networks that a user brings along, by the name of their factory, "package.module:factory"."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ldl_jax.factories import NO_DEFAULT, imported, parameters
from ldl_jax.models.functional import Model, ModelState, Params

# What a module of each framework is turned into a `Model` by.
_WRAPPERS = {
    "flax.nnx": "from_nnx",
    "flax.linen": "from_linen",
    "equinox": "from_equinox",
}


def options(name: str) -> dict[str, Any]:
    """Returns the options of an own network with their defaults, from its factory's signature.

    Raises:
      ValueError: it cannot be imported.
    """
    return parameters(factory(name))


def complete(name: str, given: Mapping[str, object]) -> dict[str, Any]:
    """Returns all options of an own network: those given, checked, and the others' defaults.

    A list becomes a tuple, and a whole float an int, where the default is one: a file of JSON, and
    the flag of a built-in network's option, have no other.

    Raises:
      ValueError: options are unknown, missing or of another type; the message lists all of them.
    """
    known = options(name)
    faults = [f"model.{key}: {name!r} has no such option" for key in given if key not in known]
    result = {}
    for key, default in known.items():
        value = _converted(given.get(key, default), default)
        if value is NO_DEFAULT:
            faults.append(f"model.{key}: {name!r} has no default for it, it must be given")
        elif not _alike(value, default):
            faults.append(f"model.{key}: expected one like {default!r}, got {value!r}")
        elif not _is_plain(value):
            faults.append(f"model.{key}: expected numbers, texts or lists of them, got {value!r}")
        result[key] = value
    if faults:
        has = f"it has: {', '.join(known)}" if known else "it has none"
        raise ValueError("; ".join(faults) + f"; {has}")
    return result


def build(name: str, given: Mapping[str, object]) -> Model:
    """Calls an own network's factory with these options, and returns its `Model` under that name.

    Raises:
      ValueError: the options are not the factory's, it raises, or it returns something else.
    """
    arguments = complete(name, given)
    try:
        model = factory(name)(**arguments)
    except Exception as error:  # a user's factory is a program, and may raise anything
        text = " ".join(str(error).split())[:500]
        raise ValueError(
            f"model.name: {name!r} raised {type(error).__name__}: {text} (called with {arguments})"
        ) from error
    if not isinstance(model, Model):
        raise ValueError(
            f"model.name: {name!r} returned {_described(model)}, expected a Model{_hint(model)}"
        )
    size = arguments.get("size")
    return _renamed(model, name, size if isinstance(size, int) else model.size)


def _renamed(model: Model, name: str, size: int) -> Model:
    """Returns a model with another name and size, which it has once it is folded, too."""
    if model.fold is None:
        return dataclasses.replace(model, name=name, size=size)
    whole = model.fold

    def fold(params: Params, model_state: ModelState) -> tuple[Model, Params, ModelState]:
        inference, *weights = whole(params, model_state)
        return dataclasses.replace(inference, name=name, size=size), weights[0], weights[1]

    return dataclasses.replace(model, name=name, size=size, fold=fold)


def factory(name: str) -> Callable[..., Any]:
    """Imports the factory of an own network."""
    return imported("model.name", name, "factory(**options) -> Model")


def _converted(value: object, default: object) -> object:
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if type(default) is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _alike(value: object, default: object) -> bool:
    """Returns whether a value has its default's type, where there is one that says it."""
    if default is NO_DEFAULT or default is None or value is None:
        return True
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, type(default)) and isinstance(value, bool) == isinstance(default, bool)


def _is_plain(value: object) -> bool:
    """Returns whether JSON can keep a value, as a checkpoint has to."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(x) for key, x in value.items())
    return value is None or isinstance(value, bool | int | float | str)


def _described(made: object) -> str:
    return f"the class {made.__name__}" if isinstance(made, type) else f"a {type(made).__name__}"


def _hint(made: object) -> str:
    """Returns what turns a module of a known framework into a `Model`."""
    classes = (made if isinstance(made, type) else type(made)).__mro__
    for framework, wrapper in _WRAPPERS.items():
        if any(c.__module__.startswith(framework) and c.__name__ == "Module" for c in classes):
            return f"; ldl_jax.models.{wrapper} makes one of it"
    return "; ldl_jax.models.from_nnx, from_linen and from_equinox make one of a module"
