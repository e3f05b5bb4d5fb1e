"""A worker's process: what it does, prints and finds, and how it ends, for real."""

import os
import signal
import threading
import time

import pytest

from ldl_jax.workers import Surroundings, WorkUnit
from ldl_jax.workers import child as child_module
from ldl_jax.workers.supervisor import Supervisor
from ldl_jax.workers.units import DIED, DONE, FAILED, STOPPED, UNUSABLE

TASKS = """
import os, signal, subprocess, sys, time
from ldl_jax.workers import UnitStopped

calls = 0

def setup(greeting):
    if greeting == "bad":
        raise ValueError("no GPU here")
    print(greeting)

def task(text):
    global calls
    calls += 1
    print("python", text, os.environ["GIVEN"], os.getcwd(), calls, flush=True)
    subprocess.run(["echo", "process " + text], check=True)

def wrong():
    raise ValueError("data.root: there is no such folder")

def broken():
    return {}["key"]

def killed():
    os.kill(os.getpid(), signal.SIGKILL)

def saved(path):
    def stop(number, frame):
        raise UnitStopped("stopped after step 3")
    signal.signal(signal.SIGTERM, stop)
    open(path, "w").close()
    time.sleep(60)
"""


@pytest.fixture
def workers(tmp_path):
    """`workers(greeting)`: a supervisor of a process that finds the tasks in a folder."""
    (tmp_path / "search").mkdir()
    (tmp_path / "search/own_tasks.py").write_text(TASKS)
    (tmp_path / "seen").write_text("word")
    started = []

    def supervisor(greeting="hello", word="word"):
        started.append(
            Supervisor(
                Surroundings(
                    str(tmp_path),
                    (str(tmp_path / "search"), os.getcwd()),
                    {"GIVEN": "given"},
                    "own_tasks:setup",
                    {"greeting": greeting},
                    (tmp_path / "seen", word),
                )
            )
        )
        return started[-1]

    yield supervisor
    for each in started:
        each.close()


def unit(folder, name, **arguments):
    return WorkUnit(name, f"own_tasks:{name}", arguments, folder / f"logs/{name}.log")


def test_units_of_one_process_print_to_their_own_logs_and_find_the_drivers_modules(
    workers, tmp_path
):
    worker = workers()
    assert worker.run(unit(tmp_path, "task", text="one")).kind == DONE
    ending = worker.run(unit(tmp_path, "wrong"))
    assert (ending.kind, ending.text) == (FAILED, "data.root: there is no such folder")
    ending = worker.run(unit(tmp_path, "broken"))
    assert (ending.kind, ending.text) == (FAILED, "KeyError: 'key'")
    assert worker.run(unit(tmp_path, "missing")).kind == FAILED
    assert worker.run(unit(tmp_path, "task", text="two")).kind == DONE
    assert (tmp_path / "logs/task.log").read_text().splitlines() == [
        "hello",
        f"python one given {tmp_path} 1",
        "process one",
        f"python two given {tmp_path} 2",
        "process two",
    ]
    assert (tmp_path / "logs/wrong.log").read_text() == (
        "error: data.root: there is no such folder\n"
    )
    assert "Traceback" in (tmp_path / "logs/broken.log").read_text()


def test_a_process_that_is_killed_is_said_and_another_takes_its_place(workers, tmp_path):
    worker = workers()
    ending = worker.run(unit(tmp_path, "killed"))
    assert (ending.kind, ending.text) == (DIED, "killed by SIGKILL")
    assert worker.run(unit(tmp_path, "task", text="again")).kind == DONE


def test_a_stop_is_handed_on_and_the_end_of_the_supervisor_ends_the_process(workers, tmp_path):
    worker, endings = workers(), []

    def run(name):
        work = unit(tmp_path, "saved", path=str(tmp_path / name))
        thread = threading.Thread(target=lambda: endings.append(worker.run(work)))
        thread.start()
        end = time.monotonic() + 60
        while not (tmp_path / name).exists() and time.monotonic() < end:
            time.sleep(0.02)
        return thread

    thread = run("first")
    worker.stop()
    thread.join(30)
    assert (endings[0].kind, endings[0].text) == (STOPPED, "stopped after step 3")
    worker.stop()  # there is nothing to stop
    thread = run("second")
    worker._process.stdin.close()  # as the system does where the supervisor is killed
    thread.join(30)
    assert endings[1].kind == DIED


def test_a_worker_that_cannot_be_used_says_why(workers, tmp_path, monkeypatch):
    ending = workers("bad").run(unit(tmp_path, "task", text="one"))
    assert ending.kind == UNUSABLE
    assert ending.text.endswith("cannot be used: no GPU here")
    monkeypatch.setattr(child_module, "_SEEN", 0.0)
    given = workers(word="another")._surroundings
    assert "does not see what the driver writes to" in child_module._set_up(given)


def test_how_a_process_ended_has_a_name(workers, tmp_path):
    worker = workers()
    worker.run(unit(tmp_path, "task", text="one"))
    os.kill(worker._process.pid, signal.SIGSEGV)
    assert "SIGSEGV" in worker.run(unit(tmp_path, "task", text="two")).text
