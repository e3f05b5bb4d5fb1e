"""Serves a trained network over HTTP: pictures come in, the JSON of launch.predict goes out.

python -m launch.serve runs/quickstart --port=8080
python -m launch.serve imdb.h5 --aligned
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from ldl_jax.evaluation import answers
from ldl_jax.evaluation.cells import plain_lines
from ldl_jax.files import from_home
from ldl_jax.run import answering
from ldl_jax.run.background import end_at_once
from ldl_jax.run.command import fail, quiet, start
from ldl_jax.serve.limits import Limits, faults

if TYPE_CHECKING:
    from ldl_jax.serve.workers import Workers

_DEFAULTS = Limits()
# Other commands have flags of these names; only tests load two commands in one process.
_SHARED: dict[str, Any] = {"allow_override": True}
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "the address to listen at; 0.0.0.0 is open to other machines", **_SHARED
)
_PORT = flags.DEFINE_integer(
    "port", 8080, "the port to listen at; 0 takes any that is free", **_SHARED
)
_SITE = flags.DEFINE_string(
    "site", None, "a folder with the page for /; by default the page says how to ask", **_SHARED
)
_AT_LEAST = flags.DEFINE_float(
    "threshold",
    None,
    "a label, as 18: answers have the probability of that or more; a request may ask another",
    **_SHARED,
)
_WIDTH = flags.DEFINE_float(
    "max-width",
    None,
    "answers have a value only where the interval is narrower; a request may ask another width",
    **_SHARED,
)
_HELP = {
    "max_megabytes": "the largest request, in millions of bytes",
    "max_pictures": "the most pictures of a request",
    "queue": "the most pictures in the server; more are refused with status 429",
    "batch": "faces that are answered at a time; 1 makes no batches",
    "wait": "milliseconds that a face waits for others on their way",
    "timeout": "seconds for a request to come, and as many for its answer",
    "connections": "the most connections that are open",
}


def _limit(name: str, text: str) -> flags.FlagHolder[float]:
    default, flag = getattr(_DEFAULTS, name), name.replace("_", "-")
    if isinstance(default, int):
        return flags.DEFINE_integer(flag, default, text, **_SHARED)
    return flags.DEFINE_float(flag, default, text, **_SHARED)


_LIMITS = {name: _limit(name, text) for name, text in _HELP.items()}
_NEEDED = ("starlette", "uvicorn", "python_multipart", "prometheus_client")
_MEGAPIXELS = 64.0  # of a picture: of strangers' pictures several are decoded at a time
_DECODERS = 8  # of them at most


def main(arguments: Sequence[str]) -> None:
    """Serves until SIGTERM or SIGINT; ends the process with 1 if requests had no answer then."""
    quiet()
    if len(arguments) != 2:
        fail(
            "give one run's workdir, checkpoint, or file of an age model: "
            "python -m launch.serve DIR --port=8080"
        )
    try:
        unanswered, ended = run(arguments[1])
    except (ValueError, OSError) as error:
        fail(str(error))
    if unanswered:
        sys.stderr.write(f"error: {unanswered} requests had no answer when the server ended\n")
    if not ended:  # a thread is amid a picture, or compiles; Python would wait for it
        end_at_once(1 if unanswered else 0)
    if unanswered:
        sys.exit(1)


def run(checkpoint: str) -> tuple[int, bool]:
    """Serves a checkpoint until a signal ends it.

    Returns:
      The number of requests that had been taken and had no answer, and whether all threads ended.
    """
    limits, site = _check_flags()
    from ldl_jax.serve import app, server
    from ldl_jax.serve.meters import Meters
    from ldl_jax.serve.service import Service
    from ldl_jax.serve.workers import AnswerOptions, Workers

    with server.listen(_HOST.value, _PORT.value) as listening:
        predictor, warnings = answering.load(checkpoint, _tell)
        answering.interval_notes(predictor, "", _tell)
        of, stand_in = (predictor.space, predictor.value_alone), predictor.stand_in
        asked = answers.check_asked(_AT_LEAST.value, _WIDTH.value, *of, stand_in=stand_in)
        if fault := answering.older(predictor):
            raise ValueError(fault)
        decoders = answering.decoders(_MEGAPIXELS) or min(_DECODERS, os.cpu_count() or 1)
        alignment = answering.alignment(predictor, _tell)
        detector, coverage = answering.detector(), answering.COVERAGE.value
        meters = Meters()
        options = AnswerOptions(detector, alignment, coverage, decoders, asked)
        workers = Workers(predictor, options, limits, meters)
        service = Service(workers, limits, meters, warnings)
        if server.is_open(listening.getsockname()[0]):
            _tell(
                f"warning: whoever reaches {_HOST.value} may ask: there is no password and no "
                "encryption; see docs/server.md for a proxy before it"
            )
        _show(f"listening at {server.url(listening)}; no picture is kept or logged")
        workers.start()
        threading.Thread(target=_show_ready, args=(workers, time.monotonic()), daemon=True).start()
        running = server.Server(app.build(service, site), service)
        ended = running.answer(listening)
    _show("stopped")
    return running.unanswered, ended


def _check_flags() -> tuple[Limits, Path | None]:
    """Checks the flags before anything is read; returns the limits and the page's folder.

    Raises:
      ValueError: a flag has a wrong value, or a package is missing; the message has all faults.
    """
    values: dict[str, Any] = {name: flag.value for name, flag in _LIMITS.items()}
    wrong = [f"--{fault.replace('_', '-', 1)}" for fault in faults(values)]
    if not 0 <= _PORT.value < 2**16:
        wrong.append(f"--port: expected 0 to 65535, got {_PORT.value}")
    site = None if _SITE.value is None else Path(from_home(_SITE.value))
    if site is not None and not (site / "index.html").is_file():
        wrong.append(
            f"--site: expected a folder with an index.html, got {_SITE.value}; one is made by "
            "python -m launch.export RUN --to=FOLDER/"
        )
    try:
        answering.check()
    except ValueError as error:
        wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
    for name in _NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            install = "install it with: pip install 'ldl_jax[serve]'"
            raise ValueError(f"a server needs the package {name} ({error}); {install}") from error
    return Limits(**values), site


def _tell(line: str) -> None:
    sys.stderr.write(f"{plain_lines(line)}\n")


def _show(line: str) -> None:
    print(plain_lines(line), flush=True)


def _show_ready(workers: Workers, begun: float) -> None:
    """Says when the programs are compiled, and what the first answer of one shows."""
    if workers.wait():
        answering.tell_value_alone(workers.predictor, _tell)
        _show(f"ready after {time.monotonic() - begun:.1f} s")


def cli() -> None:
    """Runs the command, for `python -m launch.serve` and for `ldl-serve`."""
    start(main)


if __name__ == "__main__":
    cli()
