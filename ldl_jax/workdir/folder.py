"""The folder of a run: its config, its metrics, and which generations are finished.

config.json                the resolved config and the data's fingerprint
metrics.jsonl              one row for each logged step and each evaluation
events/                    the same rows, and the speed, for TensorBoard
checkpoints/generation_1/  Orbax checkpoints of training, by step
predictions/generation_1.csv
generation_1.json          the results of a finished generation, written last
analysis/generation_1.json errors by label and by group, confusions, calibration
split.json                 which picture is in which part, with the split's hash
trackers.json              where trackers have this run, if it is tracked
started.json               the commands that it was started by, and the software's versions
features/                  those of a frozen network, kept for this run and others of its plan
backbone.safetensors       that network
prints.npz                 the pictures' hashes, for the auditor of the next start
figures/
logs/                      what workers printed, where some trained the runs

A run that is repeated on the same machine writes the same rows.
"""

import contextlib
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from ldl_jax import processes
from ldl_jax.files import LOCK, is_partial, link, lock, remove_partial, write, write_json
from ldl_jax.workdir.events import Events
from ldl_jax.workdir.reading import (
    KINDS,
    Row,
    WorkdirError,
    check_links,
    differences,
    read_config,
    read_results,
    read_rows,
)

# Raises WorkdirError where a folder's description, the second, is not of the run of the third.
Admit = Callable[[Path, dict[str, Any], dict[str, Any]], None]
# Takes a row of metrics.jsonl, and the speed in images/s.
Take = Callable[[Row, float | None], None]
_LARGE = 2**20  # bytes of a file that is worth sharing
_SEEN = 30.0  # seconds that a network file system may take to show a file to another host
LOGS = "logs"  # of workers, below the folder of all runs
SECRET = ".secret"  # by which the processes of a run know one another while they meet
_MEETING = ".meeting"  # where process 0 leaves a word for the others
# What a new run may find: from a process that was killed at its start, and from earlier stages.
_STARTED = (LOCK, _MEETING, SECRET, LOGS, "stages", "features")


def same(path: Path, saved: dict[str, Any], new: dict[str, Any]) -> None:
    """Admits a run whose description is the folder's, and no other."""
    if changes := differences(saved, new):
        raise WorkdirError(f"workdir: {path} holds another run ({'; '.join(changes)})")


class Workdir:
    """The folder of one run, locked while it is open; a context manager."""

    def __init__(
        self,
        path: Path,
        description: Mapping[str, object],
        admit: Admit = same,
        *,
        events: bool = True,
    ) -> None:
        """Takes a new or empty folder, or one that holds this run.

        Where there are several processes, all open the folder, process 0 writes, and the others
        read what they need.

        Args:
          path: the folder.
          description: the resolved config and the data's fingerprint, of JSON's types.
          admit: as in `check`.
          events: write the rows for TensorBoard, too.

        Raises:
          WorkdirError: the folder holds something else, another run, or is in use, or a process
            does not see what process 0 writes there.
        """
        self.path = path
        self._locked = contextlib.ExitStack()
        self._files: tuple[TextIO, Events | None] | None = None
        self._with_events = events
        self._takers: list[Take] = []
        self._here: tuple[int, int] | None = None
        if processes.primary():
            check(path, description, admit)
            path.mkdir(parents=True, exist_ok=True)
            try:
                self._locked.enter_context(lock(path))
            except TimeoutError:
                raise WorkdirError(f"workdir: {path} is in use by a running job") from None
            for folder in ("", "predictions", "analysis", "figures"):
                remove_partial(path / folder)
            write_json(path / "config.json", description)
            self._here = _identity(path)
        self._meet()

    def __enter__(self) -> "Workdir":
        return self

    def __exit__(self, *error: object) -> None:
        with self._locked:  # which is left whatever the files say
            self._close()

    def checkpoints(self, generation: int) -> Path:
        """Returns the folder of a generation's checkpoints."""
        return self.path / "checkpoints" / f"generation_{generation}"

    def predictions(self, generation: int) -> Path:
        """Returns the file of a generation's predictions."""
        return self.path / "predictions" / f"generation_{generation}.csv"

    def results(self) -> list[Row]:
        """Reads the results of the finished generations, from the first.

        All processes call it together, and get what process 0 reads.
        """
        return processes.broadcast(read_results(self.path) if processes.primary() else None)

    def finish(self, generation: int, results: Row) -> None:
        """Marks a generation as finished."""
        if processes.primary():
            self._check_here()
            write_json(self._marker(generation), results)

    def unfinish(self, generation: int) -> None:
        """Removes the mark of a finished generation, which is to be trained further."""
        if processes.primary():
            self._check_here()
            self._marker(generation).unlink(missing_ok=True)

    def start_metrics(self, generation: int, step: int) -> None:
        """Opens metrics.jsonl at a checkpoint, and drops the rows after it."""
        if not processes.primary():
            return
        self._check_here()
        path = self.path / "metrics.jsonl"
        end = (generation, step, KINDS.index("validation"))
        rows = [row for row in read_rows(path) if _position(row) <= end]
        write(path, "".join(json.dumps(row) + "\n" for row in rows))
        self._close()
        shown = max((row["total_step"] for row in rows), default=0)
        events = None
        if self._with_events:
            events = Events(self.path / "events", shown + 1, f".{generation}")
        self._files = (path.open("a"), events)

    def write(self, row: Row, speed: float | None = None) -> None:
        """Appends a row; the speed in images/s differs each time and goes to others than this file.

        What takes rows gets it when it is in the file.
        """
        if not processes.primary():
            return
        assert self._files is not None, "start_metrics comes first"
        metrics, events = self._files
        self._check_here(metrics)
        metrics.write(json.dumps(row) + "\n")
        metrics.flush()
        if events is not None:
            events.row(row, speed)
        for take in self._takers:
            take(row, speed)

    def listen(self, take: Take) -> None:
        """Has a function take each row that is written from now on, and its speed or None.

        What it raises ends the run.
        """
        self._takers.append(take)

    def keep(self, name: str, content: bytes, *, shared: bool = False) -> None:
        """Writes a file, all of it or none, unless it has this content already.

        `shared` looks among the runs beside this one for a large file of the same content, which
        then lies on the disk once, under both names.
        """
        path = self.path / name
        if not processes.primary():
            return
        self._check_here()
        if _has(path, content):
            return
        beside = self.path.parent.glob(f"*/{name}") if shared and len(content) >= _LARGE else ()
        regular = (file for file in beside if not file.is_symlink())
        same = next((file for file in regular if _has(file, content)), None)
        if same is None or not link(path, same):
            write(path, content)

    def keep_analysis(self, generation: int, content: Mapping[str, object]) -> None:
        """Writes the analysis of a generation's predictions."""
        self._check_here()
        write_json(self.path / "analysis" / f"generation_{generation}.json", content)

    def rows(self) -> list[Row]:
        """Reads all rows of metrics.jsonl."""
        return read_rows(self.path / "metrics.jsonl")

    def _check_here(self, metrics: TextIO | None = None) -> None:
        """Raises WorkdirError where the folder or its files are no longer those that were opened.

        Only the process that writes asks.
        """
        here = _identity(self.path) == self._here and (self.path / "config.json").is_file()
        if here and metrics is not None:
            state = os.fstat(metrics.fileno())
            here = _identity(self.path / "metrics.jsonl") == (state.st_dev, state.st_ino)
        if not here:
            raise WorkdirError(
                f"workdir: {self.path} was removed or replaced while this run was writing to it; "
                "what it held is lost, and nothing more is written there"
            )

    def _close(self) -> None:
        files: Sequence[TextIO | Events | None] = self._files or ()
        self._files = None
        with contextlib.ExitStack() as closing:  # all of them, though one may fail
            for file in files:
                if file is not None:
                    closing.callback(file.close)

    def _marker(self, generation: int) -> Path:
        return self.path / f"generation_{generation}.json"

    def _meet(self) -> None:
        """Waits until all processes see the folder, by a word that process 0 leaves in it."""
        if processes.count() == 1:
            return
        word = processes.broadcast(uuid.uuid4().hex)
        path, end = self.path / _MEETING, time.monotonic() + _SEEN
        if processes.primary():
            write(path, word)
        processes.all_gather(None)
        while not (path.exists() and path.read_text() == word):
            if time.monotonic() > end:
                raise WorkdirError(
                    f"workdir: process {processes.index()} does not see what process 0 writes to "
                    f"{self.path}; give a folder on a file system that all processes share"
                )
            time.sleep(0.1)
        processes.all_gather(None)
        if processes.primary():
            path.unlink()


def check(path: Path, description: Mapping[str, object], admit: Admit = same) -> None:
    """Checks that a folder can take the run of a description, or go on with it.

    Args:
      path: the folder.
      description: the run's.
      admit: compares the folder's own description with the run's, both of JSON's types.

    Raises:
      WorkdirError: it holds something else, another run, links that lead out of it, or files that
        are damaged.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise WorkdirError(f"workdir: {path} is a file; give a new folder")
    check_links(path)
    if not (path / "config.json").exists():
        if any(item.name not in _STARTED and not is_partial(item) for item in path.iterdir()):
            raise WorkdirError(f"workdir: {path} holds other files and no run; give a new folder")
        return
    admit(path, read_config(path), json.loads(json.dumps(description)))
    read_results(path)
    read_rows(path / "metrics.jsonl")


def _has(path: Path, content: bytes) -> bool:
    """Returns whether a file is there and has this content."""
    same_size = path.is_file() and path.stat().st_size == len(content)
    return same_size and path.read_bytes() == content


def _identity(path: Path) -> tuple[int, int] | None:
    """Returns what tells a file or folder from others of its name; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _position(row: Row) -> tuple[int, int, int]:
    return row["generation"], row["step"], KINDS.index(row["kind"])
