"""SIGINT and SIGTERM in the first seconds of a command: it ends, and leaves nothing locked."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ldl_jax.files import lock
from ldl_jax.run import command, joining

ROOT = Path(__file__).parents[2]


def started(*flags, **env):
    """Starts the command with SIGINT as a terminal gives it, whatever started this suite."""
    return subprocess.Popen(
        [sys.executable, "-m", "launch.main", "--config=configs/quickstart.py", *flags],
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_libraries_are_imported_ends_the_command(number, tmp_path):
    workdir = tmp_path / "run"
    process = started(f"--workdir={workdir}")
    libraries = Path(f"/proc/{process.pid}/maps")
    if not libraries.exists():
        process.kill()
        pytest.skip("no list of loaded libraries")
    end = time.monotonic() + 60
    while "jaxlib" not in libraries.read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=20)
    assert process.returncode in (-number, 130)
    assert printed == ""
    assert "Exception ignored" not in errors
    assert not workdir.exists()


def test_a_signal_while_the_first_step_compiles_leaves_no_lock(tmp_path):
    """A run that is as far as its folder, and compiles; a second signal ends it at once."""
    number = signal.SIGINT
    workdir = tmp_path / "run"
    flags = ["epochs=1", "batch_size=64", "data.synthetic_count=256", "evaluation.batch_size=64"]
    settings = [f"--config.{flag}" for flag in flags]
    process = started(*settings, f"--workdir={workdir}", XLA_FLAGS="")
    end = time.monotonic() + 60
    while not (workdir / "metrics.jsonl").exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (-number, 128 + number)
    assert "Traceback" not in errors
    with lock(workdir):
        pass
    assert (workdir / "config.json").exists()


def test_an_interrupt_outside_of_training_is_a_line(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(command.app, "run", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as ended:
        command.start(test_an_interrupt_outside_of_training_is_a_line)
    signal.signal(signal.SIGINT, handler)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped by SIGINT; nothing was being trained\n"


def test_an_interrupt_of_one_process_ends_all(monkeypatch):
    told = []
    monkeypatch.setattr(joining.processes, "count", lambda: 2)
    monkeypatch.setattr(joining.processes, "fail", told.append)
    monkeypatch.setattr(joining.processes, "leave", lambda: None)
    with joining.together():
        raise KeyboardInterrupt
    assert told == ["stopped by SIGINT"]
