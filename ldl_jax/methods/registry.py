"""The methods by name: `METHODS` lists their factories, and `get` makes one."""

import dataclasses
from collections.abc import Callable, Mapping

from jax.typing import ArrayLike

from ldl_jax import factories
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import classes, distribution, moments, ordinal, regression
from ldl_jax.methods.cen import cen
from ldl_jax.methods.contract import Method
from ldl_jax.methods.given import Given
from ldl_jax.methods.ssr import ssr

# A family's module lists its methods in `__all__`; a method has its factory's name.
_FAMILIES = (classes, distribution, moments, ordinal, regression)
_FACTORIES = [cen, ssr, *(getattr(family, name) for family in _FAMILIES for name in family.__all__)]
METHODS: dict[str, Callable[..., Method]] = {
    factory.__name__: factory for factory in sorted(_FACTORIES, key=lambda f: f.__name__)
}
# The hyper-parameters that have another name today, as {method: {old name: new name}}.
RENAMED = {"sord": {"slope": "alpha", "alpha": "transfer_alpha"}}
# Arguments of a factory that a run works out from its data; a config cannot set them.
_FROM_DATA = ("space", "counts")


def get(
    name: str | Method,
    *,
    space: LabelSpace,
    counts: ArrayLike | None = None,
    **settings: object,
) -> Method:
    """Makes a method by its name, or by its factory's, "package.module:factory".

    Args:
      name: a name in `METHODS`, a factory's, or a method, which is returned as it is.
      space: the label space.
      counts: how many training labels each of the K values has (`encodings.label_counts`), for the
        factories that ask for them; only their losses do.
      **settings: hyper-parameters, the method's own, and `decode`, `alpha`, `temperature` and
        `scale_by_temperature_squared` for those that `methods.transfer.completed` completes. Those
        left out take their defaults; `hyper_parameters(name)` lists them.

    Raises: ValueError if the name is unknown, a hyper-parameter is not the method's, or its value
    is out of range; each message lists what is known.

    Examples:
      >>> space = LabelSpace.range(20, 24)
      >>> method = methods.get("dldl_v2", space=space, decode="median", alpha=0.3)
      >>> method.predict({"logits": jnp.zeros((1, 5))}).value.item()
      22.0
    """
    if isinstance(name, Method):
        return name
    defaults = hyper_parameters(name)
    settings = _current(name, settings, [*defaults])
    for key in settings:
        if key in Given._fields and key not in defaults:
            takes = ", ".join(n for n in METHODS if "target" in hyper_parameters(n))
            raise ValueError(
                f"method.{key}: {name!r} takes no given distribution, so it has no {key}; those "
                f"that take one: {takes}"
            )
        if key not in defaults:
            known = ", ".join(defaults)
            raise ValueError(f"method.{key}: {name!r} has no such hyper-parameter; it has: {known}")
    complete = defaults | settings
    for key, value in complete.items():
        if value is factories.NO_DEFAULT:
            raise ValueError(f"method.{key}: {name!r} has no default for it, it must be given")
    from_data = {"counts": counts} if takes_counts(name) else {}
    method = _factory(name)(space, **from_data, **settings)
    if not isinstance(method, Method):
        raise ValueError(f"method.name: {name!r} returned {type(method).__name__}, not a Method")
    return dataclasses.replace(method, hyper_parameters=complete)


def hyper_parameters(name: str) -> dict[str, object]:
    """Returns the hyper-parameters of the method of that name, with their defaults.

    Examples:
      >>> methods.hyper_parameters("regression_l2")
      {'sigma': 0.0, 'smoothed_weights': False, 'smoothing': 2.0}
    """
    known = factories.parameters(_factory(name))
    return {key: default for key, default in known.items() if key not in _FROM_DATA}


def takes_counts(name: str) -> bool:
    """Returns whether the method of that name is made with the training labels' counts."""
    return "counts" in factories.parameters(_factory(name))


def _current(name: str, values: Mapping[str, object], known: list[str]) -> dict[str, object]:
    """Returns a method's hyper-parameters under today's names.

    Old names are read in a whole record of a method, as an older checkpoint has it. An old name
    among only some of the hyper-parameters is a config's, and refused: `alpha` of SORD is its slope
    today and was the teacher's weight, so that the rest of the config has to be looked at too.

    Raises: ValueError if a config uses an old name; the message gives the new one.
    """
    renamed = RENAMED.get(name, {})
    old = [key for key in values if key in renamed and key not in known]
    if not old:
        return dict(values)
    whole = {*known} - {*renamed.values()} | {*renamed}
    if whole - {*Given._fields} <= values.keys() <= whole:  # older records lack a given target
        return {renamed.get(key, key): value for key, value in values.items()}
    changes = ", ".join(f"{key} is now {new}" for key, new in renamed.items())
    raise ValueError(f"method.{old[0]}: {name!r} has other names today: {changes}")


def _factory(name: str) -> Callable[..., Method]:
    if name in METHODS:
        return METHODS[name]
    if not factories.is_own(name):
        known = ", ".join((*METHODS, "or 'package.module:factory'"))
        raise ValueError(f"method.name: unknown method {name!r}; known: {known}")
    return factories.imported("method.name", name, "factory(space, ...)")
