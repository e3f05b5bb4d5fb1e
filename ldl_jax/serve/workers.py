"""Answers pictures in batches: threads decode them, and one thread calls the network.

A picture passes a bounded number of decoders, which also find its faces, and waits then for the
network with the faces of other pictures, whosever they are. A picture that nobody waits for any
more is dropped at each of these doors.
"""

import contextlib
import dataclasses
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image

from ldl_jax.data.align import Alignment, Detect
from ldl_jax.data.records import DataError
from ldl_jax.evaluation.answers import NOTHING, Answer, Asked
from ldl_jax.predict import crops
from ldl_jax.predict.crops import Crop, NumberedCrop
from ldl_jax.predict.predictor import Predictor
from ldl_jax.serve.limits import Limits
from ldl_jax.serve.meters import Meters
from ldl_jax.serve.refused import Problem, RefusedError, status_of


class Upload(NamedTuple):
    """A picture's name and its file's bytes."""

    name: str
    content: bytes


class Outcome(NamedTuple):
    """The answers for a picture's faces, and what is wrong with it."""

    answers: tuple[Answer, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclasses.dataclass(eq=False)
class _Waiting:
    """A picture on its way."""

    name: str
    content: bytes
    deadline: float  # of time.monotonic()
    outcome: Future[Outcome] = dataclasses.field(default_factory=Future)
    crops: list[Crop] = dataclasses.field(default_factory=list)

    @property
    def is_late(self) -> bool:
        return self.outcome.cancelled() or time.monotonic() > self.deadline


@dataclasses.dataclass(frozen=True)
class AnswerOptions:
    """Says how pictures are answered.

    Attributes:
      detect: finds the faces, one picture at a time; None where each picture is a face.
      alignment: how a face that is found is cut out.
      coverage: what an interval holds: a share of the distribution, or of the labels where the
        model is calibrated.
      decoders: threads that decode.
      asked: what every request asks that does not ask it itself.
    """

    detect: Detect | None
    alignment: Alignment
    coverage: float = 0.9
    decoders: int = 2
    asked: Asked = NOTHING


class Workers:
    """The threads that answer, between `start` and `close`.

    Attributes:
      predictor: the network.
      options: how pictures are answered.
      failure: the error that kept the programs from being compiled, or None.
    """

    def __init__(
        self, predictor: Predictor, options: AnswerOptions, limits: Limits, meters: Meters
    ) -> None:
        self.predictor, self.options = predictor, options
        self.failure: Exception | None = None
        self._limits, self._meters = limits, meters
        self._compiled = threading.Event()
        self._lock, self._detecting = threading.Lock(), threading.Lock()
        self._inside = self._decoding = 0
        self._decoded: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(options.decoders, "decode")
        self._thread = threading.Thread(target=self._run, name="answer", daemon=True)
        meters.watch("ldl_queue_pictures", "Pictures that are in the server.", self.inside)
        meters.watch("ldl_ready", "Whether the programs are compiled.", self._compiled.is_set)

    def start(self) -> None:
        """Compiles the programs, in the thread that answers then."""
        self._thread.start()

    def is_ready(self) -> bool:
        """Returns whether the programs are compiled."""
        return self._compiled.is_set()

    def wait(self) -> bool:
        """Waits until the programs are compiled; returns whether they could be."""
        while not self._compiled.wait(0.1) and self._thread.is_alive():
            pass
        return self._compiled.is_set()

    def inside(self) -> int:
        """Returns the number of pictures that have been taken and not been answered."""
        return self._inside

    def check_room(self, count: int = 1) -> None:
        """Raises RefusedError, 429, where `count` more pictures are too many."""
        most = self._limits.queue
        if self._inside + count > most:
            line = f"queue: it takes {most} pictures, {self._inside} wait and {count} came"
            raise RefusedError(429, f"{line}; try again later", headers={"Retry-After": "1"})

    def submit(self, uploads: Sequence[Upload], deadline: float) -> list[Future[Outcome]]:
        """Takes pictures; returns the outcome of each, which is cancelled to drop the picture.

        Args:
          uploads: the pictures.
          deadline: of `time.monotonic()`, after which a picture is dropped.

        Raises:
          RefusedError: there is no room for all of them.
        """
        jobs = [_Waiting(name, content, deadline) for name, content in uploads]
        with self._lock:
            self.check_room(len(jobs))
            self._inside += len(jobs)
            self._decoding += len(jobs)
        for job in jobs:
            self._pool.submit(self._decode, job)
        return [job.outcome for job in jobs]

    def close(self, seconds: float = 5.0) -> bool:
        """Ends the threads, which drop what they hold; returns whether all have ended in time."""
        end = time.monotonic() + seconds
        self._decoded.put(None)
        ending = threading.Thread(
            target=self._pool.shutdown, kwargs={"cancel_futures": True}, daemon=True
        )
        ending.start()
        threads = [thread for thread in (ending, self._thread) if thread.ident is not None]
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _decode(self, job: _Waiting) -> None:
        """Decodes a picture and cuts out its faces, in a thread of the pool."""
        ready = False
        try:
            if job.is_late:
                self._drop(job)
                return
            with self._meters.decoding.time():
                job.crops = self._crops(job)
            ready = True
        except DataError as error:
            self._finish(job, Outcome((), (Problem(job.name, status_of(error), str(error)),)))
        except Exception as error:
            self._finish(job, error)
        finally:
            job.content = b""
            with self._lock:
                self._decoding -= 1
                if ready:
                    self._decoded.put(job)

    def _crops(self, job: _Waiting) -> list[Crop]:
        detect, alignment = self.options.detect, self.options.alignment
        image = crops.read(self.predictor, job.content, detect, job.name)
        job.content = b""
        if detect is None:
            return [*crops.cut(self.predictor, image, detect, alignment, job.name)]
        with self._detecting:  # a detector of somebody's own need not bear several threads
            return [*crops.cut(self.predictor, image, detect, alignment, job.name)]

    def _run(self) -> None:
        """Compiles, and answers until `close`."""
        try:
            self._compile()
        except Exception as error:
            self.failure = error
            return
        self._compiled.set()
        while jobs := self._gathered():
            self._answer(jobs)

    def _compile(self) -> None:
        """Answers for black pictures in batches of all sizes, and finds faces in noise."""
        size, batch = self.predictor.preprocessing.stored_size, self._limits.batch
        face = NumberedCrop("", 1, Crop(np.zeros((size, size, 3), np.uint8)))
        for count in sorted({*(2**n for n in range(13) if 2**n < batch), batch}):
            crops.answer(self.predictor, [face] * count, self.options.coverage)
        if self.options.detect is not None:
            noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
            # A detector of somebody's own may refuse what is no photograph.
            with self._detecting, contextlib.suppress(Exception):
                self.options.detect(Image.fromarray(noise))

    def _gathered(self) -> list[_Waiting]:
        """Waits for a picture, and a moment for others on their way; nothing means the end."""
        jobs: list[_Waiting] = []
        faces, end = 0, 0.0
        while faces < self._limits.batch:
            try:
                # What is being decoded is waited for; what has been decoded is taken anyway.
                left = max(0.0, end - time.monotonic()) if self._decoding else 0.0
                job = self._decoded.get(timeout=left if jobs else None)
            except queue.Empty:
                break
            if job is None:
                self._decoded.put(None)  # for the next call
                break
            if job.is_late:
                self._drop(job)
                continue
            if not jobs:
                end = time.monotonic() + self._limits.wait / 1000
            jobs.append(job)
            faces += len(job.crops)
        return jobs

    def _answer(self, jobs: Sequence[_Waiting]) -> None:
        """Gives the pictures their outcomes."""
        faces = [
            NumberedCrop(job.name, index, crop)
            for job in jobs
            for index, crop in enumerate(job.crops, 1)
        ]
        answers: list[Answer] = []
        batch = self._limits.batch
        try:
            for start in range(0, len(faces), batch):
                part = faces[start : start + batch]
                self._meters.batches.observe(len(part))
                with self._meters.network.time():
                    answers += crops.answer(self.predictor, part, self.options.coverage)
        except Exception as error:
            for job in jobs:
                self._finish(job, error)
            return
        self._meters.faces.inc(len(answers))
        for job in jobs:
            count = len(job.crops)
            mine, answers = answers[:count], answers[count:]
            lines = [crops.not_a_number(answer) for answer in mine]
            finite = tuple(answer for answer, line in zip(mine, lines, strict=True) if not line)
            problems = tuple(Problem(job.name, 500, line) for line in lines if line)
            self._finish(job, Outcome(finite, problems))

    def _drop(self, job: _Waiting) -> None:
        """Ends a picture that nobody waits for, or whose time is over."""
        line = f"{job.name}: expected an answer in {self._limits.timeout:g} s, it still waited"
        self._finish(job, Outcome((), (Problem(job.name, 504, line),)), "dropped")

    def _finish(self, job: _Waiting, outcome: Outcome | Exception, kind: str = "") -> None:
        refused = isinstance(outcome, Exception) or outcome.problems
        self._meters.pictures.labels(kind or ("refused" if refused else "answered")).inc()
        job.crops = []
        with self._lock:
            self._inside -= 1
        if not job.outcome.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Exception):
            job.outcome.set_exception(outcome)
        else:
            job.outcome.set_result(outcome)
