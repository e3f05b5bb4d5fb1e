"""The keys of a config with type, default and meaning, as --help shows them."""

import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

from ldl_jax.run.config import Config
from ldl_jax.run.identity import changes_numbers
from ldl_jax.run.sections import MethodConfig, ModelConfig

_WIDTH = 100
_ENTRY = re.compile(r"^  (\w+): ((?:.*\n?)(?:(?:    .*)?\n?)*)", re.MULTILINE)
_OWN = {
    MethodConfig: [
        ("name", "a built-in method, as python -m launch.methods lists them, or module:factory"),
        ("KEY", "a hyper-parameter of the method; python -m launch.methods lists them"),
    ],
    ModelConfig: [
        ("KEY", "an option of the network, as its docstring says, or of one's own factory")
    ],
}


def text() -> str:
    """Returns all keys, each as --config.KEY with its type, default and meaning."""
    lines = ["The config's keys, each given as --config.KEY=VALUE (type, default):", ""]
    for key, kind, default, meaning in keys(Config()):
        lines.append(f"  --config.{key}  ({kind}{'' if default is None else f', {default!r}'})")
        wrapped = textwrap.wrap(meaning, _WIDTH - 6, break_on_hyphens=False)
        lines += [f"      {line}" for line in wrapped]
        if not changes_numbers(key):
            lines.append("      A run may go on with another value.")
    return "\n".join(lines)


def keys(section: Any, prefix: str = "") -> Iterator[tuple[str, str, object, str]]:
    """Yields (key, type, default, meaning) of every key of a config's section, and below it."""
    meanings = documented(type(section))
    types = typing.get_type_hints(type(section))
    for name, meaning in _OWN.get(type(section), []):
        yield f"{prefix}{name}", "text" if name == "name" else "any", None, meaning
    for field in dataclasses.fields(section):
        value, key = getattr(section, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from keys(value, f"{key}.")
        elif not isinstance(section, MethodConfig) and key != "model.options":
            yield key, _type(types[field.name]), value, meanings.get(field.name, "")


def documented(schema: type) -> dict[str, str]:
    """Returns what the "Attributes:" of a class's docstring say, by attribute."""
    _, _, attributes = inspect.cleandoc(schema.__doc__ or "").partition("Attributes:\n")
    return {name: " ".join(meaning.split()) for name, meaning in _ENTRY.findall(attributes)}


def _type(kind: Any) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    if kind in names:
        return names[kind]
    if typing.get_origin(kind) is tuple:
        return (
            "several values"
            if Ellipsis in typing.get_args(kind)
            else (f"{len(typing.get_args(kind))} numbers")
        )
    return "keys and values"
