"""Takes --config.method.KEY=VALUE for the hyper-parameters of a user's own method.

A config has the hyper-parameters of all built-in methods alone. Those of "package.module:factory"
are known once the config is read.
"""

import ast
import re
from collections.abc import Sequence
from typing import Any

import ml_collections

from ldl_jax.run.config import defaults

_METHOD = re.compile(r"--?config\.((?:stages\.\w+\.)?)method\.(\w+)=(.*)", re.DOTALL)
Keys = list[tuple[str, str, str]]  # of each its stage's key, "stages.NAME." or "", name and value


def taken_out(arguments: Sequence[str]) -> tuple[list[str], Keys]:
    """Parts arguments into those that a config knows, and hyper-parameters that none does."""
    known: set[str] = set()
    left, keys = [], []
    for argument in arguments:
        match = _METHOD.fullmatch(argument)
        known = known or (set(defaults().method) if match else set())
        if match and match[2] not in known:
            keys.append((match[1], match[2], match[3]))
        else:
            left.append(argument)
    return left, keys


def put_in(config: Any, keys: Keys) -> None:
    """Puts hyper-parameters into a config whose method is the user's own.

    Raises:
      ValueError: the method is a built-in one, which has no such hyper-parameter.
    """
    for stage, name, value in keys:
        whole = f"--config.{stage}method.{name}"
        if not isinstance(config, ml_collections.ConfigDict):
            raise ValueError(f"{whole}: give a config file with --config=FILE")
        section = config
        if stage:
            section = config.stages[stage.split(".")[1]]
        if ":" not in str(section.method.name):
            raise ValueError(
                f"{whole}: unknown key, {section.method.name!r} has no such hyper-parameter; "
                "python -m launch.methods lists each method's"
            )
        with section.unlocked():
            section.method[name] = _literal(value)


def _literal(text: str) -> object:
    """Reads a Python literal, as 0.5, True or (1, 2); anything else is the text itself."""
    plain = {"true": True, "false": False}
    try:
        return plain[text] if text in plain else ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
