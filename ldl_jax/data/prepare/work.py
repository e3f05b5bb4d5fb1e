"""Makes chunks of pictures ready over the cores, or through Apache Beam."""

import collections
import functools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

from ldl_jax.data.prepare import chunk as prepare_chunk
from ldl_jax.data.prepare.chunk import Left, PictureForm
from ldl_jax.data.records import DataError, Records

_stopped: Callable[[], bool] = lambda: False  # noqa: E731 - set in each worker


class Chunk(NamedTuple):
    """Some rows of a set, with their position among the chunks and that of the first row."""

    position: int
    first: int
    records: Records


def work(chunk: Chunk, folder: Path, form: PictureForm) -> list[Left]:
    """Writes the chunk's files and returns the pictures that it left out."""
    to = prepare_chunk.files_of(folder, chunk.position)
    return prepare_chunk.write(chunk.records, chunk.first, to, form, _stopped)


def over_cores(
    chunks: Iterator[Chunk], folder: Path, form: PictureForm, workers: int
) -> Generator[tuple[int, list[Left]], None, None]:
    """Yields how many pictures each chunk has and those it left out, in the chunks' order.

    One worker is this process. Close the iterator to stop the others. DataError is raised where a
    worker died.
    """
    if workers == 1:
        for chunk in chunks:
            yield len(chunk.records), work(chunk, folder, form)
        return
    # Processes are spawned, since a fork of a process that has threads may lock up.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pending: collections.deque[tuple[int, Future[list[Left]]]] = collections.deque()
    with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(stop,)) as pool:
        try:
            for chunk in chunks:
                pending.append((len(chunk.records), pool.submit(work, chunk, folder, form)))
                if len(pending) > 2 * workers:
                    yield _next(pending)
            while pending:
                yield _next(pending)
        except BrokenProcessPool:
            raise DataError(
                "a worker ended unexpectedly (out of memory?); the same command goes on, with "
                "fewer --workers if need be"
            ) from None
        finally:
            stop.set()
            for _, future in pending:
                future.cancel()


def through_beam(
    chunks: Sequence[Chunk], folder: Path, form: PictureForm, options: Sequence[str]
) -> None:
    """Writes the chunks' files through an Apache Beam pipeline; raises DataError if that fails.

    Its options are such as --runner=DirectRunner. Every worker must see `folder` and the pictures
    under the same paths.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    try:
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            _ = (
                pipeline
                | "Chunks" >> beam.Create(chunks)
                | "Spread" >> beam.Reshuffle()
                | "Prepare" >> beam.Map(functools.partial(work, folder=folder, form=form))
            )
    except Exception as error:  # runners raise errors of any kind
        raise DataError(f"the Beam pipeline failed ({type(error).__name__}: {error})") from error


def _next(pending: collections.deque[tuple[int, Future[list[Left]]]]) -> tuple[int, list[Left]]:
    count, future = pending.popleft()
    return count, future.result()


def _start(stop: Event) -> None:
    """Prepares a worker: only the parent answers Ctrl-C, and the worker does not outlive it."""
    global _stopped
    _stopped = stop.is_set
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
