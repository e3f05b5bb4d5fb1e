"""Parses the command line of every command; bad input is one line and exit code 1."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import flags, logging

from ldl_jax.run.reading import renamed


def parse_flags(arguments: Sequence[str]) -> list[str]:
    """Parses as absl does, with its errors and those of `--config.KEY=VALUE` as one line."""
    try:
        return flags.FLAGS(arguments)
    except (flags.Error, OSError, ValueError) as error:
        fail(str(error))
    except (AttributeError, KeyError, TypeError) as error:
        text = str(error).strip("'\"").replace("\\n", " ").replace("\\'", "'")
        hints = filter(None, (renamed(word) for word in re.findall(r"\w+", text)))
        fail("; ".join([f"--config: unknown key {text}", *hints]))


def quiet() -> None:
    """Hides the logs of libraries, unless --verbosity is given: what matters they also raise."""
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.FATAL)


def only_flags(arguments: Sequence[str]) -> None:
    """Ends the process with 1 where the command line has more than flags."""
    if arguments[1:]:
        fail(f"unknown arguments: {' '.join(arguments[1:])}; flags start with --")


def fail(message: str) -> NoReturn:
    """Says what is wrong in one line and ends the process with 1."""
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.exit(1)
