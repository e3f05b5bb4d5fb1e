"""A profile of a few steps, after those that compile."""

import jax
import jax.numpy as jnp
import pytest

from ldl_jax.train import trace
from ldl_jax.train.trace import Trace


@pytest.fixture
def profiler(monkeypatch):
    """What the profiler was told, and after which step."""
    told = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: told.append(folder))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: told.append("stop"))
    return told


def follow(folder, said, calls):
    state = jnp.zeros(())
    with Trace(str(folder), said.append) as mine:
        for number in calls:
            mine.after(number, state)


def test_steps_after_the_first_calls(tmp_path, profiler):
    said = []
    follow(tmp_path / "a", said, range(1, 100))
    assert profiler == [str(tmp_path / "a"), "stop"]
    assert (tmp_path / "a").is_dir()
    assert said == [f"--profile: a trace of step 11 to 20 is in {tmp_path / 'a'}"]


def test_calls_of_several_steps(tmp_path, profiler):
    said = []
    follow(tmp_path, said, range(116, 500, 16))
    assert profiler == [str(tmp_path), "stop"]
    assert said == [f"--profile: a trace of step 261 to 276 is in {tmp_path}"]


def test_a_run_that_ends_before(tmp_path, profiler):
    said = []
    follow(tmp_path, said, range(1, 15))
    assert profiler == [str(tmp_path), "stop"]
    assert said == [f"--profile: a trace of step 11 to the last one is in {tmp_path}"]
    follow(tmp_path, said, range(1, 5))
    assert len(profiler) == 2
    assert "no trace" in said[1]


def test_none_is_wanted(profiler):
    follow("", [], range(1, 100))
    assert profiler == []


def test_the_real_profiler_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "_WARM_UP", 1)
    monkeypatch.setattr(trace, "_STEPS", 1)
    follow(tmp_path, [], range(1, 4))
    assert any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_file_in_its_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^--profile: .*file cannot be made a folder"):
        Trace(str(tmp_path / "file"), print)
