"""The flags of workers: bad ones are said in one line, all at once."""

import sys

import jax
import pytest
from absl import flags

from ldl_jax.run import launching


@pytest.fixture
def wanted(monkeypatch):
    """`wanted(*flags)`: what they ask for, or the line that says what is wrong with them."""
    known = flags.FLAGS
    # The driver computes on its CPU, as this process does.
    monkeypatch.setattr(jax.config, "update", lambda *values: None)

    def ask(*given, installed=True):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: sys if installed else None)
        known.unparse_flags()
        for name in ("launcher", "workers", "address", "cpus", "gpus", *launching._of_slurm()):
            known[name].unparse()
        known(["main", *given])
        try:
            return launching.wanted()
        except ValueError as error:
            return str(error)

    yield ask
    ask()


def test_by_default_this_process_trains_and_flags_of_workers_are_refused(wanted):
    assert wanted() is None
    assert wanted("--launcher=local") is None
    assert wanted("--workers=2", "--slurm.time=9") == (
        "--workers, --slurm.time: for --launcher=ray or --launcher=slurm alone"
    )


def test_what_is_wrong_is_said_at_once(wanted):
    text = wanted("--launcher=ray", "--workers=0", "--cpus=0.5", "--slurm.qos=x", installed=False)
    assert text.split("; and ") == [
        "--launcher=ray needs ray, which is not installed: pip install 'ldl_jax[ray]'",
        "--workers: expected 1 or more runs at a time, as --workers=2, got 0",
        "--cpus: expected 1 or more, got 0.5",
        "--slurm.qos: not for --launcher=ray",
    ]
    text = wanted("--launcher=slurm", "--gpus=0.5", "--address=auto")
    assert text.split("; and ") == [
        "--workers: expected 1 or more runs at a time, as --workers=2, and none is given",
        "--gpus: SLURM has whole ones, got 0.5",
        "--address: not for --launcher=slurm",
    ]
    assert wanted("--launcher=ray", "--workers=1", "--cpus=nan") == (
        "--cpus: expected 1 or more, got nan"
    )


def test_workers_find_what_this_process_finds(wanted, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--some")
    monkeypatch.setenv("SECRET_OF_MINE", "word")
    plan = wanted("--launcher=ray", "--workers=2", "--gpus=0.5")
    assert (plan.launcher, plan.count) == ("ray", 2)
    surroundings = launching._surroundings(tmp_path / "seen", plan.setup)
    assert surroundings.environment["XLA_FLAGS"] == "--some"
    assert surroundings.environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.45"
    assert "SECRET_OF_MINE" not in surroundings.environment
    assert all(folder.startswith("/") for folder in surroundings.search)
