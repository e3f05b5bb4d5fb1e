"""A run tells its trackers all there is to know, and never waits for them or fails by them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ldl_jax import trackers
from ldl_jax.run import config as schema
from ldl_jax.run import jobs, plan, sweeping, tracked
from ldl_jax.run.config import ConfigError
from ldl_jax.run.data import read_records
from ldl_jax.train.interrupt import Interrupted
from ldl_jax.train.log import NotFiniteError
from ldl_jax.workdir import Workdir, WorkdirError
from tests.launch.test_sweep_command import make
from tests.trackers import stand_in

OWN = "tests.trackers.stand_in:make"
DESCRIPTION = {"seed": 0, "data": {"std": (1.0, 2.0)}}


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setattr("ldl_jax.trackers.background._EVERY", 0.01)
    stand_in.KEPT.clear()
    return stand_in.KEPT


def config(*to: str, **log: Any) -> schema.Config:
    made = schema.defaults()
    made.log.to = to
    made.chain.generations = 1
    for key, value in log.items():
        made.log[key] = value
    return schema.parse(made)


def row(step: int, kind: str = "train", **values: Any) -> dict[str, Any]:
    origin = {"kind": kind, "generation": 1, "step": step, "epoch": step / 2}
    return {**origin, **values, "total_step": step}


class Broken:
    """Fails, or hangs, where it is told to."""

    def __init__(self, where: str, error: BaseException | None = None) -> None:
        self.where, self.error, self.calls = where, error, 0
        self.hangs = threading.Event()

    def _at(self, where: str) -> None:
        self.calls += 1
        if where == self.where:
            if self.error is not None:
                raise self.error
            self.hangs.wait(20)

    def start(self, run: trackers.TrackedRun) -> str:
        self._at("start")
        return "id"

    def rows(self, rows: Any) -> None:
        self._at("rows")

    def end(self, ending: trackers.Ending) -> None:
        self._at("end")


def run_of(folder: Path) -> trackers.TrackedRun:
    return trackers.TrackedRun("p", "", "n", (), {}, folder)


# What a tracker is told.


def test_a_tracker_gets_the_config_the_rows_and_the_ending(tmp_path: Path, kept: Any) -> None:
    path, lines = tmp_path / "one", []
    settings = config(OWN, project="faces", tags=("a", "b"))
    with (
        Workdir(path, DESCRIPTION) as opened,
        tracked.tracked(opened, settings, DESCRIPTION, path, lines.append),
    ):
        opened.start_metrics(1, 0)
        opened.write(row(1, loss=0.5), 100.0)
        opened.write(row(1, "fault", fault="loss_spike", loss=9.0))
        opened.write(row(2, "validation", mae=3.0))
        (path / "figures").mkdir()
        (path / "figures" / "curves.png").write_bytes(b"png")
        opened.finish(1, {"generation": 1, "mae": 4.0})
    (told,) = kept
    run = told["run"]
    assert (run.project, run.group, run.name, run.tags) == ("faces", "", "one", ("a", "b"))
    assert run.config == {"seed": 0, "data": {"std": [1.0, 2.0]}}
    assert [given[:2] for given in told["rows"]] == [("train", 1), ("fault", 1), ("validation", 2)]
    assert told["rows"][0].numbers == {
        "generation": 1, "epoch": 0.5, "loss": 0.5, "images_per_second": 100.0
    }  # fmt: skip
    assert told["rows"][1].numbers["loss_spike"] == 1
    assert told["rows"][2].named == {"validation/generation": 1, "validation/epoch": 1.0} | {
        "validation/mae": 3.0
    }
    ending = told["ending"]
    assert (ending.status, ending.results) == ("finished", [{"generation": 1, "mae": 4.0}])
    assert [figure.name for figure in ending.figures] == ["curves.png"]
    assert lines == []
    assert tracked.read(path) == {OWN: {"id": "id-1", "status": "finished"}}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Interrupted(15, 1, 3), "interrupted"),
        (NotFiniteError("the loss is nan"), "diverged"),
        (tracked.PrunedError("pruned"), "pruned"),
        (OSError("disk full"), "failed"),
        (None, "diverged"),  # of a program of several, which goes on without it
    ],
)
def test_a_tracker_is_told_how_a_run_ended(
    error: Exception | None, status: str, tmp_path: Path, kept: Any
) -> None:
    def run() -> None:
        with (
            Workdir(tmp_path, DESCRIPTION) as opened,
            tracked.tracked(opened, config(OWN), DESCRIPTION, tmp_path, print),
        ):
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(type(error)):
            run()
    assert kept[0]["ending"].status == status
    assert kept[0]["rows"] == []


def test_a_run_goes_on_in_the_same_place_and_late_trackers_get_what_was(
    tmp_path: Path, kept: Any
) -> None:
    """The second start adds a tracker; the third finds all of it told, and opens none."""
    late = "tests.trackers.stand_in:StandIn"

    def start(to: tuple[str, ...], step: int, *, finish: bool) -> None:
        with (
            Workdir(tmp_path, DESCRIPTION) as opened,
            tracked.tracked(opened, config(*to), DESCRIPTION, tmp_path, print),
        ):
            opened.start_metrics(1, step - 1)
            opened.write(row(step, loss=1.0))
            if finish:
                opened.finish(1, {"generation": 1, "mae": 4.0})

    start((OWN,), 1, finish=False)
    start((OWN, late), 2, finish=True)
    first, again, second = sorted(kept, key=lambda told: (len(told["rows"]), told["run"].id))
    assert first["run"].id == ""
    assert again["run"].id == "id-1"
    assert [given.step for given in again["rows"]] == [2]
    assert second["run"].id == ""
    assert [given.step for given in second["rows"]] == [1, 2]
    assert [told["ending"].status for told in (first, again, second)] == [
        "diverged", "finished", "finished"
    ]  # fmt: skip
    with (
        Workdir(tmp_path, DESCRIPTION) as opened,
        tracked.tracked(opened, config(OWN, late), DESCRIPTION, tmp_path, print),
    ):
        pass
    assert len(kept) == 3


def test_a_table_of_results_has_a_value_or_none_for_each_column() -> None:
    ending = trackers.Ending(
        "finished", "", [{"generation": 1, "mae": 4.0}, {"mae": 3.0, "ca5": 1}]
    )
    assert ending.columns == ["generation", "mae", "ca5"]
    assert ending.cells == [[1, 4.0, None], [None, 3.0, 1]]
    assert trackers.Ending("failed").cells == []


def test_runs_of_a_sweep_are_a_group(tmp_path: Path) -> None:
    root = tmp_path / "sweep"
    for inner, name in (("runs/lam=1", "lam=1"), ("folds/2", "folds/2")):
        told = tracked._described(config(OWN), {}, root / inner, root)
        assert (told["group"], told["name"]) == ("sweep", name)
    told = tracked._described(config(OWN, group="g", name="n"), {}, root / "runs/a", root)
    assert (told["group"], told["name"]) == ("g", "n/a")
    assert tracked._described(config(OWN, name="n"), {}, root, root)["name"] == "n"


@pytest.mark.usefixtures("tiny_network", "optax_promotes")
def test_a_sweep_with_an_own_tracker(tmp_path: Path, kept: Any) -> None:
    rates = {"optimizer.learning_rate": (1e30, 0.01)}
    made = schema.parse(make(rates, log__to=(OWN,), log_every=1))
    checked = sweeping.check(made, tmp_path / "two", read_records)
    with pytest.raises(NotFiniteError, match="1 of 2 runs diverged"):
        sweeping.run(checked, Console(quiet=True), shown=False)
    by_name = {told["run"].name: told for told in kept}
    lost, good = by_name["learning_rate=1e+30"], by_name["learning_rate=0.01"]
    assert {told["run"].group for told in kept} == {"two"}
    assert (lost["ending"].status, good["ending"].status) == ("diverged", "finished")
    assert good["run"].config["optimizer"]["learning_rate"] == 0.01
    folder = tmp_path / "two" / "runs" / "learning_rate=0.01"
    written = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(x.part, x.step) for x in good["rows"]] == [
        (x["kind"], x["total_step"]) for x in written
    ]
    assert not (folder / "events").exists()  # log.to has no "tensorboard"


# What a tracker cannot do.


@pytest.mark.parametrize("where", ["make", "start", "rows", "end"])
def test_a_tracker_that_fails_is_one_line(where: str, tmp_path: Path) -> None:
    error = SystemExit("https://me:secret@host/ is not there\nat all")
    writer, lines = Broken(where, error), []

    def make() -> Any:
        writer._at("make")
        return writer

    tracker = trackers.Background(
        "mine", make, run_of(tmp_path), lines.append, lambda identity: None
    )
    tracker.row(trackers.tracked_row(row(1)))
    assert not tracker.end(trackers.Ending("finished"), 5)
    for step in range(3):
        tracker.row(trackers.tracked_row(row(step)))
    assert lines == [
        "warning: mine: SystemExit: https://...@host/ is not there at all; the run goes on, and is "
        "no longer tracked there (metrics.jsonl has all rows)"
    ]


@pytest.mark.parametrize("where", ["start", "rows", "end"])
def test_a_tracker_that_hangs_is_left(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ldl_jax.trackers.background._MOST", 100)
    writer, lines = Broken(where), []
    tracker = trackers.Background(
        "mine", lambda: writer, run_of(tmp_path), lines.append, lambda identity: None
    )
    begun = time.monotonic()
    tracker.row(trackers.tracked_row(row(1)))
    while where == "rows" and writer.calls < 2:
        time.sleep(0.005)
    for step in range(10 if where == "end" else 200):
        tracker.row(trackers.tracked_row(row(step)))
    assert not tracker.end(trackers.Ending("finished"), 0.1)
    assert time.monotonic() - begun < 5
    writer.hangs.set()
    (line,) = lines
    assert ("was waited for for 0.1 s" if where == "end" else "100 rows wait for it") in line


def test_a_failing_tracker_leaves_the_run_and_the_others_alone(
    tmp_path: Path, kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(trackers, "make", lambda name: Broken("start", OSError(28, "disk full")))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with (
        Workdir(tmp_path, DESCRIPTION) as opened,
        tracked.tracked(opened, config("wandb", OWN), DESCRIPTION, tmp_path, lines.append),
    ):
        opened.start_metrics(1, 0)
        opened.write(row(1, loss=0.5))
        opened.finish(1, {"generation": 1, "mae": 4.0})
    assert lines == [line for line in lines if line.startswith("warning: wandb: OSError:")]
    assert len(lines) == 1
    assert kept[0]["ending"].status == "finished"
    assert tracked.read(tmp_path) == {OWN: {"id": "id-1", "status": "finished"}}
    assert len(opened.rows()) == 1


def test_a_removed_folder_is_no_trackers_fault(tmp_path: Path, kept: Any) -> None:
    """What the run raises is said, and not that the tracker's status cannot be kept."""
    path = tmp_path / "gone"

    def run() -> None:
        with (
            Workdir(path, DESCRIPTION) as opened,
            tracked.tracked(opened, config(OWN), DESCRIPTION, path, print),
        ):
            opened.start_metrics(1, 0)
            while not tracked.read(path):
                time.sleep(0.005)
            path.rename(tmp_path / "elsewhere")
            opened.write(row(1))

    with pytest.raises(WorkdirError, match="was removed or replaced"):
        run()
    assert kept[0]["ending"].status == "failed"
    assert not path.exists()


# Bad input is said before anything is written.


def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *package: None if name in trackers.BUILTIN else known(name, *package),
    )


@pytest.mark.parametrize(
    ("to", "says"),
    [
        (("wanbd",), r"log\.to: expected some of jsonl, .*, got 'wanbd'; did you mean 'wandb'\?"),
        (("jsonl", "jsonl"), "log.to: 'jsonl' is given more than once"),
        (("a", "b"), r"got 'a'.*; and log\.to: .* got 'b'"),
    ],
)
def test_names_that_are_none(to: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config(*to)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("wandb", r"log\.to: 'wandb' needs wandb, which .*: pip install 'ldl_jax\[tracking\]'"),
        ("no_such_module:make", "log.to: cannot import 'no_such_module:make'"),
        ("tests.trackers.stand_in:nothing", "cannot import .*AttributeError"),
        ("tests.trackers.stand_in:KEPT", "is not callable, expected a function without arguments"),
        ("tests.trackers.stand_in:broken", "raised RuntimeError: no such server"),
        (
            "tests.trackers.stand_in:half",
            "a value of type object without the method 'start'",
        ),
    ],
)
def test_trackers_that_cannot_be_opened(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_packages(monkeypatch)
    settings = config("mlflow", name)
    with pytest.raises(ConfigError, match=says) as caught:
        tracked.check(settings, tmp_path / "new")
    assert "'mlflow' needs" in str(caught.value)  # all at once
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"wandb": 3}', '{"wandb": {"id": 3}}'])
def test_a_damaged_list_of_trackers(content: str, tmp_path: Path) -> None:
    (tmp_path / "trackers.json").write_text(content)
    with pytest.raises(WorkdirError, match=r"trackers\.json"):
        tracked.check(config(OWN), tmp_path)


def test_the_command_says_that_a_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said with the other faults of a run's folder, before pictures are read."""
    without_packages(monkeypatch)
    run = plan.Run("stages/a", config("mlflow"))
    with pytest.raises(
        ConfigError, match=r"stages\.a\.log\.to: 'mlflow' needs mlflow, which is not installed"
    ):
        jobs.check(tmp_path / "new", run, read_records)
    assert not (tmp_path / "new").exists()


# The real ones, into folders.

REAL = """
import os, sys
from pathlib import Path
from PIL import Image
from ldl_jax import trackers
name, folder = sys.argv[1], Path(sys.argv[2])
Image.new("RGB", (8, 8)).save(folder / "curves.png")
identity, lines = "", []
def keep(given):
    global identity
    identity = given
def start(first, last, status):
    config = {"seed": 0, "method": {"name": "cen", "lam": 0.5}}
    run = trackers.TrackedRun("faces", "sweep", "one", ("a",), config, folder, identity)
    made = trackers.Background(name, lambda: trackers.make(name), run, lines.append, keep)
    for step in range(first, last):
        row = {"kind": "train", "generation": 1, "step": step, "loss": 1 / step, "total_step": step}
        made.row(trackers.tracked_row(row, 50.0))
    results = [{"generation": 1, "mae": 4.0}]
    assert made.end(trackers.Ending(status, "", results, [folder / "curves.png"]), 120), lines
start(1, 5, "interrupted")
before = identity
start(4, 8, "finished")
assert identity == before and identity, (identity, before)
print("ID", identity)
"""


@pytest.mark.parametrize("name", [*trackers.BUILTIN])
def test_a_real_tracker_without_a_network(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed (the extra tracking)")
    key = "k" * 40
    environment = {
        "WANDB_MODE": "offline",
        "WANDB_API_KEY": key,
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'ml.db'}",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
    }
    identity = run_real(name, tmp_path, environment)
    if name == "mlflow":
        look_at_mlflow(tmp_path, identity)
    elif name == "trackio":
        look_at_trackio(tmp_path)
    else:
        files = sorted(tmp_path.glob(f"wandb/offline-run-*-{identity}/run-{identity}.wandb"))
        assert len(files) == 2  # `wandb sync --append` puts them together
        assert all(b"train/loss" in file.read_bytes() for file in files)
        assert [*tmp_path.glob("wandb/offline-run-*/files/media/images/figures/curves_*.png")]
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or key.encode() not in file.read_bytes(), file


def run_real(name: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", REAL, name, str(folder)],
        env={**os.environ, **environment, "PYTHONPATH": os.getcwd()},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(x for x in done.stdout.splitlines() if x.startswith("ID "))[3:]


def look_at_mlflow(folder: Path, identity: str) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'ml.db'}")
    run = client.get_run(identity)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "0", "method.name": "cen", "method.lam": "0.5"}
    assert run.data.tags["group"] == "sweep"
    assert run.data.tags["a"] == "true"
    history = client.get_metric_history(identity, "train/loss")
    assert sorted({(x.step, x.value) for x in history}) == [(n, 1 / n) for n in range(1, 8)]
    assert {x.path for x in client.list_artifacts(identity)} == {"figures", "results.json"}
    assert [*folder.glob(f"mlruns/*/{identity}/artifacts/results.json")]  # as docs/tracking.md says


def look_at_trackio(folder: Path) -> None:
    import sqlite3

    with sqlite3.connect(folder / "trackio" / "faces.db") as database:
        rows = database.execute("select step, metrics from metrics").fetchall()
    numbers = [(step, json.loads(text)) for step, text in rows]
    losses = {step: x["train/loss"] for step, x in numbers if "train/loss" in x}
    assert losses == {n: pytest.approx(1 / n) for n in range(1, 8)}
    assert any(x.get("status") == "finished" for _, x in numbers)
