"""Compiled programs on disk: whole or not there, whatever is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from ldl_jax.run.compile_cache import compile_cache

ROOT = Path(__file__).parents[2]


def compile_something(factor):
    jax.jit(lambda x: jnp.sin(x * factor).sum())(jnp.ones(7)).block_until_ready()


@pytest.fixture
def every_program(monkeypatch):
    """Programs that compile in a moment are kept as well."""
    before = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield
    jax.config.update("jax_persistent_cache_min_compile_time_secs", before)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("every_program")
def test_new_programs_are_left_and_found_again(tmp_path):
    before = jax.config.values["jax_compilation_cache_dir"]
    folder = tmp_path / "new" / "cache"
    with compile_cache(str(folder)):
        compile_something(2.0)
        (private,) = folder.iterdir()  # nothing is in the folder itself before the end
        assert private.name.startswith(".writing-")
    first = names(folder)
    assert first
    assert all(name.endswith("-cache") for name in first)
    inodes = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    with compile_cache(str(folder)):
        compile_something(2.0)
    assert names(folder) == first
    with compile_cache(str(folder)):
        compile_something(3.0)
    assert set(first) < set(names(folder))
    assert {name: (folder / name).stat().st_mtime_ns for name in first} == inodes
    assert jax.config.values["jax_compilation_cache_dir"] == before


@pytest.mark.usefixtures("every_program")
def test_what_a_killed_process_was_writing_is_gone(tmp_path):
    program = (
        "import sys, time; from ldl_jax.run.compile_cache import compile_cache\n"
        f"cache = compile_cache({str(tmp_path)!r}); cache.__enter__()\n"
        f"half = next(p for p in __import__('pathlib').Path({str(tmp_path)!r}).iterdir())\n"
        "(half / 'jit_f-abc-cache').write_bytes(b'half'); print('ready', flush=True)\n"
        "time.sleep(600)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    with compile_cache(str(tmp_path)):
        assert len(names(tmp_path)) == 2  # a living process keeps its folder
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert len(names(tmp_path)) == 1
    with compile_cache(str(tmp_path)):
        compile_something(5.0)
    assert names(tmp_path)
    assert all(name.endswith("-cache") and "abc" not in name for name in names(tmp_path))


def test_processes_that_start_and_end_at_one_time_leave_one_another_alone(tmp_path):
    program = (
        "import sys; from ldl_jax.run.compile_cache import compile_cache\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"for _ in range(100):\n    with compile_cache({str(tmp_path)!r}): pass"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=60)
    assert [child.returncode for child in children] == [0, 0, 0]
    assert names(tmp_path) == []


def test_no_folder_no_cache():
    before = jax.config.values["jax_compilation_cache_dir"]
    with compile_cache(""):
        assert jax.config.values["jax_compilation_cache_dir"] == before


def test_a_file_in_its_place(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ValueError, match=r"^--compile_cache: .*file cannot be written to"),
        compile_cache(str(tmp_path / "file")),
    ):
        pass


@pytest.mark.usefixtures("every_program")
def test_a_full_disk_does_not_hide_the_runs_own_error(tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)

    def fails():
        with compile_cache(str(tmp_path / "cache")):
            compile_something(3.0)
            raise ZeroDivisionError

    message = "--compile_cache: new programs are not kept .*No space"
    with pytest.warns(UserWarning, match=message), pytest.raises(ZeroDivisionError):
        fails()
