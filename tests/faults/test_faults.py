"""What a run survives: kills at any moment, a full disk, damage at rest, a clock that goes back."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ldl_jax.train.checkpoint import read_weights

ROOT = Path(__file__).parents[2]
# `make soak` kills 50 times.
KILLS = int(os.environ.get("SOAK_KILLS", "3"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A cache of compiled programs, filled by the run left alone and only read by killed ones."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def start(compiled):
    """`start(workdir, *before)`: the small run as a process, by a command like `unshare`."""

    def run(workdir, *before, writes=False, **env):
        cache = {
            "JAX_COMPILATION_CACHE_DIR": str(compiled),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0" if writes else "1e9",
        }
        return subprocess.Popen(
            [*before, sys.executable, "-m", "tiny_run", str(workdir)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}", **cache, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


@pytest.fixture(scope="module")
def alone(start, tmp_path_factory):
    """A run that nothing happens to."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    finish(start(workdir, writes=True))
    return workdir


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    return out


def refused(process):
    """The one line with which a run ends that cannot go on."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, out + err
    # Libraries' threads may write into the line before it.
    lines = [line.partition("error: ")[2] for line in err.splitlines() if "error: " in line]
    assert len(lines) == 1, err
    return lines[0]


def assert_same_end(one, other):
    for name in ("metrics.jsonl", "generation_1.json", "generation_2.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for generation in ("generation_1", "generation_2"):
        name = f"predictions/{generation}.csv"
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
        assert_same(*(read_weights(path / "checkpoints" / generation)[1] for path in (one, other)))
    assert not list(other.rglob("*.partial*")), "a file is half-written"


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    else:
        np.testing.assert_array_equal(one, other)


def test_kills_at_random_moments_change_nothing(start, alone, tmp_path):
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    rng = np.random.default_rng(seed)
    kills, number = 0, 0
    while kills < KILLS:
        workdir = tmp_path / f"run{number}"
        number += 1
        while True:
            process = start(workdir)
            # From the start of the work, which importing comes before, to beyond its end.
            with contextlib.suppress(subprocess.TimeoutExpired):
                wait_for(workdir / "config.json", process)
                process.wait(timeout=rng.uniform(0, 6))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            if kills == KILLS:
                process = start(workdir)
                break
        finish(process)
        assert_same_end(alone, workdir)
        shutil.rmtree(workdir)


def wait_for(path, process):
    for _ in range(3000):
        if path.exists() or process.poll() is not None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)


@pytest.fixture
def small_disk():
    """A command before another: the folder given last is a disk of its own, of 400 kB."""
    mount = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
    before = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    try:
        subprocess.run([*before, "8k", "/mnt", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be made here ({error})")
    return before


def test_a_full_disk_stops_the_run_with_its_last_good_checkpoint(start, small_disk, tmp_path):
    # The disk is gone with the process, so what it held is looked for in what the process says.
    line = refused(start(tmp_path / "run", *small_disk, "400k", str(tmp_path)))
    assert "No space left on device" in line
    assert "the last good one is" in line
    assert f"{tmp_path}/run/checkpoints/generation_1/" in line
    assert "run the same command again" in line


def test_a_folder_that_cannot_be_written_is_said_at_once(start, small_disk, tmp_path):
    mount = ["sh", "-c", 'mount -o remount,ro "$1" && shift && exec "$@"', "sh", str(tmp_path)]
    line = refused(start(tmp_path / "run", *small_disk, "400k", str(tmp_path), *mount))
    assert "Read-only file system" in line
    assert str(tmp_path / "run") in line


@pytest.mark.parametrize("harm", ["flipped", "missing"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(harm, start, alone, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(alone, workdir)
    for name in ("generation_2.json", "predictions/generation_2.csv"):
        (workdir / name).unlink()
    steps = (p for p in (workdir / "checkpoints/generation_2").iterdir() if p.name.isdigit())
    last = max(steps, key=lambda path: int(path.name))
    largest = max((p for p in last.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    if harm == "missing":
        largest.unlink()
    else:
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 1
        largest.write_bytes(content)
    printed = finish(start(workdir))
    assert f"checkpoint {last} is damaged, falling back" in printed
    assert_same_end(alone, workdir)


def test_two_launches_on_one_workdir_the_second_refuses(start, alone, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(alone, workdir)
    with (workdir / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "is in use by a running job" in refused(start(workdir))


def test_a_clock_that_goes_back_changes_nothing(start, alone, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(alone, workdir)
    for name in ("generation_2.json", "predictions/generation_2.csv"):
        (workdir / name).unlink()
    later = 4e9  # what is there was written in the future
    for path in [workdir, *workdir.rglob("*")]:
        os.utime(path, (later, later))
    finish(start(workdir))
    assert_same_end(alone, workdir)
