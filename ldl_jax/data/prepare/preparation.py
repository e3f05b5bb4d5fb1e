"""A dataset made ready once: its pictures cut out and encoded, in files that are quick to read."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ldl_jax.data import align
from ldl_jax.data.datasets import prepared_folder, prepared_index
from ldl_jax.data.datasets.folders import left_notes
from ldl_jax.data.prepare import builder as prepare_builder
from ldl_jax.data.prepare import chunk as prepare_chunk
from ldl_jax.data.prepare import work
from ldl_jax.data.prepare.chunk import UNREADABLE, Form, Left, Part
from ldl_jax.data.prepare.work import Chunk
from ldl_jax.data.records import DataError, Records
from ldl_jax.files import whole

CHUNK = 512  # pictures a part; where a detector is needed, which takes longer, an eighth of them
SHARD = 128 << 20  # bytes of pictures a shard, or those of one part where they are more

# Told of a stage: what it does, how many pictures are done, and of how many.
Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was prepared.

    Attributes:
      folder: the TFDS dataset.
      pictures: how many it has.
      size: bytes of its files.
      left: what was left out, a line a reason.
      before: how many of the pictures were done already when it started.
    """

    folder: Path
    pictures: int
    size: int
    left: tuple[str, ...]
    before: int


def prepare(
    records: Records,
    out: Path,
    form: Form,
    *,
    unreadable: str = "stop",
    workers: int = 0,
    beam: Sequence[str] | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Summary:
    """Makes a dataset ready in `out`, or goes on where an earlier call was cut off.

    The files are the same whatever the workers and however often it was cut off.

    Args:
      records: the pictures.
      out: a new or empty folder, or one that holds the same preparation, in part or whole.
      form: what is done to each picture.
      unreadable: "stop" at the first picture that cannot be read, or "skip" and count them.
      workers: processes; 0 for one a CPU core, 1 for this one.
      beam: options of the Apache Beam pipelines that do it instead, as ["--runner=DirectRunner"].
      command: what the user gave, for messages.
      progress: is told how far it is.

    Raises:
      ValueError: an argument is out of range.
      DataError: `out` holds something else, or another job is at work there; a picture cannot be
        read; or none is left.
    """
    _check(records, form, unreadable, workers)
    chunk = CHUNK if prepare_chunk.is_given(records, form).all() else CHUNK // 8
    plan = _plan(records, form, chunk, command)
    about = prepared_folder.about(out)
    before = len(records)
    if about is None:
        job = _Job(records, form, chunk, unreadable, progress or (lambda *_: None))
        with prepared_folder.claimed(out, plan) as parts:
            before = job.make_parts(parts, workers, beam)
            job.write(parts, out, plan, beam)
        about = prepared_folder.about(out)
        assert about is not None
    prepared_folder.check_same(out, about["plan"], plan)
    shutil.rmtree(out / prepared_folder.PARTS, ignore_errors=True)
    size = sum(shard["bytes"] for shard in about["shards"])
    folder = prepared_folder.dataset(out)
    return Summary(folder, about["pictures"], size, tuple(about["left"]), before)


@dataclasses.dataclass(frozen=True)
class _Job:
    """The stages of a preparation that is not done yet."""

    records: Records
    form: Form
    chunk: int
    unreadable: str
    progress: Progress

    @property
    def numbers(self) -> range:
        """Of the chunks."""
        return range(-(-len(self.records) // self.chunk))

    def rows(self, number: int) -> slice:
        """Of a chunk."""
        return slice(number * self.chunk, min((number + 1) * self.chunk, len(self.records)))

    def make_parts(self, folder: Path, workers: int, beam: Sequence[str] | None) -> int:
        """Writes the parts that are not there yet; how many pictures those that are there hold."""
        done = {number for number in self.numbers if _is_whole(folder, number)}
        for number in sorted(done):
            self._stop_at(prepare_chunk.left_out(prepare_chunk.part(folder, number)))
        count = sum(self._length(number) for number in done)
        before, total = count, len(self.records)
        todo = (self._chunk(number) for number in self.numbers if number not in done)
        self.progress("preparing", count, total)
        if beam is not None:
            if len(done) < len(self.numbers):
                with self._watched(folder):
                    work.through_beam(list(todo), folder, self.form, beam)
            return before
        made = work.over_cores(todo, folder, self.form, workers or os.cpu_count() or 1)
        with contextlib.closing(made):
            for pictures, left in made:
                self._stop_at(left)
                count += pictures
                self.progress("preparing", count, total)
        return before

    def write(
        self, folder: Path, out: Path, plan: dict[str, Any], beam: Sequence[str] | None
    ) -> None:
        """Writes the dataset from the parts."""
        parts = [prepare_chunk.part(folder, number) for number in self.numbers]
        left = [one for part in parts for one in prepare_chunk.left_out(part)]
        self._stop_at(left)
        records = self._kept(left)
        shards = _shards(parts)
        count = 0

        def advance() -> None:
            nonlocal count
            count += 1
            if count % 256 == 0 or count == len(records):
                self.progress("writing", count, len(records))

        def finish(place: Path) -> None:
            with whole(place / prepared_folder.INDEX) as file:
                prepared_index.save(file, records)
            about = {
                "version": prepared_folder.VERSION,
                "pictures": len(records),
                "shards": _listed(place, shards),
                "left": list(_left_lines(left)),
                "plan": {key: plan[key] for key in plan if key != "command"},
            }
            prepared_folder.write_json(place / prepared_folder.ABOUT, about)

        builder = prepare_builder.Faces(
            records, shards, out, finish, None if beam is not None else advance
        )
        prepare_builder.build(builder, folder, beam)

    @contextlib.contextmanager
    def _watched(self, folder: Path) -> Iterator[None]:
        """While others write parts, tells the progress once a second."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(1):
                count = self.chunk * sum(1 for _ in folder.glob("*.npz"))
                self.progress("preparing", min(count, len(self.records)), len(self.records))

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _chunk(self, number: int) -> Chunk:
        rows = self.rows(number)
        return Chunk(number, rows.start, self.records.take(rows))

    def _length(self, number: int) -> int:
        rows = self.rows(number)
        return int(rows.stop - rows.start)

    def _stop_at(self, left: Sequence[Left]) -> None:
        bad = [one for one in left if one.reason == UNREADABLE]
        if bad and self.unreadable == "stop":
            raise DataError(f"{bad[0].text}; --unreadable=skip leaves such pictures out")

    def _kept(self, left: Sequence[Left]) -> Records:
        keep = np.ones(len(self.records), bool)
        keep[[one.row for one in left]] = False
        if not keep.any():
            raise DataError(
                f"{self.records.name}: no picture is left; {'; '.join(_left_lines(left))}"
            )
        # Pictures in memory are not copied for nothing.
        kept = self.records if keep.all() else self.records.take(np.flatnonzero(keep))
        kept = dataclasses.replace(kept, notes=kept.notes + _left_lines(left))
        if self.form.aligned:
            kept = dataclasses.replace(kept, alignment=self.form.alignment)
        if self.form.aligned or self.form.size:  # places are those of the original picture
            kept = dataclasses.replace(kept, quads=None, points=None)
        return kept


def _check(records: Records, form: Form, unreadable: str, workers: int) -> None:
    if unreadable not in ("stop", "skip"):
        raise ValueError(f"unreadable: expected 'stop' or 'skip', got {unreadable!r}")
    if workers < 0:
        raise ValueError(f"workers: expected 0 or more, got {workers}")
    if form.aligned and records.alignment is not None:
        raise DataError(
            f"{records.name}: its pictures are cut out already (by {records.alignment.kind}); "
            "align the originals"
        )
    missing = int(np.count_nonzero(~prepare_chunk.is_given(records, form)))
    if missing:
        try:
            align.check_mtcnn()
        except ValueError as error:
            raise ValueError(
                f"{missing} of {len(records)} pictures come without landmarks: {error}"
            ) from None


def _plan(records: Records, form: Form, chunk: int, command: str) -> dict[str, Any]:
    return {
        "version": prepared_folder.VERSION,
        "dataset": records.name,
        "pictures": len(records),
        "records": prepared_index.fingerprint(records),
        "align": form.alignment.kind,
        "margin": form.alignment.margin,
        "size": form.size,
        "png": form.png,
        "faces": form.faces,
        "chunk": chunk,
        "command": command,
    }


def _is_whole(folder: Path, number: int) -> bool:
    part = prepare_chunk.part(folder, number)
    # The index is written last; a power cut may still have left it short.
    return part.pictures.exists() and part.columns.exists() and zipfile.is_zipfile(part.columns)


def _shards(parts: Sequence[Part]) -> list[list[Part]]:
    """Parts in a row that are a shard together."""
    shards: list[list[Part]] = []
    room = 0
    for part in parts:
        size = part.pictures.stat().st_size
        if size == 0:
            continue
        if size > room or not shards:
            shards.append([])
            room = SHARD
        shards[-1].append(part)
        room -= size
    return shards


def _listed(place: Path, shards: Sequence[Sequence[Part]]) -> list[dict[str, Any]]:
    """The shards' files, how many pictures each holds, and its bytes."""
    listed = []
    for number, parts in enumerate(shards):
        name = prepared_folder.shard(number, len(shards))
        count = sum(prepare_chunk.count(part) for part in parts)
        listed.append({"file": name, "pictures": count, "bytes": (place / name).stat().st_size})
    return listed


def _left_lines(left: Sequence[Left]) -> tuple[str, ...]:
    """A line a reason: how many pictures it leaves out, and which the first is."""
    by_reason: dict[str, list[str]] = {}
    for one in left:
        by_reason.setdefault(one.reason, []).append(one.text)
    return left_notes(by_reason)
