"""Sweeps through Ray and submitit, on two workers of this machine, one of which is killed.

`make test-workers` installs both; without them these tests are skipped. Both take about a minute
on two idle cores.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = """
from configs import quickstart

def get_config():
    config = quickstart.get_config()
    config.data.synthetic_count, config.data.size = 64, 64
    config.batch_size = config.evaluation.batch_size = 8
    config.epochs, config.chain.generations, config.checkpoint_every = 4, 1, 0.5
    config.model.name = "ssrnet"
    config.method.name = "own_method:factory"
    config.optimizer.learning_rate = 1e-3
    config.sweep = {"seed": (0, 1)}
    return config
"""
# A user's own method, which a worker finds where the driver does.
METHOD = """
from ldl_jax import methods

def factory(space):
    return methods.get("dldl_v2", space=space)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("workers")
    (path / "sweep.py").write_text(CONFIG)
    (path / "own_method.py").write_text(METHOD)
    return path


def start(folder, name, *flags, compiles=False):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # and not the devices of the tests
        # Who is killed may leave half an entry, so one run alone writes them.
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0" if compiles else "1e9",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "launch.main", "--config=sweep.py", f"--workdir={name}", *flags],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process):
    try:
        text, _ = process.communicate(timeout=240)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, text


@pytest.fixture(scope="module")
def sequential(folder):
    code, text = end(start(folder, "sequential", compiles=True))
    assert code == 0, text
    return folder / "sequential"


def trainer(run):
    """Waits for a run's first checkpoint, and returns the process that holds its lock."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if any(path.name.isdigit() for path in run.glob("checkpoints/generation_1/*")):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if any(x.resolve() == run / ".lock" for x in process.glob("fd/*")):
                        return int(process.name)
        time.sleep(0.02)
    raise AssertionError(f"{run} has no checkpoint and no process")


def flags_of(launcher):
    pytest.importorskip({"ray": "ray", "slurm": "submitit"}[launcher], reason="make test-workers")
    own = {"ray": [], "slurm": ["--slurm.cluster=local", "--slurm.time=9"]}[launcher]
    return [f"--launcher={launcher}", "--workers=2", *own]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "killed", "says"),
    [
        ("ray", "process", "killed by SIGKILL"),
        ("ray", "actor", "ActorDiedError"),
        ("slurm", "process", "killed by SIGKILL"),
    ],
)
def test_a_worker_that_is_killed_costs_its_own_run_alone(launcher, killed, says, folder, request):
    flags = flags_of(launcher)
    sequential = request.getfixturevalue("sequential")
    path = folder / f"{launcher}_{killed}"
    driver = start(folder, path.name, *flags)
    try:
        trains = trainer(path / "runs/seed=1")
        # The actor of Ray has started the process that trains, which ends with it.
        parent = int(Path(f"/proc/{trains}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(trains if killed == "process" else parent, signal.SIGKILL)
    finally:
        code, text = end(driver)
    assert code == 0, text
    assert "seed=1: its worker died" in text
    assert says in text
    assert text.count("its worker died") == 1
    assert "2 of 2 done, 0 running" in text
    assert "generation 1 goes on after step" in (path / "logs/seed=1.log").read_text()
    for name in ("table.md", *(f"runs/seed={seed}/metrics.jsonl" for seed in range(2))):
        assert (sequential / name).read_bytes() == (path / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["ray", "slurm"])
def test_a_signal_stops_the_workers_and_the_same_command_goes_on(launcher, folder, request):
    flags = flags_of(launcher)
    sequential = request.getfixturevalue("sequential")
    name = f"{launcher}_stopped"
    process = start(folder, name, *flags)
    try:
        worker = trainer(folder / name / "runs/seed=0")
        process.send_signal(signal.SIGTERM)
    finally:
        code, text = end(process)
    assert code == 128 + signal.SIGTERM, text
    assert "stopped by SIGTERM: 0 of 2 done; " in text
    if launcher == "ray":  # submitit's imitation of SLURM kills after a second
        assert "what was running has saved a checkpoint" in text
    assert not Path(f"/proc/{worker}").exists()
    assert not (folder / name / "table.md").exists()
    code, text = end(start(folder, name, *flags))
    assert code == 0, text
    assert (folder / name / "table.md").read_bytes() == (sequential / "table.md").read_bytes()


@pytest.mark.parametrize(
    ("launcher", "flag", "says"),
    [
        ("ray", "--address=127.0.0.1:9", "no Ray cluster answers at 127.0.0.1:9"),
        ("ray", "--address=somewhere", "expected HOST:PORT of a Ray cluster or auto"),
        ("ray", "--cpus=999", "no machine has 999 CPUs for a worker"),
        ("slurm", "--slurm.cluster=slurm", "there is no sbatch on the path"),
    ],
)
def test_what_is_not_there_is_one_line_before_anything_is_written(launcher, flag, says, folder):
    code, text = end(start(folder, "nothing", *flags_of(launcher), flag))
    assert code == 1
    (line,) = text.splitlines()
    assert line.startswith("error: --")
    assert says in line
    assert not (folder / "nothing").exists()
