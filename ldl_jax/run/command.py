"""Parses the command line of every command; bad input is one line and exit code 1."""

import contextlib
import logging as standard
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from absl import app, flags, logging

from ldl_jax.evaluation.cells import plain
from ldl_jax.files import from_home
from ldl_jax.processes.memory import keep_freed
from ldl_jax.run import background
from ldl_jax.run.reading import renamed

_HELP = {"--help", "-help", "--h", "-h", "--helpshort", "-?", "--?"}
# A "~" where a shell would expand it if it stood alone: --workdir=~/runs, --option=list=~/a,~/b.
_HOME = re.compile(r"(?<![^=,])~[^/,]*")
# Which device JAX takes, and why it does not take another, is said by this logger.
_DEVICES = "jax._src.xla_bridge"


def start(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a command alike from `python -m launch.NAME` and from its console script.

    A console script only imports the command's module, while absl's --help shows the docstring and
    the flags of the program that was started, and it does not look in the current folder for a
    user's own modules ("my_loss:factory"). The process keeps the memory that it frees, which makes
    networks faster on CPUs.
    """
    keep_freed()
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = sys.modules[main.__module__]
    sys.modules["__main__"].__doc__ = module.__doc__
    shared = [x for name, x in sys.modules.items() if name.startswith("ldl_jax.run.")]
    for flag in [f for x in (module, *shared) for f in flags.FLAGS.get_key_flags_for_module(x)]:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    background.one_line_each()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as `launch` has left it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        app.run(main, flags_parser=parse_flags)
    except KeyboardInterrupt:  # a run that trains takes note of it, and saves a checkpoint
        sys.stderr.write("stopped by SIGINT; nothing was being trained\n")
        sys.exit(130)
    except SystemExit as ended:
        if ended.code == 1:
            background.end_at_once(1)
        raise


def parse_flags(arguments: Sequence[str]) -> list[str]:
    """Parses as absl does, with its errors and those of `--config.KEY=VALUE` as one line.

    A "~" at the beginning of a value is the user's folder. --help shows the flags, and the
    config's keys where the command takes a config, and ends the process with 0.
    """
    given, known = sys.argv, flags.FLAGS
    takes_config = "config" in known
    if not _HELP.isdisjoint(arguments[1:]):
        _show_help(takes_config)
    try:
        with flag_errors():
            program, *rest = (_HOME.sub(lambda found: from_home(found[0]), x) for x in arguments)
            if takes_config:
                from ldl_jax.run import config_names, own_keys

                rest, keys = own_keys.taken_out(config_names.put_files(rest))
            sys.argv = [program, *rest]  # where ml_collections looks for the keys that are given
            left: list[str] = known(sys.argv)
            if takes_config:
                own_keys.put_in(known["config"].value, keys)
            return left
    finally:
        sys.argv = given


@contextlib.contextmanager
def flag_errors() -> Iterator[None]:
    """Ends the process with one line where a flag cannot be defined or parsed."""
    try:
        yield
    except (flags.Error, OSError, ValueError) as error:
        fail(str(error))
    except (AttributeError, KeyError, TypeError) as error:
        text = str(error).strip("'\"").replace("\\n", " ").replace("\\'", "'")
        hints = filter(None, (renamed(word) for word in re.findall(r"\w+", text)))
        fail("; ".join([f"--config: unknown key {text}", *hints]))
    except Exception as error:  # of the user's own config file, which is a program
        place = traceback.extract_tb(error.__traceback__)[-1]
        fail(f"--config: {place.filename}:{place.lineno}: {type(error).__name__}: {error}")


def _show_help(takes_config: bool) -> NoReturn:
    """Shows a command's use, flags and config keys, and ends the process with 0."""
    try:
        app.usage(shorthelp=True, writeto_stdout=True)
        if takes_config:
            from ldl_jax.run import config_help  # all networks, which other commands do without

            print(f"\n{config_help.text()}")
        sys.stdout.flush()
    except BrokenPipeError:  # a pager or `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def quiet() -> None:
    """Hides the logs of libraries, unless --verbosity is given: what matters they also raise.

    Why JAX does not use a device is not raised, so it is said.
    """
    if flags.FLAGS["verbosity"].present:
        return
    logging.set_verbosity(logging.FATAL)
    logger = standard.getLogger(_DEVICES)
    logger.setLevel(standard.WARNING)
    logger.propagate = False
    if not any(isinstance(handler, _Line) for handler in logger.handlers):
        logger.addHandler(_Line())


class _Line(standard.Handler):
    """Writes a record as one line to stderr."""

    def emit(self, record: standard.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage() + (f" {type(error).__name__}: {error}" if error else "")
        sys.stderr.write(f"warning: JAX: {' '.join(text.split())}\n")


def only_flags(arguments: Sequence[str]) -> None:
    """Ends the process with 1 where the command line has more than flags."""
    if arguments[1:]:
        fail(f"unknown arguments: {' '.join(arguments[1:])}; flags start with --")


def fail(message: str) -> NoReturn:
    """Says what is wrong in one line, or one a fault of a file, and ends the process with 1."""
    faults = [plain(" ".join(text.split())) for text in message.split("\n  - ")]
    sys.stderr.write("error: " + "\n  - ".join(faults) + "\n")
    sys.exit(1)
