"""Opens the trackers of a run, and tells them how it ended."""

import contextlib
import functools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ldl_jax import extras, processes, trackers, workdir
from ldl_jax.factories import imported
from ldl_jax.run.config import Config, ConfigError
from ldl_jax.run.log_section import FILES
from ldl_jax.train import generations
from ldl_jax.train.interrupt import Interrupted
from ldl_jax.train.log import NotFiniteError
from ldl_jax.workdir import Row, Workdir, WorkdirError

NAME = "trackers.json"  # in a run's folder: of each tracker the run's id there, and its status
# Seconds that trackers have at the end of a run; a stopped one may be killed soon.
_PATIENCE = {"finished": 60.0, "pruned": 60.0, "diverged": 60.0}
_HURRY = 10.0
Known = dict[str, dict[str, str]]
MakeWriter = Callable[[], trackers.RunWriter]


class PrunedError(Exception):
    """A trial of a search is given up, as others did better by then."""


def check(config: Config, folder: Path, key: str = "") -> None:
    """Checks that the trackers of a run can be opened, before anything is written.

    Raises:
      ConfigError: a tracker's package is missing, or an own one cannot be made; all of them.
      WorkdirError: the folder's list of trackers is damaged.
    """
    faults = []
    for name in _names(config):
        try:
            _maker(name)
        except ValueError as error:
            faults.append(f"{key}{error}")
    if faults:
        raise ConfigError("; and ".join(faults))
    read(folder)


def read(folder: Path) -> Known:
    """Returns what is known of a run's trackers, by name: "id" and "status".

    Raises:
      WorkdirError: the file is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    content = workdir.read_json(path)
    right = isinstance(content, dict) and all(
        isinstance(known, dict) and all(isinstance(x, str) for x in known.values())
        for known in content.values()
    )
    if not right:
        raise WorkdirError(
            f"{path}: expected the id and status of trackers by name; mend it, or delete it for "
            "new runs there"
        )
    return {name: dict(known) for name, known in content.items()}


@contextlib.contextmanager
def tracked(
    opened: Workdir,
    config: Config,
    description: Mapping[str, Any],
    root: Path,
    log: Callable[[str], None],
) -> Iterator[None]:
    """Sends the rows of a run to its trackers while it is entered, and its status at the end.

    A tracker that has the run from an earlier start goes on with it; one that has not gets the
    rows of before too. A finished run is sent to those that did not see its end.

    Args:
      opened: the run's folder.
      config: of the run.
      description: its resolved config.
      root: the folder of all runs of a sweep or of folds; the run's own where it is alone.
      log: takes lines for the user.
    """
    names = _names(config) if processes.primary() else ()
    known = read(opened.path)
    if _done(opened, config):
        names = tuple(x for x in names if known.get(x, {}).get("status") != "finished")
    if not names:
        yield
        return
    notes = _Notes(opened, known)
    run = _described(config, description, opened.path, root)
    open_trackers = []
    for name in names:
        before = known.get(name, {}).get("id", "")
        told = trackers.TrackedRun(**{**run, "id": before})
        keep = functools.partial(notes.keep, name, "id")
        tracker = trackers.Background(name, _maker(name), told, log, keep)
        for row in () if before else opened.rows():
            tracker.row(trackers.tracked_row(row))
        open_trackers.append((name, tracker))

    def take(row: Row, speed: float | None) -> None:
        for _, tracker in open_trackers:
            tracker.row(trackers.tracked_row(row, speed))

    opened.listen(take)
    ending = trackers.Ending("failed")
    try:
        yield
        ending = _ending(opened, config)
    except BaseException as error:
        ending = trackers.Ending(_status(error), str(error), *_kept(opened))
        raise
    finally:
        for name, tracker in open_trackers:
            if tracker.end(ending, _PATIENCE.get(ending.status, _HURRY)):
                with contextlib.suppress(OSError, ValueError):  # the folder is gone, the disk full
                    notes.keep(name, "status", ending.status)
        notes.close()


class _Notes:
    """Keeps what is known of a run's trackers in its folder; trackers call it from threads."""

    def __init__(self, opened: Workdir, known: Known) -> None:
        self._opened, self._known, self._lock = opened, known, threading.Lock()
        self._closed = False

    def keep(self, name: str, key: str, value: str) -> None:
        """Keeps a value of a tracker."""
        with self._lock:
            if not self._closed:
                self._known.setdefault(name, {})[key] = value
                self._opened.keep(NAME, (json.dumps(self._known, indent=1) + "\n").encode())

    def close(self) -> None:
        """Keeps nothing more: the folder may be another process's soon."""
        with self._lock:
            self._closed = True


def _names(config: Config) -> tuple[str, ...]:
    return tuple(name for name in config.log.to if name not in FILES)


def _maker(name: str) -> MakeWriter:
    """Returns what makes a tracker's writer.

    Raises:
      ValueError: its package is missing, or an own factory cannot be imported or makes no writer.
    """
    if name in trackers.BUILTIN:
        extras.check(name, f"log.to: {name!r}", "tracking")
        return functools.partial(trackers.make, name)
    expected = "a function without arguments that returns a ldl_jax.trackers.RunWriter"
    factory: MakeWriter = imported("log.to", name, expected)
    try:
        writer = factory()
    except Exception as error:  # a user's function may raise anything
        raise ConfigError(f"log.to: {name!r} raised {type(error).__name__}: {error}") from error
    for method in ("start", "rows", "end"):
        if not callable(getattr(writer, method, None)):
            raise ConfigError(
                f"log.to: {name!r} returned a value of type {type(writer).__name__} without the "
                f"method {method!r}, expected a ldl_jax.trackers.RunWriter"
            )
    return factory


def _described(
    config: Config, description: Mapping[str, Any], folder: Path, root: Path
) -> dict[str, Any]:
    """Returns the fields of `TrackedRun`, but for its id."""
    log, title = config.log, root.absolute().name
    inner = "" if folder == root else folder.relative_to(root).as_posix().removeprefix("runs/")
    name = "/".join(filter(None, (log.name, inner))) or title
    plain = json.loads(json.dumps(description))
    names = {"project": log.project, "group": log.group or (title if inner else ""), "name": name}
    return {**names, "tags": log.tags, "config": plain, "folder": folder.absolute()}


def _done(opened: Workdir, config: Config) -> bool:
    return generations.finished(config.chain, workdir.read_results(opened.path))


def _ending(opened: Workdir, config: Config) -> trackers.Ending:
    """Returns the ending of a run that raised nothing; those of a program may be lost alone."""
    if _done(opened, config):
        return trackers.Ending("finished", "", *_kept(opened))
    return trackers.Ending("diverged", "the loss or its gradient was not finite", *_kept(opened))


def _status(error: BaseException) -> str:
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, PrunedError):
        return "pruned"
    return "diverged" if isinstance(error, NotFiniteError) else "failed"


def _kept(opened: Workdir) -> tuple[list[Row], list[Path]]:
    """Returns the results and the figures that a run's folder has; none where it is gone."""
    try:
        figures = sorted((opened.path / "figures").glob("*.png"))
        return workdir.read_results(opened.path), figures
    except (OSError, ValueError):
        return [], []
