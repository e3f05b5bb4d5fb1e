"""Two processes of four devices learn what one process learns, die together, and go on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags
from rich.console import Console

from configs import quickstart
from ldl_jax import processes
from ldl_jax.evaluation import predictions
from ldl_jax.processes.group import REMEDY
from ldl_jax.run import config as schema
from ldl_jax.run import experiment
from ldl_jax.run import joining as launched
from ldl_jax.run.progress import ProgressBar
from ldl_jax.train import generations, interrupt
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.workdir import Workdir, WorkdirError, read_results, read_rows

CHANGES: dict[str, Any] = {
    "model.name": "tiny",
    "data.synthetic_count": 64,
    "data.size": 32,
    "batch_size": 8,
    "evaluation.batch_size": 8,
    "epochs": 3,
    "log_every": 1,
    "chain.generations": 2,
    "optimizer.name": "sgd",  # optax.adam promotes types
    "optimizer.learning_rate": 1e-2,
    "optimizer.schedule": "constant",
}
# Sums over the batch are taken in another order.
TOLERANCE = 1e-4


def alone(workdir: Path, devices: int) -> None:
    """The same run, or what is left of it, in this process."""
    config = quickstart.get_config()
    config.update_from_flattened_dict(CHANGES)
    made = experiment.build(schema.parse(config), lambda text: None, devices=devices)
    with Workdir(workdir, made.description) as opened, Interrupt() as stop:
        generations.run(made.job, opened, stop, ProgressBar(Console(quiet=True), 2))


def assert_learnt_the_same(one: Path, other: Path) -> None:
    ours, theirs = (read_rows(path / "metrics.jsonl") for path in (one, other))
    place = ("kind", "generation", "step", "total_step")
    assert [[r[k] for k in place] for r in ours] == [[r[k] for k in place] for r in theirs]
    assert len({row["loss"] for row in ours if row["kind"] == "train"}) == 36
    for a, b in zip(ours, theirs, strict=True):
        for name in ("loss", "gradient_norm", "mae"):
            if name in a:
                np.testing.assert_allclose(b[name], a[name], rtol=TOLERANCE, err_msg=f"{name} {a}")
    for generation in (1, 2):
        file = f"predictions/generation_{generation}.csv"
        ours_, theirs_ = predictions.read(one / file), predictions.read(other / file)
        assert ours_.ids == theirs_.ids
        assert len(set(ours_.ids)) == 16
        np.testing.assert_allclose(theirs_.values, ours_.values, rtol=1e-3)
        np.testing.assert_allclose(theirs_.probs, ours_.probs, atol=1e-5)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, two_processes: Any) -> dict[str, Any]:
    """A run of two processes of which one kills itself, the folder then, and a second go."""
    folder = tmp_path_factory.mktemp("two")
    given = ["--config=configs/quickstart.py"]
    given += [f"--config.{key}={value}" for key, value in CHANGES.items()]
    # At the eighth step of generation 2, once the checkpoint of the sixth is there.
    once = folder / "run/checkpoints/generation_2/6.sha256"
    died = two_processes(folder / "run", *given, DIE_1="26", ONCE_1=str(once))
    shutil.copytree(folder / "run", folder / "at the kill")
    return {"folder": folder, "died": died, "again": two_processes(folder / "run", *given)}


def test_a_process_that_dies_ends_the_other_with_a_line(two: dict[str, Any]) -> None:
    (code, printed, error, when), (killed, _, silent, died) = two["died"]
    assert killed == -9
    assert silent == ""
    assert code == 1
    assert error == f"error: process 1 ended without a word; {REMEDY}\n"
    assert 0 <= when - died < 60
    assert "2 processes with 8 devices" in printed
    rest = read_results(two["folder"] / "at the kill")
    assert [row["generation"] for row in rest] == [1]


def test_the_same_command_goes_on_and_process_0_alone_talks(two: dict[str, Any]) -> None:
    (code, printed, error, _), (other, nothing, nor_here, _) = two["again"]
    assert (code, other) == (0, 0), error + nor_here
    assert (error, nothing, nor_here) == ("", "", "")
    assert "always answering the training mean" in printed
    path = two["folder"] / "run"
    assert len(read_results(path)) == 2
    assert (path / "figures").is_dir()
    state = path / "checkpoints/generation_2/18/state"
    assert {p.name for p in state.glob("ocdbt.process_*")} == {"ocdbt.process_0", "ocdbt.process_1"}


@pytest.mark.parametrize("devices", [1, 8])
def test_two_processes_learn_what_one_does(
    two: dict[str, Any], tiny_network: str, devices: int, tmp_path: Path
) -> None:
    alone(tmp_path / "alone", devices)
    assert_learnt_the_same(tmp_path / "alone", two["folder"] / "run")


def test_one_process_goes_on_where_two_stopped(
    two: dict[str, Any], tiny_network: str, tmp_path: Path
) -> None:
    shutil.copytree(two["folder"] / "at the kill", tmp_path / "run")
    assert (tmp_path / "run/checkpoints/generation_2/6.sha256").exists()
    alone(tmp_path / "run", 1)
    assert_learnt_the_same(two["folder"] / "run", tmp_path / "run")


# What is decided among processes, with others that are made up.


def others(patch: pytest.MonkeyPatch, index: int, *answers: list[Any]) -> list[Any]:
    """Makes this process one of two; the exchanges' answers, and a list of what it gives."""
    given: list[Any] = []
    left = iter(answers)

    def post(value: Any) -> int:
        given.append(value)
        return len(given) - 1

    patch.setattr(processes, "count", lambda: 2)
    patch.setattr(processes, "index", lambda: index)
    patch.setattr(processes, "post", post)
    patch.setattr(processes, "collect", lambda number: next(left))
    patch.setattr(processes, "all_gather", lambda value: processes.collect(processes.post(value)))
    return given


def test_another_config_or_split_ends_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = {"seed": 0, "data": {"size": [64, 64]}, "resolved": {"split": "abc"}}
    others(monkeypatch, 1, [first, None], [None, None], [first, None])
    launched.check_same({**first, "data": {"size": (64, 64)}})
    with pytest.raises(ValueError, match=r"than process 0: resolved.split: 'abc' -> 'abd'; give"):
        launched.check_same({**first, "resolved": {"split": "abd"}})


def test_processes_of_different_numbers_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    from ldl_jax.placement import make_placement

    others(monkeypatch, 0, [8, 4])
    with pytest.raises(ValueError, match=r"as many devices as the others, they have \[8, 4\]"):
        make_placement()


def test_a_folder_that_the_other_process_does_not_see(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ldl_jax.workdir.folder._SEEN", 0.2)
    others(monkeypatch, 1, ["word", None], [None, None])
    with pytest.raises(
        WorkdirError, match=r"process 1 does not see what process 0 writes to .*run"
    ):
        Workdir(tmp_path / "run", {})
    assert list(tmp_path.iterdir()) == []


def test_a_signal_to_one_stops_all_after_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    every = interrupt._AGREE
    given = others(monkeypatch, 0, [None, None], [None, 15], [None, 15])
    stop = Interrupt()
    found = [stop.check() for _ in range(4 * every)]
    assert found == [None] * (3 * every - 1) + [15] * (every + 1)
    assert given == [None] * 4
    stop = Interrupt()
    stop._note(2, None)
    others(monkeypatch, 0, [2, 15])
    assert stop.check(now=True) == 2


@pytest.fixture
def _flags_as_they_were() -> Iterator[None]:
    names = ("coordinator", "processes", "process", "connect_seconds")
    saved = {name: flags.FLAGS[name].value for name in names if flags.FLAGS.is_parsed()}
    yield
    for name, value in saved.items():
        flags.FLAGS[name].value = value


@pytest.mark.usefixtures("_flags_as_they_were")
@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--process=1"], "missing --coordinator (or JAX_COORDINATOR_ADDRESS), --processes"),
        (
            ["--coordinator=here", "--processes=2", "--process=0"],
            "--coordinator: expected HOST:PORT",
        ),
        (
            ["--coordinator=127.0.0.1:9", "--processes=2", "--process=1", "--connect_seconds=0.3"],
            "process 0 does not answer at 127.0.0.1:9 within 0.3 s (Connection refused); start it",
        ),
        (
            ["--coordinator=127.0.0.1:0", "--processes=2", "--process=0"],
            "--coordinator: expected HOST:PORT of process 0",
        ),
        (["--connect_seconds=0"], "--connect_seconds: expected more than 0, got 0"),
    ],
)
def test_processes_that_do_not_come_together(
    given: list[str],
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in launched.address.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    flags.FLAGS.unparse_flags()
    flags.FLAGS(["main", *given])
    with pytest.raises(SystemExit) as ended:
        launched.come_together(tmp_path / "run")
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert line in error
    assert processes.count() == 1
    assert list(tmp_path.iterdir()) == []
