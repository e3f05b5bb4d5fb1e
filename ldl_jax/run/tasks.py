"""Does the units of work of plans, sweeps and benchmarks, in the process of a worker.

Data, features and compiled programs stay from one unit to the next.
"""

import atexit
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags
from rich.console import Console

from ldl_jax.processes.memory import keep_freed
from ldl_jax.run import background, devices, jobs, sweeping
from ldl_jax.run.command import quiet
from ldl_jax.run.compile_cache import compile_cache
from ldl_jax.run.config import Config
from ldl_jax.run.data import Reader
from ldl_jax.run.plan import Run
from ldl_jax.run.progress import teller
from ldl_jax.run.shared import Shared
from ldl_jax.run.smoke import quickly_compiled
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.log import NotFiniteError
from ldl_jax.workers import UnitStopped

_WIDTH = 160  # columns of a log
_read = Reader()
_shared: dict[str, Shared] = {}  # of the newest units of one kind


def prepare(command: Sequence[str], obeyed: Sequence[str], cache: str, *, smoke: bool) -> None:
    """Makes this process one that trains, as the command that wants it would be.

    Args:
      command: the driver's, for the record of how a run was started.
      obeyed: flags of it that a worker obeys.
      cache: the folder of compiled programs, "" for none.
      smoke: whether programs are to be compiled quickly.

    Raises:
      ValueError: it computes on something else than was asked for.
    """
    sys.argv = [*command]
    flags.FLAGS([command[0], *obeyed])
    quiet()
    keep_freed()
    background.one_line_each()
    opened = contextlib.ExitStack()
    opened.enter_context((quickly_compiled if smoke else compile_cache)(cache))
    atexit.register(opened.close)
    devices.check(teller(_console()))


def train_run(path: Path, run: Run) -> None:
    """Trains what is left of a run of a plan, in the workdir of all runs."""
    with _stopping() as interrupt:
        jobs.train(path, jobs.check(path, run, _read), _console(), interrupt, "")


def train_points(
    path: Path, config: Config, *, shown: bool, drawn: Sequence[str], kind: str
) -> None:
    """Trains what is left of some runs of a sweep.

    Args:
      path: the sweep's folder.
      config: the sweep of these runs alone.
      shown: whether their errors are analysed, and figures drawn.
      drawn: settings that another run draws the figures of.
      kind: units of another kind share nothing with this one.
    """
    if kind not in _shared:
        _shared.clear()
        _shared[kind] = Shared()
    with _stopping() as interrupt:
        checked = sweeping.check(config, path, _read, _shared[kind])
        sweeping.train(checked, _console(), interrupt, shown=shown, drawn=drawn)


@contextlib.contextmanager
def _stopping() -> Iterator[Interrupt]:
    """Notes a signal, which stops a run after a step, and says so in the worker's words."""
    try:
        with Interrupt() as interrupt:
            yield interrupt
    except Interrupted as stop:
        raise UnitStopped(str(stop)) from None
    except NotFiniteError as error:
        raise ValueError(str(error)) from error


def _console() -> Console:
    """Returns a console that writes to the log of the unit."""
    return Console(file=sys.stdout, width=_WIDTH)
