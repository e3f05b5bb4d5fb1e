"""Reads typed dataclasses from nested dicts, and today's keys from those of before."""

import copy
import dataclasses
import inspect
import json
import math
import typing
from typing import Any, TypeVar

from ldl_jax.run.sections import ConfigError

# Keys that have another name today: the new key, and values that have another name too.
RENAMED: dict[str, tuple[str, dict[str, str]]] = {
    "chain.offspring": ("chain.student", {"ancestor": "teacher"}),
    "init.trunk_rate": ("init.backbone_rate", {}),
}
# Nested dicts of a config, by its keys.
Content = dict[str, Any]
Section = TypeVar("Section")


def renamed(key: str) -> str:
    """Returns what an error says on the old name of a key, by its dotted name or its last part.

    It is "" where the key is no old name.
    """
    for old, (new, values) in RENAMED.items():
        if key in (old, old.rpartition(".")[2]):
            words = "".join(f"; its value {a!r} is {b!r}" for a, b in values.items())
            return f"{old} is called {new}{words}"
    return ""


def in_new_keys(saved: Content) -> Content:
    """Returns a saved config with today's names of its keys."""
    content = copy.deepcopy(saved)
    for old, (new, values) in RENAMED.items():
        source, old_key = _holder(content, old)
        target, new_key = _holder(content, new)
        if source is not None and target is not None and old_key in source:
            value = source.pop(old_key)
            target[new_key] = values.get(value, value)
    return content


def filled(content: Content, defaults: Content) -> Content:
    """Returns nested dicts with the default of every key that they lack."""
    result = {**defaults, **content}
    for key, default in defaults.items():
        value = result[key]
        if isinstance(default, dict) and isinstance(value, dict):
            result[key] = filled(value, default)
    return result


def check_sections(content: Content, defaults: Content, prefix: str = "") -> None:
    """Raises ConfigError where a section of nested dicts is no dict."""
    for key, default in defaults.items():
        if not isinstance(default, dict) or key not in content:
            continue
        if not isinstance(content[key], dict):
            raise ConfigError(f"{prefix}{key}: expected a section, got {str(content[key])[:60]}")
        check_sections(content[key], default, f"{prefix}{key}.")


def read_section(schema: type[Section], content: object, prefix: str) -> Section:
    """Returns a dataclass of the schema from a dict, checked key by key.

    Raises:
      ConfigError: an unknown key, or a value of the wrong type.
    """
    if not isinstance(content, dict):
        raise ConfigError(f"{prefix.rstrip('.')}: expected a section, got {content!r}")
    types = typing.get_type_hints(schema)
    fields = dataclasses.fields(typing.cast(Any, schema))
    keys = {field.name for field in fields} - {"options", "stages", "sweep"}
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in keys:
            hint = renamed(f"{prefix}{key}") or f"known: {', '.join(sorted(keys))}"
            raise ConfigError(f"{prefix}{key}: unknown key; {hint}")
        values[key] = _value(types[key], value, prefix + key)
    return schema(**values)


def options_of(section: object, name: str) -> Content:
    """Returns the options that a section gives, taken out of it.

    Raises:
      ConfigError: they are no section, or one of them is nothing that JSON can hold.
    """
    content = section.pop("options", {}) if isinstance(section, dict) else {}
    if not isinstance(content, dict):
        raise ConfigError(f"{name}.options: expected a section, got {content!r}")
    given = {k: v for k, v in content.items() if v is not None}
    for key, value in given.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            raise ConfigError(
                f"{name}.options.{key}: expected a number, a text, true or false, or a list of "
                f"them, which config.json can keep, got {type(value).__name__}"
            ) from None
    return given


def _holder(content: Content, key: str) -> tuple[Content | None, str]:
    """Returns the dict that a dotted key lies in, None where there is none, and its last part."""
    *path, last = key.split(".")
    section: Any = content
    for name in path:
        section = section.get(name) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else None, last


def _value(kind: Any, value: Any, name: str) -> Any:
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
        return read_section(kind, value, name + ".")
    if typing.get_origin(kind) is tuple:
        wanted = typing.get_args(kind)
        if wanted[1:] == (...,) and isinstance(value, (list, tuple)):
            wanted = wanted[:1] * len(value)
        if not isinstance(value, (list, tuple)) or len(value) != len(wanted):
            count = "a tuple" if wanted[1:] == (...,) else f"{len(wanted)} values"
            raise ConfigError(f"{name}: expected {count}, got {value!r}")
        return tuple(_value(k, v, name) for k, v in zip(wanted, value, strict=True))
    if typing.get_origin(kind) is dict:
        kind, value = dict, {} if value is None else value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name}: expected a finite number, got {value}")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(
            f"{name}: expected {kind.__name__}, got {value!r} ({type(value).__name__})"
        )
    return value
