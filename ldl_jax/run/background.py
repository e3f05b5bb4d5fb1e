"""Shows what fails in threads that no one waits for as one line each, and never as the last."""

import contextlib
import os
import sys
import threading
from types import TracebackType
from typing import NoReturn

from absl import flags


def one_line_each() -> None:
    """Shows an error of another thread as one line, once, instead of a traceback each time.

    On a full disk each of the writers of a checkpoint fails so, and what matters of it is raised
    in the main thread as well. With --verbosity tracebacks are shown.
    """
    said: set[str] = set()

    def say(kind: type[BaseException], error: BaseException | None) -> None:
        text = f"{kind.__name__}: {' '.join(str(error).split())}"
        if text not in said and not issubclass(kind, SystemExit):
            said.add(text)
            sys.stderr.write(f"warning: in the background: {text[:300]}\n")

    def uncaught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread() or _verbose():
            sys.__excepthook__(kind, error, trace)
        else:
            say(kind, error)

    sys.excepthook = uncaught  # libraries in C++ call it in their threads
    threading.excepthook = lambda failed: (
        threading.__excepthook__(failed) if _verbose() else say(failed.exc_type, failed.exc_value)
    )
    sys.unraisablehook = lambda failed: (
        sys.__unraisablehook__(failed) if _verbose() else say(failed.exc_type, failed.exc_value)
    )


def end_at_once(code: int) -> NoReturn:
    """Ends the process, so that nothing is said after its last line."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _verbose() -> bool:
    known = flags.FLAGS
    return known.is_parsed() and bool(known["verbosity"].present)
