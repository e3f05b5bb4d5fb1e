"""Sends a server hundreds of requests, damaged and huge ones among them, from many clients at once.

python -m benchmarks.server
python -m benchmarks.server runs/quickstart --requests=1000 --clients=16

Starts `launch.serve --aligned` on 127.0.0.1 twice, with batches and without, and prints for both
the times of the good pictures' answers, the pictures a second, and the server's memory at the start
and at the end. One in ten requests is damaged, huge, too long, no picture or of a client that goes
away, and clients that send nothing or a byte a second are connected all the while. Fails where an
answer has another status than its request must have. Without a run, a ResNet10-Tiny with drawn
weights answers. The clients and the server share the processor.
"""

import collections
import contextlib
import http.client
import io
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from absl import app, flags
from PIL import Image

from benchmarks import printing
from ldl_jax import methods, models
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import AGE
from ldl_jax.run.command import quiet
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.record import Record
from ldl_jax.train.state import Weights

_REQUESTS = flags.DEFINE_integer("requests", 600, "of one server")
_CLIENTS = flags.DEFINE_integer("clients", 16, "that ask at a time")
_SECONDS = 60.0  # that any answer may take, before it counts as hanging


class _RequestKind(NamedTuple):
    """A kind of request: its body, its content type, the status that it must get, and how often."""

    name: str
    body: bytes
    content_type: str
    status: int
    share: float


class _Result(NamedTuple):
    kind: str
    status: int
    seconds: float


def main(arguments: Sequence[str]) -> None:
    """Prints a row for the server with batches and one for the server without."""
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = arguments[1] if arguments[1:] else _drawn(Path(folder) / "drawn")
        print(f"{printing.device()}; {_REQUESTS.value} requests of {_CLIENTS.value} clients\n")
        columns = "server|pictures/s:|p50 ms:|p95 ms:|p99 ms:|faces a batch:|RSS at start MB:"
        print(printing.head(f"{columns}|at half:|at end:"))
        said = []
        for name, options in (("batches", []), ("--batch=1 --wait=0", ["--batch=1", "--wait=0"])):
            with _served(checkpoint, options) as port:
                row, results = _measured(port)
            print(printing.line([name, *row]), flush=True)
            counts = collections.Counter((x.kind, x.status) for x in results)
            said.append(f"{name}: " + ", ".join(
                f"{count} {kind} {status}" for (kind, status), count in sorted(counts.items())
            ))  # fmt: skip
        print("\n" + "\n".join(said))


def _measured(port: int) -> tuple[list[str], list[_Result]]:
    """Asks the server; returns the cells of its row, and what became of each request."""
    kinds = _kinds()
    good = [kind for kind in kinds if kind.status == 200]
    for _ in range(20):  # what the first requests take once is no growth
        _asked(port, good * 2, 1)
    start = _meters(port)["process_resident_memory_bytes"]
    shares = np.asarray([kind.share for kind in kinds])
    order = np.random.default_rng(0).choice(len(kinds), _REQUESTS.value, p=shares / shares.sum())
    requests = [kinds[index] for index in order]
    with _dawdling(port):
        before = _meters(port)
        begun = time.perf_counter()
        results = _asked(port, requests[: len(requests) // 2], _CLIENTS.value)
        half = _meters(port)["process_resident_memory_bytes"]
        results += _asked(port, requests[len(requests) // 2 :], _CLIENTS.value)
        seconds = time.perf_counter() - begun
        after = _meters(port)
    wanted = {kind.name: kind.status for kind in kinds}
    if wrong := [result for result in results if wanted[result.kind] != result.status]:
        raise SystemExit(f"error: {len(wrong)} answers have another status: {wrong[:3]}")
    times = [1e3 * result.seconds for result in results if result.status == 200]
    batches = (
        after[f"ldl_batch_faces_{x}"] - before[f"ldl_batch_faces_{x}"] for x in ("sum", "count")
    )
    faces, count = batches
    memory = (start, half, after["process_resident_memory_bytes"])
    row = [f"{len(times) / seconds:.0f}", *(f"{x:.0f}" for x in np.percentile(times, (50, 95, 99)))]
    return [*row, f"{faces / count:.1f}", *(f"{x / 1e6:.0f}" for x in memory)], results


def _kinds() -> list[_RequestKind]:
    """Makes the requests, each of which must be answered as it says."""
    rng = np.random.default_rng(0)
    cells = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8))

    def photo(width: int, height: int, kind: str) -> bytes:
        file = io.BytesIO()
        cells.resize((width, height), Image.Resampling.BICUBIC).save(file, kind)
        return file.getvalue()

    small, large = photo(256, 256, "JPEG"), photo(1600, 1200, "JPEG")
    jpeg = "image/jpeg"
    return [
        _RequestKind("small", small, jpeg, 200, 60),
        _RequestKind("large", large, jpeg, 200, 20),
        _RequestKind("png", photo(200, 240, "PNG"), "image/png", 200, 10),
        _RequestKind("cut", large[: len(large) // 2], jpeg, 422, 2),
        _RequestKind("huge", _bomb(), "image/png", 413, 2),
        _RequestKind("long", bytes(21_000_000), jpeg, 413, 1),
        _RequestKind("junk", rng.bytes(50_000), jpeg, 415, 2),
        _RequestKind("text", b"a" * 1000, "text/plain", 415, 2),
        _RequestKind("gone", large, jpeg, 0, 1),
    ]


def _bomb() -> bytes:
    """Returns a PNG of 30,000 x 30,000 pixels in a few hundred kilobytes, all of it valid."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return len(content).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    side = (30_000).to_bytes(4, "big")
    rows = zlib.compress(bytes(30_000 * 3_751))
    header = chunk(b"IHDR", side + side + bytes([1, 0, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _asked(port: int, requests: Sequence[_RequestKind], clients: int) -> list[_Result]:
    """Sends requests from clients that each wait for an answer before they ask again."""
    waiting = collections.deque(requests)
    results: list[_Result] = []

    def run() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
        while waiting:
            with contextlib.suppress(IndexError):
                results.append(_answered(connection, waiting.popleft()))
        connection.close()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(results) != len(requests):
        raise SystemExit(f"error: {len(requests) - len(results)} requests have no answer")
    return results


def _answered(connection: http.client.HTTPConnection, kind: _RequestKind) -> _Result:
    begun = time.perf_counter()
    connection.request("POST", "/predict", kind.body, {"Content-Type": kind.content_type})
    if not kind.status:
        connection.close()
        return _Result(kind.name, 0, 0.0)
    response = connection.getresponse()
    response.read()
    return _Result(kind.name, response.status, time.perf_counter() - begun)


@contextlib.contextmanager
def _dawdling(port: int) -> Iterator[None]:
    """Keeps clients connected that send nothing, or a byte a second of their bodies."""
    over = threading.Event()

    def dawdle(start: bytes) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as x:
                x.sendall(start)
                while not over.wait(1.0):
                    x.sendall(b"a" if start else b"")

    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    starts = (b"", head, head + b"Content-Length: 100000\r\n\r\n")
    threads = [threading.Thread(target=dawdle, args=(start,), daemon=True) for start in starts * 4]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _meters(port: int) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


@contextlib.contextmanager
def _served(checkpoint: str, options: Sequence[str]) -> Iterator[int]:
    """Runs the command for a while; gives its port."""
    command = [sys.executable, "-m", "launch.serve", checkpoint, "--aligned", "--port=0"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            match = re.search(r":(\d+);", line)
            if match is None or not process.stdout.readline().startswith("ready"):
                raise SystemExit(f"error: the server does not start: {line}")
            yield int(match[1])
            process.terminate()
            if process.wait(_SECONDS) != 0:
                raise SystemExit(f"error: the server ended with code {process.returncode}")
        finally:
            process.kill()


def _drawn(folder: Path) -> str:
    """Writes a checkpoint with drawn weights."""
    network = {"name": "resnet10_tiny", "dtype": "float32"}
    model, method = models.build(**network), methods.get("dldl", space=AGE)
    backbone, model_state = jax.jit(model.init)(jax.random.key(0))
    head = method.head.init(jax.random.key(1), model.width)
    checkpoints = Checkpoints(folder)
    record = Record(
        network, {"name": "dldl"}, AGE, Preprocessing(64, 64), Alignment("box"), flip=True
    )
    weights = Weights({"backbone": backbone, "head": head}, model_state)
    checkpoints.save(1, {"weights": weights}, record)
    checkpoints.close()
    return str(folder)


if __name__ == "__main__":
    app.run(main)
