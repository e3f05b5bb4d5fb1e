"""Servers for tests, on 127.0.0.1 in a thread of this process, and requests to them."""

import contextlib
import http.client
import io
import json
import threading
import time
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

for name in ("starlette", "uvicorn", "python_multipart", "prometheus_client"):
    pytest.importorskip(name, reason=f"{name} of the extra serve is not installed")

from ldl_jax.data.align import Alignment  # noqa: E402
from ldl_jax.evaluation.answers import NOTHING  # noqa: E402
from ldl_jax.serve import app, server  # noqa: E402
from ldl_jax.serve.limits import Limits  # noqa: E402
from ldl_jax.serve.meters import Meters  # noqa: E402
from ldl_jax.serve.service import Service  # noqa: E402
from ldl_jax.serve.workers import AnswerOptions, Workers  # noqa: E402

SECONDS = 20  # that anything here may take


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The one line of a refusal."""
        assert self.body.count(b"\n") == 1
        assert self.body.endswith(b"\n")
        assert self.json["status"] == self.status
        return self.json["error"]


class Running(NamedTuple):
    port: int
    server: server.Server
    service: Service

    def ask(self, path="/predict", body=None, kind="image/png", method=None, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        headers = dict(headers)
        if body is not None and kind:
            headers.setdefault("Content-Type", kind)
        with contextlib.closing(connection):
            connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())

    def wait_for(self, condition):
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.005)

    def meter(self, line):
        """A number of /metrics."""
        text = self.ask("/metrics").body.decode()
        (value,) = [x.rpartition(" ")[2] for x in text.splitlines() if x.startswith(f"{line} ")]
        return float(value)


@contextlib.contextmanager
def serving(
    predictor,
    *,
    detect=None,
    alignment=None,
    site=None,
    ready=True,
    slow=(),
    asked=NOTHING,
    **limits,
):
    """A server of a predictor, until the block ends; `slow` has seconds as `Server` takes them."""
    bounds = Limits(**{"batch": 4, "wait": 0.0, **limits})
    meters = Meters()
    settings = AnswerOptions(detect, alignment or Alignment("box", 0.0), decoders=2, asked=asked)
    workers = Workers(predictor, settings, bounds, meters)
    service = Service(workers, bounds, meters, ["a warning"])
    listening = server.listen("127.0.0.1", 0)
    running = server.Server(app.build(service, site), service, **dict(slow))
    workers.start()
    thread = threading.Thread(target=running.answer, args=(listening,), daemon=True)
    thread.start()
    if ready:
        assert workers.wait()
    try:
        yield Running(listening.getsockname()[1], running, service)
    finally:
        running.stop()
        thread.join(SECONDS)
        assert not thread.is_alive()


def drawn(seed=0, size=(32, 32), kind="PNG"):
    """The bytes of a picture's file."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


def form(*parts, boundary="b0undary"):
    """The body and content type of a form with files (name, content)."""
    body = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="picture"; filename="%b"\r\n\r\n%b\r\n'
        % (boundary.encode(), name.encode(), content)
        for name, content in parts
    )
    return body + b"--%b--\r\n" % boundary.encode(), f"multipart/form-data; boundary={boundary}"


@contextlib.contextmanager
def held(predictor, monkeypatch):
    """Holds the network up until the event is set; counts the rows of its batches."""
    gate, answer, batches = threading.Event(), predictor.answer, []

    def waiting(images):
        batches.append(len(images))
        assert gate.wait(SECONDS)
        return answer(images)

    with monkeypatch.context() as patch:
        patch.setattr(predictor, "answer", waiting)
        try:
            yield gate, batches
        finally:
            gate.set()


def together(*calls):
    """Calls functions in threads; returns the threads and the list of their results to come."""
    results = [None] * len(calls)

    def run(index, call):
        results[index] = call()

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    return threads, results
