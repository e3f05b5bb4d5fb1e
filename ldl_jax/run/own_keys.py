"""Takes --config.SECTION.KEY=VALUE for the keys of what a user brings along.

A config has the keys of all built-in methods, networks, datasets and so on alone. Those of
"package.module:factory" are known once the config is read.
"""

import ast
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_collections

from ldl_jax.factories import is_own
from ldl_jax.run.config import Config, defaults, to_dict

# Each section whose keys are open, and the keys that name what takes them: a key of one's own is
# taken where one of these is "package.module:factory".
SECTIONS: dict[str, tuple[str, ...]] = {
    "method": ("method.name",),
    "model": ("model.name",),
    "optimizer.options": ("optimizer.name",),
    "optimizer.schedule_options": ("optimizer.schedule",),
    "augment.options": ("augment.name",),
    "data.options": ("data.name",),
    "data.test.options": ("data.test.name",),
}
_FLAG = re.compile(
    r"--?config\.((?:stages\.\w+\.)?)"
    rf"({'|'.join(map(re.escape, SECTIONS))})\.(\w+)=(.*)",
    re.DOTALL,
)


class Key(NamedTuple):
    """A key that was given as a flag, with its text, and whether a built-in has it too.

    `stage` is "stages.NAME." or "".
    """

    stage: str
    section: str
    name: str
    text: str
    known: bool


def taken_out(arguments: Sequence[str]) -> tuple[list[str], list[Key]]:
    """Parts arguments into those that a config is given, and the keys of open sections.

    A key that a built-in has too is among both, since the config has its type. It is left out of
    the first where the arguments themselves name what takes it as "package.module:factory".
    """
    matches = [(argument, _FLAG.fullmatch(argument)) for argument in arguments]
    if not any(match for _, match in matches):
        return list(arguments), []
    fixed, known = to_dict(Config()), defaults()
    named = {(m[1], f"{m[2]}.{m[3]}") for _, m in matches if m and is_own(m[4])}
    left, keys = [], []
    for argument, match in matches:
        if match is None or match[3] in _below(fixed, match[2]):  # a key of the section itself
            left.append(argument)
            continue
        stage, section, name, text = match.groups()
        key = Key(stage, section, name, text, name in _below(known, section))
        keys.append(key)
        if key.known and not any((stage, naming) in named for naming in SECTIONS[section]):
            left.append(argument)
    return left, keys


def put_in(config: Any, keys: Sequence[Key]) -> None:
    """Puts keys into the sections of a config where "package.module:factory" takes them.

    Raises:
      ValueError: there is no config, or a built-in has no such hyper-parameter or option.
    """
    for key in keys:
        whole = f"--config.{key.stage}{key.section}.{key.name}"
        if not isinstance(config, ml_collections.ConfigDict):
            raise ValueError(f"{whole}: give a config file with --config=FILE")
        root = config.stages[key.stage.split(".")[1]] if key.stage else config
        names = [_named(root, naming) for naming in SECTIONS[key.section]]
        if any(map(is_own, names)):
            section = _below(root, key.section)
            with section.unlocked():
                if key.name in section:
                    del section[key.name]  # with the type that a built-in's key has
                section[key.name] = _literal(key.text)
        elif not key.known and key.section == "method":
            raise ValueError(
                f"{whole}: unknown key, {names[0]!r} has no such hyper-parameter; "
                "python -m launch.methods lists each method's"
            )
        elif not key.known:
            naming = f"{key.stage}{SECTIONS[key.section][0]}"
            raise ValueError(
                f"{whole}: unknown key, {naming}={names[0]!r} has no such option; a part of your "
                "own, or of another package, is named as package.module:factory"
            )


def _below(config: Any, section: str) -> Any:
    """Returns the section of a dotted name."""
    for name in section.split("."):
        config = config[name]
    return config


def _named(config: Any, key: str) -> str:
    """Returns the text of a dotted key, "" where the config has none."""
    section, _, name = key.rpartition(".")
    return str(_below(config, section).get(name, ""))


def _literal(text: str) -> object:
    """Reads a Python literal, as 0.5, True or (1, 2); anything else is the text itself."""
    plain = {"true": True, "false": False}
    try:
        return plain[text] if text in plain else ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
