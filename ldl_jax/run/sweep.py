"""Sweeps: the many runs of one config, their names, and those that may be trained together."""

import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ldl_jax import methods, processes
from ldl_jax.labels import LabelSpace
from ldl_jax.run.config import Config, ConfigError, from_dict, to_dict
from ldl_jax.run.reading import Content
from ldl_jax.train import optimizers
from ldl_jax.train.state import PyTree

# Runs that are trained together may differ in these, and in numbers.
FREE = ("seed", "data.fold")
# The optimizer's numbers that a program can be given; lengths in epochs shape its schedule.
_OPTIMIZER = ("learning_rate", "momentum", "beta1", "beta2", "epsilon", "weight_decay")
_TRIAL = LabelSpace.range(0, 100)
_WIDTH = 8  # of the features that a method is tried with


class Point(NamedTuple):
    """A run of a sweep: its short name, its own config, and what the sweep set, by dotted key."""

    name: str
    config: Config
    values: Content


def points(config: Config) -> tuple[Point, ...]:
    """Returns the runs of a config's sweep; the last key of a grid changes fastest.

    A tuple or list lists values of a key, anything else is its one value.

    Raises:
      ConfigError: an unknown key, a value that cannot be used, or two runs of one name.
    """
    by_name: dict[str, Point] = {}
    for grid in config.sweep:
        choices = {key: x if isinstance(x, (tuple, list)) else (x,) for key, x in grid.items()}
        for key, listed in choices.items():
            if not listed:
                raise ConfigError(f"sweep: {key}: expected one value or more, got none")
        for chosen in itertools.product(*choices.values()):
            values = dict(zip(choices, chosen, strict=True))
            point = Point(_name(values), _config(config, values), values)
            if point.name in by_name:
                raise ConfigError(f"sweep: two runs are {point.name}; give each value once")
            by_name[point.name] = point
    return tuple(by_name.values())


def groups(points: Sequence[Point]) -> tuple[tuple[Point, ...], ...]:
    """Returns the runs put together that differ in seed, fold and numbers alone."""
    varied = _varied(points)
    by_setting: dict[str, list[Point]] = {}
    for point in points:
        numbers = [key for key in varied if traceable(point.config, key)]
        by_setting.setdefault(program(point.config, numbers), []).append(point)
    return tuple(map(tuple, by_setting.values()))


def check_together(points: Sequence[Point]) -> None:
    """Checks that all runs can be trained in one program.

    Raises:
      ConfigError: there are several processes, or the runs differ in an option that shapes it; the
        message names it.
    """
    if processes.count() > 1:
        raise ConfigError(
            "replicas: runs are trained together in one process, and these are "
            f"{processes.count()}; take replicas='auto', or start a single process"
        )
    set_here = {key for point in points for key in point.values}
    for key in sorted(_varied(points), key=lambda key: key not in set_here):
        if key not in FREE and not all(traceable(point.config, key) for point in points):
            raise ConfigError(
                f"replicas: runs that differ in {key} cannot be one program; only seed, data.fold "
                "and numbers of the method or the optimizer may differ. Take replicas='auto'"
            )


def numbers(group: Sequence[Point]) -> list[dict[str, float]]:
    """Returns each run's values of the numbers in which the runs differ, by dotted key."""
    keys = [key for key in _varied(group) if key not in FREE]
    return [{key: float(_resolved(point.config)[key]) for key in keys} for point in group]


def setting(config: Config, points: Sequence[Point]) -> Content:
    """Returns a config's values of all keys that the sweep sets, but for seed and fold."""
    keys = dict.fromkeys(key for point in points for key in point.values if key not in FREE)
    resolved = _resolved(config)
    return {key: resolved.get(key) for key in keys}


def program(config: Config, numbers: Sequence[str] = ()) -> str:
    """Returns all of a run but its seed, fold and these numbers, which a program may be given."""
    fixed = {key: x for key, x in _resolved(config).items() if key not in (*FREE, *numbers)}
    return json.dumps(fixed, sort_keys=True)


def traceable(config: Config, key: str) -> bool:
    """Returns whether a program can take the number of a key as an argument."""
    section, _, name = key.partition(".")
    if section == "optimizer":
        return name in _OPTIMIZER and optimizers.traces(config.optimizer, name)
    value = _resolved(config).get(key)
    if section != "method" or not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return _traces(config.method.name, json.dumps(config.method.hyper_parameters), name)


@functools.cache
def _traces(method: str, hyper_parameters: str, key: str) -> bool:
    """Returns whether a method and its functions can be called with a traced hyper-parameter."""

    def trial(value: jax.Array) -> PyTree:
        counts = jnp.ones(_TRIAL.size, jnp.float32)
        values = {**json.loads(hyper_parameters), key: value}
        return methods.answers(methods.get(method, space=_TRIAL, counts=counts, **values), _WIDTH)

    try:
        jax.eval_shape(trial, jax.ShapeDtypeStruct((), jnp.float32))
    except (TypeError, ValueError):  # it decides by the value, or wants another kind of number
        return False
    return True


def _config(config: Config, values: Content) -> Config:
    """Returns the config with these values, and without a sweep."""
    content = to_dict(config)
    for key, value in values.items():
        *path, last = key.split(".")
        section = content
        for name in path:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise ConfigError(f"sweep: {key}: unknown key; {name} has none below it")
        section[last] = value
    try:
        changed = from_dict(content)
        hyper_parameters = changed.method.hyper_parameters
        counts = jnp.ones(_TRIAL.size, jnp.float32)
        methods.get(changed.method.name, space=_TRIAL, counts=counts, **hyper_parameters)
    except ValueError as error:
        raise ConfigError(f"sweep: {error}") from None
    # Keys that are not kept with a run stay as they are, but for the sweep itself.
    others = {field.name for field in dataclasses.fields(config)} - content.keys() - {"sweep"}
    return dataclasses.replace(changed, **{name: getattr(config, name) for name in others})


def _name(values: Content) -> str:
    """Returns a name as "lam=0.1,seed=2"; keys that end alike are written whole."""
    lasts = [key.rpartition(".")[2] for key in values]
    parts = []
    for (key, value), last in zip(values.items(), lasts, strict=True):
        text = f"{value:g}" if isinstance(value, float) else str(value)
        text = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip("-.")
        parts.append(f"{last if lasts.count(last) == 1 else key}={text}")
    return ",".join(parts)


def _varied(points: Sequence[Point]) -> list[str]:
    """Returns the keys in which the runs differ."""
    resolved = [_resolved(point.config) for point in points]
    keys = dict.fromkeys(key for values in resolved for key in values)
    return [key for key in keys if len({json.dumps(values.get(key)) for values in resolved}) > 1]


def _resolved(config: Config) -> Content:
    """Returns all values by dotted key, the method's defaults included."""
    content = to_dict(config)
    content["method"] = methods.hyper_parameters(config.method.name) | content["method"]
    return _flat(content)


def _flat(content: Content, prefix: str = "") -> Content:
    result: Content = {}
    for key, value in content.items():
        if isinstance(value, dict):
            result |= _flat(value, f"{prefix}{key}.")
        else:
            result[prefix + key] = value
    return result
