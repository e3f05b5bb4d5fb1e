"""Prints how many frames of a film are answered in a second, and where the time goes.

python -m benchmarks.video [--film=CLIP.mp4] [--checkpoint=RUN]

Without a film one is drawn: two faces of 200 pixels that move over grey, 640 x 480 pixels, 25
frames a second. Without a checkpoint a network of drawn weights answers; it takes the same time.
Each row is a run over the whole film. "waiting" is the time that the answering thread waits for the
thread that decodes; "reading alone" is what that thread does with nothing beside it.
"""

import collections
import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import ParamSpec, TypeVar

import jax
import numpy as np
from PIL import Image

import ldl_jax
from benchmarks import printing
from ldl_jax import methods, models
from ldl_jax.data.align import Alignment, Detect, Face, face_of
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.data.detect import choice
from ldl_jax.data.synthetic import faces
from ldl_jax.labels import AGE
from ldl_jax.predict.predictor import Predictor
from ldl_jax.train.record import Record
from ldl_jax.train.state import Weights
from ldl_jax.video.answering import FilmAnswers
from ldl_jax.video.film import answer_film
from ldl_jax.video.opening import open_film, pyav
from ldl_jax.video.reading import FilmReader, Frame
from ldl_jax.video.writing import Writer

P = ParamSpec("P")
T = TypeVar("T")
SIZE, SIDE = (640, 480), 200
STARTS = (20, 40), (400, 240)  # of the two faces
COLUMNS = ("waiting", "detector", "network", "pools", "drawing")


def main() -> None:
    """Prints the table."""
    parser = printing.parser("video", __doc__)
    parser.add_argument("--film", help="a film; by default one is drawn")
    parser.add_argument("--frames", type=int, default=100, help="of the drawn film")
    parser.add_argument("--checkpoint", help="a run; by default drawn weights")
    parser.add_argument("--network", default="resnet10_tiny", help="of the drawn weights")
    options = parser.parse_args()
    predictor = (
        ldl_jax.load(options.checkpoint) if options.checkpoint else drawn_predictor(options.network)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(options.film or Path(folder) / "drawn.mp4")
        if not options.film:
            draw(path, options.frames)
        rows: dict[str, tuple[Detect, int, bool]] = {}
        if not options.film:
            rows["known boxes"] = (known, 1, False)
            rows["known boxes, annotated"] = (known, 1, True)
        mtcnn = choice.load()
        rows["MTCNN"] = (mtcnn, 1, False)
        rows["MTCNN, annotated"] = (mtcnn, 1, True)
        rows["MTCNN, every 5th frame"] = (mtcnn, 5, False)
        rows["MTCNN, every 5th frame, annotated"] = (mtcnn, 5, True)
        large = choice.load(smallest=80)
        rows["MTCNN, faces of 80 pixels and more"] = (large, 1, False)
        rows["the same, every 5th frame, annotated"] = (large, 5, True)
        print(f"{printing.device()}, jax {jax.__version__}, PyAV {pyav().__version__}")
        print(f"reading alone: {reading(path):,.0f} frames/s\n")
        columns = "|".join(f"{name}, ms a frame:" for name in COLUMNS)
        print(printing.head(f"faces found by|frames/s:|{columns}|the rest:"))
        for name, (detect, every, annotated) in rows.items():
            copy = Path(folder) / "copy.mp4" if annotated else None
            run(path, predictor, detect, every, copy)  # compiles
            frames, seconds, spent = run(path, predictor, detect, every, copy)
            parts = [spent[column] for column in COLUMNS]
            cells = [f"{1e3 * part / frames:.1f}" for part in [*parts, seconds - sum(parts)]]
            print(printing.line([name, f"{frames / seconds:.1f}", *cells]), flush=True)


def run(
    path: Path, predictor: Predictor, detect: Detect, every: int, copy: Path | None
) -> tuple[int, float, dict[str, float]]:
    """Answers for a film; returns its frames, the seconds, and the seconds of each part."""
    spent: dict[str, float] = collections.defaultdict(float)
    answers = FilmAnswers(
        predictor,
        detect=timed(detect, spent, "detector"),
        alignment=Alignment("box", 0.2),
        every=every,
    )
    answers.pools.add = timed(answers.pools.add, spent, "pools")  # type: ignore[method-assign]
    network = predictor.answer
    reader = FilmReader(open_film(path))
    read = reader.read

    def waiting(wanted: Callable[[int], bool] = lambda index: True) -> Iterator[Frame]:
        frames = read(wanted)
        following = timed(lambda: next(frames, None), spent, "waiting")
        while (frame := following()) is not None:
            yield frame

    reader.read = waiting  # type: ignore[method-assign]
    writer = None if copy is None else Writer(copy, reader.opened.fps)
    if writer is not None:
        writer.write = timed(writer.write, spent, "drawing")  # type: ignore[method-assign]
    started = time.perf_counter()
    with replaced(predictor, "answer", timed(network, spent, "network")), reader:
        if writer is None:
            film = answer_film(reader, answers, predictor.space)
        else:
            with writer:
                film = answer_film(reader, answers, predictor.space, writer=writer)
    return film.frames, time.perf_counter() - started, spent


def reading(path: Path) -> float:
    """Returns the frames that are decoded in a second, with nothing beside."""
    with FilmReader(open_film(path)) as reader:
        started = time.perf_counter()
        count = sum(1 for _ in reader.read())
    return count / (time.perf_counter() - started)


def timed(function: Callable[P, T], spent: dict[str, float], name: str) -> Callable[P, T]:
    """Returns the function, which adds its seconds to those of that name."""

    @functools.wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> T:
        started = time.perf_counter()
        try:
            return function(*arguments, **keywords)
        finally:
            spent[name] += time.perf_counter() - started

    return call


@contextmanager
def replaced(target: object, name: str, value: object) -> Iterator[None]:
    """Gives an attribute another value for a while."""
    before = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, before)


def known(image: Image.Image) -> list[Face]:
    """Returns the drawn film's faces, found by the marks of their frames' numbers."""
    index = int(np.asarray(image)[4:12, 4:12].mean(axis=(0, 1))[1] / 2)
    points = np.array([(0.35, 0.42), (0.65, 0.42), (0.5, 0.6), (0.38, 0.75), (0.62, 0.75)])
    return [face_of(points * SIDE + np.array(corner)) for corner in corners(index)]


def corners(index: int) -> list[tuple[int, int]]:
    """Returns the upper left corners of the two faces in a frame."""
    shift = 40 - abs(index % 80 - 40)
    return [(STARTS[0][0] + 4 * shift, STARTS[0][1]), (STARTS[1][0] - 2 * shift, STARTS[1][1])]


def draw(path: Path, frames: int) -> None:
    """Draws and encodes the film."""
    av = pyav()
    drawn = np.asarray(faces.faces(count=8, size=SIDE).images)[1:3]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            canvas = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
            canvas[:16, :16] = 2 * (index % 80)
            for face, (x, y) in zip(drawn, corners(index), strict=True):
                canvas[y : y + SIDE, x : x + SIDE] = face
            frame = av.VideoFrame.from_ndarray(canvas, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def drawn_predictor(network: str) -> Predictor:
    """Returns a predictor of drawn weights, for pictures of 64 pixels."""
    model, method = models.build(network), methods.get("dldl_v2", space=AGE)
    backbone, model_state = jax.jit(model.init)(jax.random.key(0))
    head = method.head.init(jax.random.key(1), model.width)
    record = Record(
        model={"name": network},
        method={"name": "dldl_v2"},
        space=AGE,
        preprocessing=Preprocessing(64, 64),
        alignment=Alignment("box", 0.2),
        flip=True,
    )
    return Predictor(record, Weights({"backbone": backbone, "head": head}, model_state))


if __name__ == "__main__":
    main()
