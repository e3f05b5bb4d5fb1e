"""A server that is stopped answers what it has taken, and ends; what keeps one from starting."""

import signal

import pytest

import ldl_jax
from ldl_jax import methods
from ldl_jax.labels import AGE
from tests.serve.serving import Limits, drawn, held, server, serving, together

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory, tiny_model, draw_weights, write_checkpoint, tiny_network):
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE), seed=3)
    return ldl_jax.load(write_checkpoint(tmp_path_factory.mktemp("c") / "c", weights))


def test_requests_that_were_taken_are_answered_and_new_ones_refused(predictor, monkeypatch, capsys):
    with serving(predictor) as running, held(predictor, monkeypatch) as (gate, _):
        threads, replies = together(*[lambda: running.ask(body=drawn())] * 3)
        running.wait_for(lambda: running.service.active() == 3)
        running.server.handle_exit(signal.SIGTERM, None)
        new = running.ask(body=drawn())
        assert new.status == 503
        assert new.error == "server: expected it to be ready, it is stopping; try again later"
        assert running.ask("/healthz").json == {"status": "stopping"}
        gate.set()
        for thread in threads:
            thread.join()
        assert [reply.status for reply in replies] == [200] * 3
        running.wait_for(lambda: not running.service.workers._thread.is_alive())
        with pytest.raises(ConnectionRefusedError):
            running.ask("/healthz")
    assert running.server.unanswered == 0
    said = capsys.readouterr().err
    assert said == "stopping: 3 requests are answered first, new ones are refused\n"


def test_a_second_signal_ends_it_at_once(predictor, monkeypatch):
    with held(predictor, monkeypatch) as (gate, _), serving(predictor, ready=False) as running:
        running.wait_for(lambda: running.server.started)
        running.service._active = 1  # one that is never answered
        for _ in range(2):
            running.server.handle_exit(signal.SIGINT, None)
        running.wait_for(lambda: running.server.unanswered)
        gate.set()


def test_an_address_that_cannot_be_taken_is_one_line():
    taken = server.listen("127.0.0.1", 0)
    port = taken.getsockname()[1]
    assert server.url(taken) == f"http://127.0.0.1:{port}"
    with taken, pytest.raises(ValueError, match=f"--port: {port} of 127.0.0.1 is in use; give"):
        server.listen("127.0.0.1", port)
    for host in ("192.0.2.1", "a" * 70 + ".x"):
        with pytest.raises(ValueError, match=r"^--host: expected"):
            server.listen(host, 0)
    for address, is_open in (("127.0.0.1", False), ("::1", False), ("0.0.0.0", True), ("::", True)):
        assert server.is_open(address) is is_open


def test_limits_out_of_range_are_said_at_once():
    with pytest.raises(ValueError, match="queue: expected 1 to 100000, got 0; timeout: expected"):
        Limits(queue=0, timeout=-1)
    with pytest.raises(ValueError, match="max_pictures: expected at most the 8 of queue, got 9"):
        Limits(queue=8, max_pictures=9)
