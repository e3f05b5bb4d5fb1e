"""Parses the command line of every command; bad input is one line and exit code 1."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags, logging

from ldl_jax.run.reading import renamed


def start(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a command alike from `python -m launch.NAME` and from its console script.

    A console script only imports the command's module, while absl's --help shows the docstring and
    the flags of the program that was started, and it does not look in the current folder for a
    user's own modules ("my_loss:factory").
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = sys.modules[main.__module__]
    sys.modules["__main__"].__doc__ = module.__doc__
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.run(main, flags_parser=parse_flags)


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
    """Says what is wrong in one line, or one a fault of a file, and ends the process with 1."""
    faults = [" ".join(text.split()) for text in message.split("\n  - ")]
    sys.stderr.write("error: " + "\n  - ".join(faults) + "\n")
    sys.exit(1)
