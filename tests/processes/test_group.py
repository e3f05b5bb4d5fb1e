"""Processes meet, share values and end together; here each is a thread."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ldl_jax.processes.address import Address
from ldl_jax.processes.group import REMEDY, Group
from ldl_jax.processes.meeting import meet
from ldl_jax.processes.secret import Secret

N = 3
SECRET = Secret(lambda: b"of these processes alone", "LDL_JAX_SECRET")
# A thread ends as the process would.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def addresses(count=N):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return [Address("127.0.0.1", port, count, index) for index in range(count)]


def come(places, seconds=5.0):
    """What each meets, or the ValueError that it raises."""

    def one(place):
        try:
            return meet(place, seconds, 4000 + place.index, SECRET)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(len(places)) as pool:
        return list(pool.map(one, places))


class Ends:
    """What ends each process, and when all have ended."""

    def __init__(self):
        self.groups, self.texts, self._changed = {}, {}, threading.Condition()

    def of(self, index):
        def end(text):
            with self._changed:
                self.texts[index] = text
                self._changed.notify_all()
            self.groups[index].close()
            raise SystemExit

        return end

    def wait(self, indices):
        with self._changed:
            assert self._changed.wait_for(lambda: set(indices) <= set(self.texts), 60)
        return [self.texts[index] for index in indices]


@pytest.fixture
def start():
    """`start(**options)`: the groups of N processes, and their ends."""
    groups = []

    def begin(silent=(), **options):
        ends = Ends()
        for index, (links, _) in enumerate(come(addresses())):
            beat = 100 if index in silent else 0.1
            group = Group(index, N, links, ends.of(index), beat=beat, **options)
            groups.append(group)
            ends.groups[index] = group
        return groups, ends

    yield begin
    for group in groups:
        group.close()


def test_all_learn_the_port_of_process_0():
    found = come(addresses())
    assert [port for _, port in found] == [4000] * N
    assert [sorted(links) for links, _ in found] == [[1, 2], [0], [0]]
    for links, _ in found:
        for link in links.values():
            link.close()


def test_values_go_round_in_order(start):
    groups, ends = start()

    def exchange(group):
        first = group.post({"a": group.index})
        second = group.share(10 * group.index)
        return group.collect(first), second, [group.share(step)[0] for step in range(20)]

    with ThreadPoolExecutor(N) as pool:
        found = list(pool.map(exchange, groups))
    assert found == [([{"a": 0}, {"a": 1}, {"a": 2}], [0, 10, 20], list(range(20)))] * N
    with ThreadPoolExecutor(N) as pool:
        list(pool.map(Group.leave, groups))
    for group in groups:
        group.close()
    time.sleep(0.3)
    assert ends.texts == {}


def test_a_process_that_dies_ends_the_others_at_once(start):
    groups, ends = start()
    begin = time.monotonic()
    groups[1].close()
    line = f"process 1 ended without a word; {REMEDY}"
    assert ends.wait([0, 2]) == [line, line]
    assert time.monotonic() - begin < 8


def test_process_0_that_dies_ends_the_others(start):
    groups, ends = start()
    groups[0].close()
    line = f"process 0 ended without a word; {REMEDY}"
    assert ends.wait([1, 2]) == [line, line]


def test_a_process_that_stands_still_ends_the_others(start):
    _, ends = start(silent=[2], silence=2.0)
    line = f"process 2 gave no sign of life for 2 s; {REMEDY}"
    assert ends.wait([0, 1]) == [line, line]


def test_an_error_of_one_is_told_by_all(start):
    groups, ends = start()
    with pytest.raises(SystemExit):
        groups[2].fail("no such file")
    assert ends.wait(range(N)) == ["process 2: no such file"] * 2 + ["no such file"]


def test_an_error_of_all_is_told_once(start):
    groups, ends = start()

    def fail(group):
        with contextlib.suppress(SystemExit):
            group.fail("batch_size: 3 is not a multiple")

    with ThreadPoolExecutor(N) as pool:
        list(pool.map(fail, groups))
    assert ends.wait(range(N)) == ["batch_size: 3 is not a multiple", "", ""]


# A meeting that does not come about.


def test_one_that_does_not_come():
    places = addresses()
    line = f"2 of 3 processes came to {places[0]} within 2 s; start the same command with "
    assert come([places[0], places[2]], 2.0) == [f"{line}--process=1 too"] * 2


def test_a_coordinator_that_does_not_answer():
    begin = time.monotonic()
    [line] = come(addresses(2)[1:], 0.8)
    assert line.startswith("--coordinator: process 0 does not answer at 127.0.0.1:")
    assert line.endswith(
        "within 0.8 s (Connection refused); start it there with --process=0, or correct the address"
    )
    assert time.monotonic() - begin < 3


def test_two_of_the_same_number():
    places = addresses()
    lines = come([places[0], places[1], places[1]])
    line = "two processes were started with --process=1; give each another, from 0 to 2"
    assert lines == [line] * 3


def test_another_number_of_processes():
    places = addresses(2)
    other = Address(places[1].host, places[1].port, 4, 1)
    line = (
        "process 1 was started with --processes=4, process 0 with --processes=2; give all the same"
    )
    assert come([places[0], other]) == [line] * 2


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = Address("127.0.0.1", server.getsockname()[1], 2, 0)
        with pytest.raises(ValueError, match=r"cannot listen on .* \(Address already in use\)"):
            meet(place, 1, 0, SECRET)


def test_somebody_else_who_listens_there():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        place = Address("127.0.0.1", server.getsockname()[1], 2, 1)
        with pytest.raises(ValueError, match="is not process 0 of this command, or it ended"):
            meet(place, 5, 0, SECRET)


def test_somebody_else_who_comes_is_left():
    places = addresses(2)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(meet, places[0], 5, 4000, SECRET)
        for word in (b"GET / HTTP/1.1\r\n\r\n", b"{}\n", b""):
            for _ in range(50):
                try:
                    with socket.create_connection(("127.0.0.1", places[0].port), 1) as stray:
                        stray.sendall(word)
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)
        other = pool.submit(meet, places[1], 5, 0, SECRET)
        assert other.result()[1] == 4000
        for links, _ in (leader.result(), other.result()):
            for link in links.values():
                link.close()
