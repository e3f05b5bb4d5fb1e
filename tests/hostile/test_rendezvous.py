"""What strangers send to the port where processes meet: it holds nobody up and ends nothing.

All of it stays on 127.0.0.1, with few connections and bytes.
"""

import contextlib
import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import pytest

from ldl_jax import processes
from ldl_jax.processes import listening, meeting, secret
from ldl_jax.processes.address import Address, find
from ldl_jax.processes.link import Link
from ldl_jax.processes.meeting import meet
from ldl_jax.processes.secret import Secret
from ldl_jax.run import joining

KEY = b"a secret of this run alone"
SECRET = Secret(lambda: KEY, "LDL_JAX_SECRET")


def place(index, port, count=2):
    return Address("127.0.0.1", port, count, index)


@pytest.fixture
def waiting():
    """The port of a process 0 that waits for process 1, and what becomes of it."""
    port = listening.free_port(place(0, 0))
    pool = ThreadPoolExecutor(1)
    leader = pool.submit(meet, place(0, port), 8, 4000, SECRET)
    yield port, leader
    with contextlib.suppress(ValueError):
        for link in leader.result()[0].values():
            link.close()


def stranger(port):
    """A connection, once process 0 listens."""
    end = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 5)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.02)


def assert_still_meets(port, leader, seconds):
    begin = time.monotonic()
    links, told = meet(place(1, port), 5, 0, SECRET)
    assert told == 4000
    assert list(leader.result()[0]) == [1]
    assert time.monotonic() - begin < seconds
    for link in links.values():
        link.close()


def proof(key, challenge, count, index):
    return secret.sign(key, "ldl_jax", challenge, "n", count, index)


GREETINGS = {
    "what was enough before": lambda _: {"ldl_jax": [2, 1]},
    "another count of processes": lambda _: {"ldl_jax": [3, 1]},
    "another count, and a proof with another secret": lambda word: {
        "ldl_jax": [3, 1],
        "nonce": "n",
        "proof": proof(b"guessed", word, 3, 1),
    },
    "a proof without a secret": lambda word: {
        "ldl_jax": [2, 1],
        "nonce": "n",
        "proof": proof(b"", word, 2, 1),
    },
    "a proof of another meeting": lambda _: {
        "ldl_jax": [2, 1],
        "nonce": "n",
        "proof": proof(KEY, "old", 2, 1),
    },
    "an index that is none": lambda word: {
        "ldl_jax": [2, 2],
        "nonce": "n",
        "proof": proof(KEY, word, 2, 2),
    },
    "process 0's own index": lambda word: {
        "ldl_jax": [2, 0],
        "nonce": "n",
        "proof": proof(KEY, word, 2, 0),
    },
    "a truth value": lambda word: {
        "ldl_jax": [2, True],
        "nonce": "n",
        "proof": proof(KEY, word, 2, True),
    },
    "an infinite index": lambda word: {
        "ldl_jax": [2, 1e999],
        "nonce": "n",
        "proof": proof(KEY, word, 2, float("inf")),
    },
    "a proof that is no text": lambda _: {"ldl_jax": [2, 1], "nonce": 1, "proof": [1]},
    "half a surrogate": lambda _: {"ldl_jax": [2, 1], "nonce": "\ud800", "proof": "\ud800"},
}


def test_greetings_of_strangers_are_dropped(waiting):
    port, leader = waiting
    for name, greeting in GREETINGS.items():
        with stranger(port) as connection, connection.makefile("rb") as answers:
            challenge = json.loads(answers.readline())["challenge"]
            connection.sendall(json.dumps(greeting(challenge)).encode() + b"\n")
            rest = answers.readline()
            assert rest in (b"", b'{"denied": 1}\n'), name
            assert b"welcome" not in rest
    raw = (b"\0" * 64, b"[" * 900 + b"\n", b"[3,1]\n", b'{"ldl_jax":1e999}\n', b"9" * 900 + b"\n")
    for content in raw:
        with stranger(port) as connection:
            connection.sendall(content)
    assert not leader.done()
    assert_still_meets(port, leader, 2)


def test_a_stranger_that_sends_a_byte_now_and_then_holds_nobody_up(waiting, monkeypatch):
    monkeypatch.setattr(meeting, "_GREET", 0.5)
    port, leader = waiting
    with stranger(port) as connection:
        closed = threading.Event()

        def trickle():
            with contextlib.suppress(OSError):
                for _ in range(40):
                    connection.sendall(b"1")
                    time.sleep(0.1)
                return
            closed.set()

        threading.Thread(target=trickle, daemon=True).start()
        assert closed.wait(3)  # the whole message has a deadline
        silent = [stranger(port) for _ in range(20)]
        assert_still_meets(port, leader, 2)
        for other in silent:
            other.close()


def test_a_long_line_is_cut_off_at_once(waiting):
    port, leader = waiting
    begin = time.monotonic()
    with stranger(port) as connection, pytest.raises(OSError, match=r"reset|[Pp]ipe"):
        connection.sendall(b"9" * 2**26)
    assert time.monotonic() - begin < 2
    assert_still_meets(port, leader, 2)


def test_more_silent_strangers_than_there_is_room_for(waiting, monkeypatch):
    monkeypatch.setattr(meeting, "_STRANGERS", 8)
    port, leader = waiting
    silent = [stranger(port) for _ in range(24)]
    assert_still_meets(port, leader, 5)
    for connection in silent:
        connection.close()


def test_strangers_alone_do_not_move_the_deadline():
    port = listening.free_port(place(0, 0))
    with ThreadPoolExecutor(1) as pool:
        begin = time.monotonic()
        leader = pool.submit(meet, place(0, port), 1.0, 4000, SECRET)
        with stranger(port), pytest.raises(ValueError, match="1 of 2 processes came to"):
            leader.result()
    assert time.monotonic() - begin < 3


def test_process_0_that_does_not_know_the_secret_is_not_obeyed():
    """Neither its welcome nor its line to end with."""
    for answer in ({"welcome": 1, "proof": "0"}, {"end": "\x1b[31mpay", "proof": "0"}):
        with socket.create_server(("127.0.0.1", 0)) as server:

            def answers(server=server, answer=answer):
                link = Link(server.accept()[0])
                link.send({"challenge": "word"})
                link.receive()
                link.send(answer)

            threading.Thread(target=answers, daemon=True).start()
            with pytest.raises(ValueError, match="is not process 0 of this command"):
                meet(place(1, server.getsockname()[1]), 5, 0, SECRET)


def test_another_secret_gets_a_line(waiting):
    port, leader = waiting
    with pytest.raises(ValueError, match="does not know this process by LDL_JAX_SECRET; give all"):
        meet(place(1, port), 5, 0, Secret(lambda: b"another", "LDL_JAX_SECRET"))
    assert_still_meets(port, leader, 2)


def test_a_secret_that_appears_late_is_waited_for(waiting):
    port, leader = waiting
    given = iter([b"", b"an old run's", KEY])
    links, told = meet(place(1, port), 5, 0, Secret(lambda: next(given), "file", 5.0))
    assert told == 4000
    assert list(leader.result()[0]) == [1]
    links[0].close()


def test_the_run_s_folder_gives_a_secret_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv(secret.VARIABLE, raising=False)
    before, folder = os.umask(0), tmp_path / "a" / "run"
    try:
        with joining._secret(folder, True) as own:
            assert (folder / ".secret").stat().st_mode & 0o777 == 0o600
            assert len(own.read()) == 64
            with joining._secret(folder, False) as other:
                assert other.read() == own.read()
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    for primary in (True, False):
        with (
            pytest.raises(ValueError, match="is a file; give"),
            joining._secret(tmp_path / "file", primary),
        ):
            pass


def test_the_environment_s_secret_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(secret.VARIABLE, "x" * 16)
    with joining._secret(tmp_path / "run", True) as own:
        assert own.read() == b"x" * 16
    monkeypatch.setenv(secret.VARIABLE, "short")
    with (
        pytest.raises(ValueError, match="expected 16 characters or more, got 5"),
        joining._secret(tmp_path / "run", True),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_it_listens_where_it_was_told():
    assert listening.host(Address("10.1.2.3", 1, 2, 0)) == "10.1.2.3"
    assert listening.host(Address("127.0.0.1", 1, 2, 0)) == "127.0.0.1"
    assert listening.host(Address("localhost", 1, 2, 0)) in ("127.0.0.1", "::1")
    assert listening.host(Address("node1", 1, 2, 0, "10.0.0.7")) == "10.0.0.7"
    with listening.listen(place(0, 0)) as server:
        assert server.getsockname()[0] == "127.0.0.1"
    environment = {"JAX_COORDINATOR_BIND_ADDRESS": "[fe80::1]:12"}
    assert find("node1:12", 2, 0, environment).bind == "fe80::1"
    with pytest.raises(ValueError, match="expected HOST or HOST:12"):
        find("node1:12", 2, 0, {"JAX_COORDINATOR_BIND_ADDRESS": "0.0.0.0:9"})


def test_jax_s_coordinator_listens_there_too(monkeypatch):
    given = {}
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **k: given.update(k, at=a[0]))
    monkeypatch.setattr(processes, "meet", lambda *_: ({}, 4000))
    monkeypatch.setattr(processes, "_group", None)
    processes.join(place(0, 0), 1, lambda text: None, SECRET)
    processes._group.close()
    assert given["at"] == given["coordinator_bind_address"] == "127.0.0.1:4000"


def test_the_documents_say_that_the_network_must_be_trusted():
    text = (Path(__file__).parents[2] / "docs/hostile-input.md").read_text()
    assert "the network between the processes must be trusted" in " ".join(text.lower().split())
