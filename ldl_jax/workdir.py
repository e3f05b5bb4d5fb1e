"""A run's folder: its config, its metrics, and which generations are finished.

config.json                the resolved config and the data's fingerprint
metrics.jsonl              one row a logged step and an evaluation; the same for the same run
events/                    the same rows, and the speed, for TensorBoard
checkpoints/generation_1/  Orbax checkpoints of training, by step
predictions/generation_1.csv
generation_1.json          written last: the generation is finished, and its results
analysis/generation_1.json errors by label and by group, confusions, calibration
split.json                 which picture is in which part, with the split's hash
prints.npz                 what the auditor knows of the pictures, for the next start
figures/
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from tensorboardX import SummaryWriter

from ldl_jax import processes

Row = dict[str, Any]
Complete = Callable[[dict[str, Any]], dict[str, Any]]
# Rows of one step in the order they are written; a checkpoint is saved after "validation".
KINDS = ("train", "fault", "validation", "test")
# A finished chain may be given more generations: those before are the same.
# And a checkpoint of any number of devices, with the weights split or not, goes on on any other.
MAY_CHANGE = ("chain.generations", "keep", "mesh")
_SEEN = 30.0  # seconds that a network file system may take to show a file to another host
# What a kill at the very start leaves, and what runs before this one have left.
_STARTED = (".lock", "config.partial", "stages")


class WorkdirError(ValueError):
    """A folder that cannot take this run; the message says why and what to do."""


class Workdir:
    """The folder of one run, locked while it is open; a context manager."""

    def __init__(
        self, path: Path, description: Mapping[str, Any], complete: Complete = dict
    ) -> None:
        """Takes a new or empty folder, or one that holds a run of the same description.

        Of several processes, all open it, process 0 writes, and the others read what they need.

        Args:
          path: the folder.
          description: what makes the run what it is, of JSON's types.
          complete: as in `check`.

        Raises:
          WorkdirError: the folder holds something else, another run, or is in use, or a process
            does not see what process 0 writes there.
        """
        self.path = path
        self._lock: TextIO | None = None
        self._metrics: TextIO | None = None
        self._events: SummaryWriter | None = None
        if processes.primary():
            check(path, description, complete)
            path.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
            write_json(path / "config.json", description)
        self._meet()

    def __enter__(self) -> Workdir:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        if self._lock is not None:
            self._lock.close()

    def checkpoints(self, generation: int) -> Path:
        """The folder of a generation's checkpoints."""
        return self.path / "checkpoints" / f"generation_{generation}"

    def predictions(self, generation: int) -> Path:
        """The file of a generation's predictions."""
        return self.path / "predictions" / f"generation_{generation}.csv"

    def results(self) -> list[Row]:
        """The results of the finished generations, from the first; all processes ask together."""
        found: list[Row] = processes.broadcast(
            read_results(self.path) if processes.primary() else None
        )
        return found

    def finish(self, generation: int, results: Row) -> None:
        """Marks a generation as finished."""
        if processes.primary():
            write_json(self._marker(generation), results)

    def unfinish(self, generation: int) -> None:
        """Takes the mark back: the generation is to be trained on."""
        if processes.primary():
            self._marker(generation).unlink(missing_ok=True)

    def start_metrics(self, generation: int, step: int) -> None:
        """Opens metrics.jsonl at a checkpoint: rows after it will be written anew."""
        if not processes.primary():
            return
        path = self.path / "metrics.jsonl"
        kept = [row for row in read_rows(path) if _before(row, generation, step)]
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in kept))
        partial.replace(path)
        self._close()
        self._metrics = path.open("a")
        shown = max((row["total_step"] for row in kept), default=0)
        self._events = SummaryWriter(str(self.path / "events"), purge_step=shown + 1)

    def write(self, row: Row, speed: float | None = None) -> None:
        """Appends a row; `speed` in images/s goes to TensorBoard alone, as it is never the same."""
        if not processes.primary():
            return
        assert self._metrics is not None, "start_metrics comes first"
        assert self._events is not None
        self._metrics.write(json.dumps(row) + "\n")
        self._metrics.flush()
        for name, value in row.items():
            if isinstance(value, float):
                self._events.add_scalar(f"{row['kind']}/{name}", value, row["total_step"])
        if speed is not None:
            self._events.add_scalar("train/images_per_second", speed, row["total_step"])

    def keep(self, name: str, content: bytes) -> None:
        """Writes a file, all of it or none; leaves one alone that is the same."""
        path = self.path / name
        if not processes.primary():
            return
        if path.is_file() and path.read_bytes() == content:
            return
        partial = path.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(path)

    def keep_analysis(self, generation: int, content: Mapping[str, Any]) -> None:
        """Writes what a generation's predictions were found to be like."""
        path = self.path / "analysis" / f"generation_{generation}.json"
        path.parent.mkdir(exist_ok=True)
        write_json(path, content)

    def rows(self) -> list[Row]:
        """All rows of metrics.jsonl."""
        return read_rows(self.path / "metrics.jsonl")

    def _close(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
        if self._events is not None:
            self._events.close()

    def _marker(self, generation: int) -> Path:
        return self.path / f"generation_{generation}.json"

    def _meet(self) -> None:
        """Waits until all processes see the folder, by a word that process 0 leaves in its lock."""
        if processes.count() == 1:
            return
        word = processes.broadcast(uuid.uuid4().hex)
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.write(word)
            self._lock.flush()
        processes.all_gather(None)
        lock, end = self.path / ".lock", time.monotonic() + _SEEN
        while not (lock.exists() and lock.read_text() == word):
            if time.monotonic() > end:
                raise WorkdirError(
                    f"workdir: process {processes.index()} does not see what process 0 writes to "
                    f"{self.path}; give a folder on a file system that all processes share"
                )
            time.sleep(0.1)
        processes.all_gather(None)

    def _locked(self) -> TextIO:
        lock = (self.path / ".lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of when the process ends
        except OSError:
            lock.close()
            raise WorkdirError(f"workdir: {self.path} is in use by a running job") from None
        return lock


def check(path: Path, description: Mapping[str, Any], complete: Complete = dict) -> None:
    """Whether a folder can take the run of a description, or go on with it.

    Args:
      path: the folder.
      description: of the run; one without "resolved" is compared by its config alone.
      complete: brings the folder's own description into today's form before it is compared.

    Raises:
      WorkdirError: it holds something else, or another run.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise WorkdirError(f"workdir: {path} is a file; give a new folder")
    if not (path / "config.json").exists():
        if any(item.name not in _STARTED for item in path.iterdir()):
            raise WorkdirError(f"workdir: {path} holds other files and no run; give a new folder")
        return
    saved, new = complete(read_json(path / "config.json")), json.loads(json.dumps(description))
    if "resolved" not in new:
        saved.pop("resolved", None)
    changes = [text for text in differences(saved, new) if not text.startswith(MAY_CHANGE)]
    # What follows from the config is shown where the config itself is the same.
    changes = [text for text in changes if not text.startswith("resolved.")] or changes
    if changes:
        raise WorkdirError(
            f"workdir: {path} holds another config's run ({'; '.join(changes)}); "
            "give another --workdir, or that config again to go on"
        )


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """What differs between two nested dicts, as "a.b: old -> new"."""
    if isinstance(old, dict) and isinstance(new, dict):
        prefix = f"{name}." if name else ""
        return [
            text
            for key in sorted(old.keys() | new.keys())
            for text in differences(old.get(key), new.get(key), prefix + key)
        ]
    return [] if old == new else [f"{name}: {old!r} -> {new!r}"]


def last_checkpoint(path: Path) -> Path | None:
    """The newest whole checkpoint of the run in `path`."""
    found = [p for p in path.glob("checkpoints/generation_*/*") if p.name.isdigit()]
    return max(found, key=lambda p: (int(p.parent.name.split("_")[1]), int(p.name)), default=None)


def read_results(path: Path) -> list[Row]:
    """The results of the finished generations of the run in `path`, from the first."""
    found: list[Row] = []
    while (marker := path / f"generation_{len(found) + 1}.json").exists():
        found.append(read_json(marker))
    return found


def read_rows(path: Path) -> list[Row]:
    """The rows of a metrics.jsonl; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def read_json(path: Path) -> Any:
    """A JSON file's content.

    Raises:
      WorkdirError: it is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise WorkdirError(f"{path}: is not JSON ({error})") from None


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, all of it or none."""
    partial = path.with_suffix(".partial")
    with partial.open("w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _before(row: Row, generation: int, step: int) -> bool:
    place = (row["generation"], row["step"], KINDS.index(row["kind"]))
    return place <= (generation, step, KINDS.index("validation"))
