"""Makes a dataset ready once: cuts out and encodes its pictures, in files quick to read."""

import contextlib
import dataclasses
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ldl_jax import extras
from ldl_jax.data.datasets import prepared_folder, prepared_index
from ldl_jax.data.datasets.folders import left_notes
from ldl_jax.data.datasets.prepared_folder import Json
from ldl_jax.data.detect import choice
from ldl_jax.data.prepare import chunk as prepare_chunk
from ldl_jax.data.prepare import work
from ldl_jax.data.prepare.chunk import UNREADABLE, ChunkFiles, Left, PictureForm
from ldl_jax.data.prepare.work import Chunk
from ldl_jax.data.records import DataError, Records
from ldl_jax.files import whole

CHUNK = 512  # pictures; an eighth of them where a detector is needed, which takes longer
SHARD = 128 << 20  # bytes of pictures a shard; a chunk with more is a shard of its own

# Called with the name of a stage, how many pictures are done, and of how many.
Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Summary:
    """Says how a preparation ended."""

    folder: Path  # of the TFDS dataset
    pictures: int  # how many it has
    size: int  # bytes of its files
    left: tuple[str, ...]  # a line for each reason to leave pictures out
    before: int  # how many of the pictures were done already when it started


def prepare(
    records: Records,
    out: Path,
    form: PictureForm,
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
      form: how each picture is made ready.
      unreadable: "stop" at the first picture that cannot be read, or "skip" and count them.
      workers: processes; 0 for one a CPU core, 1 for this one.
      beam: options of Apache Beam pipelines that do it instead, as ["--runner=DirectRunner"].
      command: the user's command, for messages.
      progress: called as the work goes on.

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
            before = job.make_chunks(parts, workers, beam)
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
    """Runs the stages of a preparation that is not done yet."""

    records: Records
    form: PictureForm
    chunk: int
    unreadable: str
    progress: Progress

    @property
    def indices(self) -> range:
        """The indices of the chunks."""
        return range(-(-len(self.records) // self.chunk))

    def rows(self, index: int) -> range:
        """Returns the rows of a chunk."""
        return range(index * self.chunk, min((index + 1) * self.chunk, len(self.records)))

    def make_chunks(self, folder: Path, workers: int, beam: Sequence[str] | None) -> int:
        """Writes the chunks that are missing; returns how many pictures were done before."""
        done = {index for index in self.indices if _is_whole(folder, index)}
        for index in sorted(done):
            self._stop_at(prepare_chunk.left_out(prepare_chunk.files_of(folder, index)))
        count = sum(len(self.rows(index)) for index in done)
        before, total = count, len(self.records)
        todo = (self._chunk(index) for index in self.indices if index not in done)
        self.progress("preparing", count, total)
        if beam is not None:
            if len(done) < len(self.indices):
                with self._watched(folder):
                    work.through_beam(list(todo), folder, self.form, beam)
            return before
        results = work.over_cores(todo, folder, self.form, workers or os.cpu_count() or 1)
        with contextlib.closing(results):
            for pictures, left in results:
                self._stop_at(left)
                count += pictures
                self.progress("preparing", count, total)
        return before

    def write(self, folder: Path, out: Path, plan: Json, beam: Sequence[str] | None) -> None:
        """Writes the dataset from the chunks' files."""
        from ldl_jax.data.prepare import builder as prepare_builder  # TFDS is an extra

        chunks = [prepare_chunk.files_of(folder, index) for index in self.indices]
        left = [picture for files in chunks for picture in prepare_chunk.left_out(files)]
        self._stop_at(left)
        records = self._kept(left)
        shards = _shards(chunks)
        count = 0

        def advance() -> None:
            nonlocal count
            count += 1
            if count % 256 == 0 or count == len(records):
                self.progress("writing", count, len(records))

        def finish(dataset: Path) -> None:
            with whole(dataset / prepared_folder.INDEX) as file:
                prepared_index.save(file, records)
            about = {
                "version": prepared_folder.VERSION,
                "pictures": len(records),
                "shards": _listed(dataset, shards),
                "left": list(_left_lines(left)),
                "plan": {key: plan[key] for key in plan if key != "command"},
            }
            prepared_folder.write_json(dataset / prepared_folder.ABOUT, about)

        told = advance if beam is None else None
        builder = prepare_builder.Faces(records, shards, out, finish, told)
        prepare_builder.build(builder, folder, beam)

    @contextlib.contextmanager
    def _watched(self, folder: Path) -> Iterator[None]:
        """Tells the progress once a second while others write the chunks."""
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

    def _chunk(self, index: int) -> Chunk:
        rows = self.rows(index)
        return Chunk(index, rows.start, self.records.take(slice(rows.start, rows.stop)))

    def _stop_at(self, left: Sequence[Left]) -> None:
        bad = [picture for picture in left if picture.reason == UNREADABLE]
        if bad and self.unreadable == "stop":
            raise DataError(f"{bad[0].text}; --unreadable=skip leaves such pictures out")

    def _kept(self, left: Sequence[Left]) -> Records:
        keep = np.ones(len(self.records), bool)
        keep[[picture.row for picture in left]] = False
        if not keep.any():
            reasons = "; ".join(_left_lines(left))
            raise DataError(f"{self.records.name}: no picture is left; {reasons}")
        # Taking all rows would copy pictures in memory for nothing.
        records = self.records if keep.all() else self.records.take(np.flatnonzero(keep))
        changes: Json = {"notes": records.notes + _left_lines(left)}
        if self.form.aligned:
            changes["alignment"] = self.form.alignment
        if self.form.aligned or self.form.size:  # landmarks are those of the original picture
            changes |= {"quads": None, "points": None, "boxes": None}
        return dataclasses.replace(records, **changes)


def _check(records: Records, form: PictureForm, unreadable: str, workers: int) -> None:
    for package in ("tensorflow_datasets", "array_record"):
        extras.check(package, "preparing a set", "tfds")
    if unreadable not in ("stop", "skip"):
        raise ValueError(f"unreadable: expected 'stop' or 'skip', got {unreadable!r}")
    if workers < 0:
        raise ValueError(f"workers: expected 0 or more, got {workers}")
    if form.aligned and records.alignment is not None:
        raise DataError(
            f"{records.name}: its pictures are cut out already (by {records.alignment.kind}); "
            "align the originals"
        )
    if records.shares_pictures and not form.aligned:
        raise DataError(
            f"{records.name}: pictures hold several of its faces; cut these out with --align=box, "
            "similarity or quad"
        )
    missing = int(np.count_nonzero(~prepare_chunk.is_given(records, form)))
    if missing:
        try:
            choice.check(form.detector)
        except ValueError as error:
            bare = f"{missing} of {len(records)} pictures come without landmarks"
            raise ValueError(f"{bare}: {error}") from None


def _plan(records: Records, form: PictureForm, chunk: int, command: str) -> Json:
    return {
        "version": prepared_folder.VERSION,
        "dataset": records.name,
        "pictures": len(records),
        "records": prepared_index.fingerprint(records),
        "align": form.alignment.kind,
        "margin": form.alignment.margin,
        **{name: getattr(form, name) for name in ("size", "png", "faces", "detector")},
        "chunk": chunk,
        "command": command,
    }


def _is_whole(folder: Path, index: int) -> bool:
    files = prepare_chunk.files_of(folder, index)
    # The columns are written last; a power cut may still have left them short.
    return files.pictures.exists() and files.columns.exists() and zipfile.is_zipfile(files.columns)


def _shards(chunks: Sequence[ChunkFiles]) -> list[list[ChunkFiles]]:
    """Groups consecutive chunks into shards."""
    shards: list[list[ChunkFiles]] = []
    room = 0
    for files in chunks:
        size = files.pictures.stat().st_size
        if size == 0:
            continue
        if size > room or not shards:
            shards.append([])
            room = SHARD
        shards[-1].append(files)
        room -= size
    return shards


def _listed(dataset: Path, shards: Sequence[Sequence[ChunkFiles]]) -> list[Json]:
    """Lists the shards' files, how many pictures each holds, and its bytes."""
    listed = []
    for index, chunks in enumerate(shards):
        name = prepared_folder.shard(index, len(shards))
        count = sum(prepare_chunk.count(files) for files in chunks)
        listed.append({"file": name, "pictures": count, "bytes": (dataset / name).stat().st_size})
    return listed


def _left_lines(left: Sequence[Left]) -> tuple[str, ...]:
    """Returns a line for each reason: how many pictures it leaves out, and the first."""
    by_reason: dict[str, list[str]] = {}
    for picture in left:
        by_reason.setdefault(picture.reason, []).append(picture.text)
    return left_notes(by_reason)
