"""Clients of the server that are slow, lie about their request, or go away."""

import contextlib
import socket
import time

import pytest

import ldl_jax
from ldl_jax import methods
from ldl_jax.labels import AGE
from tests.serve.serving import SECONDS, drawn, held, serving

pytestmark = pytest.mark.usefixtures("tiny_network")
POST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"


@pytest.fixture(scope="module")
def predictor(tmp_path_factory, tiny_model, draw_weights, write_checkpoint, tiny_network):
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE), seed=3)
    return ldl_jax.load(write_checkpoint(tmp_path_factory.mktemp("c") / "c", weights))


@pytest.fixture(scope="module")
def running(predictor):
    with serving(predictor, max_megabytes=0.2) as server:
        yield server


@pytest.fixture(scope="module")
def impatient(predictor):
    with serving(predictor, timeout=1.0, slow={"head": 0.5, "stall": 0.3}) as server:
        yield server


@contextlib.contextmanager
def connected(running):
    with socket.create_connection(("127.0.0.1", running.port), SECONDS) as client:
        yield client


def received(client):
    """Everything until the server closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def sends(running, content):
    with connected(running) as client:
        client.sendall(content)
        return received(client)


@pytest.mark.parametrize("start", [b"", b"POST /predict HTTP/1.1\r\nHost: x\r\nA: "])
def test_headers_that_do_not_come_end_the_connection(impatient, start):
    with connected(impatient) as client:
        client.sendall(start)
        for _ in range(100):  # a byte now and then keeps nothing open
            try:
                if start:
                    client.sendall(b"a")
                client.settimeout(0.05)
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            pytest.fail("it is still open")
    assert impatient.ask("/healthz").status == 200


def test_a_body_that_comes_too_slowly_is_refused(impatient):
    with connected(impatient) as client:
        client.sendall(POST + b"Content-Length: 1000\r\n\r\nx")
        begun = time.monotonic()
        while time.monotonic() - begun < 0.8:
            client.sendall(b"x")
            time.sleep(0.1)
        reply = received(client)
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b'"body: expected all of it within 1 s, it is not complete"' in reply
    assert b"connection: close" in reply.lower()


def test_a_chunked_body_is_counted_as_it_comes(running):
    good = drawn()
    chunked = b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    whole = b"%x\r\n%b\r\n0\r\n\r\n" % (len(good), good)
    assert sends(running, POST + chunked + whole).startswith(b"HTTP/1.1 200 ")
    part = b"10000\r\n" + bytes(65536) + b"\r\n"
    reply = sends(running, POST + chunked + part * 8 + b"0\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b"body: expected at most 200,000 bytes, got more" in reply


def test_a_refusal_reaches_a_client_that_is_still_sending(running):
    """Which is told at once, and not cut off amid the body that it sends."""
    length = 4_000_000
    with connected(running) as client:
        client.sendall(POST + b"Content-Length: %d\r\n\r\n" % length)
        client.sendall(bytes(length))
        reply = received(client)
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b"got 4,000,000" in reply
    begun = time.monotonic()
    reply = sends(running, POST + b"Content-Length: 999999999999\r\nExpect: 100-continue\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - begun < 1


def test_what_is_not_http_is_refused(running):
    for content in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 65_000,
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxx",
        POST + b"Content-Length: 1_0\r\n\r\n",
    ):
        reply = sends(running, content)
        assert reply.startswith(b"HTTP/1.1 400 "), content[:40]
        assert b'{"error": "request: expected HTTP/1.1' in reply
    assert running.ask("/healthz").status == 200


def test_a_body_without_a_length_is_none(running):
    reply = sends(running, POST + b"Connection: close\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"body: expected a picture, got 0 bytes" in reply


def test_requests_in_a_row_are_answered_in_their_order(running):
    content = drawn()
    request = POST + b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    reply = sends(running, request * 3 + last)
    assert reply.count(b"HTTP/1.1 200 OK") == 4
    assert reply.endswith(b'{"status":"ready"}')


def test_more_connections_than_there_is_room_for_are_refused(predictor):
    with serving(predictor, connections=8) as running, contextlib.ExitStack() as stack:
        running.wait_for(lambda: not running.server.server_state.connections)
        for _ in range(8):
            stack.enter_context(connected(running))
        reply = sends(running, b"")
        assert reply.startswith(b"HTTP/1.1 503 ")
        assert b"server: it takes 8 connections at a time, and is full" in reply
        stack.close()
        running.wait_for(lambda: not running.server.server_state.connections)
        assert running.ask("/healthz").status == 200


def test_a_picture_whose_client_has_gone_is_dropped(predictor, running, monkeypatch):
    dropped = 'ldl_pictures_total{outcome="dropped"}'
    content = drawn()
    with held(predictor, monkeypatch) as (gate, batches):
        with connected(running) as first, connected(running) as second:
            for client in (first, second):
                client.sendall(POST + b"Content-Length: %d\r\n\r\n%b" % (len(content), content))
                running.wait_for(lambda: batches)
            running.wait_for(lambda: running.service.workers.inside() == 2)
        running.wait_for(lambda: running.service.active() == 0)
        gate.set()
        running.wait_for(lambda: running.service.workers.inside() == 0)
    assert batches == [1]
    assert running.meter(dropped) == 1


def test_a_client_that_does_not_read_is_closed(predictor, tmp_path):
    (tmp_path / "index.html").write_bytes(bytes(30_000_000))
    with (
        serving(predictor, site=tmp_path, slow={"stall": 0.3}) as running,
        connected(running) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        running.wait_for(lambda: running.server.server_state.connections)
        running.wait_for(lambda: not running.server.server_state.connections)


def test_bodies_in_memory_are_bounded_together(predictor):
    """Clients that send most of a body and wait."""
    with (
        serving(predictor, max_megabytes=0.1) as running,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(8):
            client = stack.enter_context(connected(running))
            client.sendall(POST + b"Content-Length: 100000\r\n\r\n" + bytes(95_000))
        running.wait_for(lambda: running.service.active() == 8)
        running.wait_for(lambda: running.service._held == 760_000)
        full = running.ask(body=bytes(60_000))
        assert full.status == 429
        assert full.error.startswith("server: it holds at most 800,000 bytes of pictures")
        assert full.headers["Retry-After"] == "1"
