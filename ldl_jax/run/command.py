"""What every command does with its command line: bad input is one line and exit code 1."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import flags, logging


def parse_flags(arguments: Sequence[str]) -> list[str]:
    """Absl's parsing, its errors and those of `--config.KEY=VALUE` as one line."""
    try:
        return flags.FLAGS(arguments)
    except (flags.Error, OSError, ValueError) as error:
        fail(str(error))
    except (AttributeError, KeyError, TypeError) as error:
        text = str(error).strip("'\"").replace("\\n", " ").replace("\\'", "'")
        fail(f"--config: unknown key {text}")


def quiet() -> None:
    """Libraries' logs are not shown, unless --verbosity is given: what matters they also raise."""
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
