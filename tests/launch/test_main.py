"""The command: what it leaves behind, what it says of bad input, and what a kill does to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags
from PIL import Image

from launch import main
from ldl_jax import load
from ldl_jax.evaluation import predictions
from ldl_jax.run.command import parse_flags

ROOT = Path(__file__).parents[2]
SMALL = (
    "--config=configs/quickstart.py",
    "--config.data.synthetic_count=48",
    "--config.data.size=32",
    "--config.batch_size=16",
    "--config.evaluation.batch_size=16",
    "--config.epochs=3",
    "--config.log_every=1",
    "--config.chain.generations=2",
)


def command(workdir: Path, *changes: str) -> list[str]:
    return [sys.executable, "-m", "launch.main", *SMALL, *changes, f"--workdir={workdir}"]


def environment(cache: Path) -> dict[str, str]:
    # One device, as a user has it; what is compiled once serves the other processes too.
    return {
        **os.environ,
        "XLA_FLAGS": "",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
    }


def finish(workdir: Path, env: dict[str, str], *changes: str) -> str:
    """Runs the command to its end; what it printed."""
    done = subprocess.run(
        command(workdir, *changes),
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    # A busy machine is told how far it is.
    assert [line for line in done.stderr.splitlines() if ", after " not in line] == []
    return done.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def alone(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A whole run of the command, left alone: its workdir and what it printed."""
    workdir = tmp_path_factory.mktemp("runs") / "alone"
    return workdir, finish(workdir, environment(cache))


def test_a_run_leaves_everything_that_was_promised(alone: tuple[Path, str]) -> None:
    workdir, printed = alone
    config = json.loads((workdir / "config.json").read_text())
    assert config["epochs"] == 3
    assert config["method"]["alpha"] == 0.5  # resolved, though the config left it unset
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows if r["kind"] == "train"] == [1, 2, 3, 4, 5, 6] * 2
    for generation in (1, 2):
        found = predictions.read(workdir / "predictions" / f"generation_{generation}.csv")
        assert len(found.ids) == len(set(found.ids)) == 12
        assert set(found.heads) == {"distribution", "regression"}
        assert (workdir / "checkpoints" / f"generation_{generation}" / "6").is_dir()
    for name in (
        "evolution",
        "predicted_against_true",
        "error_by_label",
        "analysis",
        "training_curves",
    ):
        with Image.open(workdir / "figures" / f"{name}.png") as figure:
            assert min(figure.size) > 300
    assert sum(file.stat().st_size for file in (workdir / "events").iterdir()) > 1000
    split = json.loads((workdir / "split.json").read_text())
    assert split["sha256"] == config["resolved"]["split"]
    assert len(split["test"]) == 12
    for generation in (1, 2):
        found = json.loads((workdir / "analysis" / f"generation_{generation}.json").read_text())
        assert sum(row["pictures"] for row in found["by_label"]) == 12
        assert len(found["calibration"]["labels_below"]) == 19
    for word in ("MAE", "RMSE", "CA(3)", "always answering the training mean"):
        assert word in printed.replace("\n", " ")
    assert "\x1b" not in printed  # no bar, no colours, where there is no terminal


def test_a_run_can_be_loaded_and_answers_as_its_predictions_file(
    alone: tuple[Path, str],
) -> None:
    from ldl_jax.data.synthetic import faces

    workdir, _ = alone
    stored = predictions.read(workdir / "predictions/generation_2.csv")
    records = faces.faces(48, size=32)
    rows = [records.ids.index(name) for name in stored.ids]
    answer = load(workdir)(records.images[rows])
    np.testing.assert_allclose(answer.value, stored.values, atol=1e-3)
    np.testing.assert_allclose(answer.probs, stored.probs, atol=1e-5)
    bigger = np.repeat(np.repeat(records.images[rows[:2]], 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(load(workdir)(bigger).value, stored.values[:2], rtol=0.2)
    with pytest.raises(ValueError, match=r"images: expected uint8 \[B, H, W, 3\], got float32"):
        load(workdir)(np.zeros((1, 32, 32, 3), np.float32))
    with pytest.raises(ValueError, match="neither the workdir of a run"):
        load(workdir / "figures")


def test_a_finished_run_is_not_run_again(alone: tuple[Path, str], cache: Path) -> None:
    workdir, printed = alone
    before = (workdir / "metrics.jsonl").read_bytes()
    assert finish(workdir, environment(cache)) == printed
    assert (workdir / "metrics.jsonl").read_bytes() == before


def readme_s_loss() -> str:
    """The module that the README's section "Swap a loss" has its reader write."""
    section = (ROOT / "README.md").read_text().split("## Swap a loss")[1]
    return section.split("```python\n# my_loss.py\n")[1].split("```")[0]


def test_the_readme_s_own_loss_is_trained_compared_and_loaded(
    alone: tuple[Path, str],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ldl_jax.reports import subjects

    (tmp_path / "my_loss.py").write_text(readme_s_loss())
    env = {**environment(cache), "PYTHONPATH": str(tmp_path)}
    printed = finish(
        tmp_path / "mine", env, "--config.method.name=my_loss:factory", "--config.epochs=1"
    )
    assert "MAE" in printed
    about = json.loads((tmp_path / "mine/config.json").read_text())["method"]
    assert about["name"] == "my_loss:factory"
    monkeypatch.syspath_prepend(str(tmp_path))
    answer = load(tmp_path / "mine", trust=("my_loss",))(np.zeros((1, 32, 32, 3), np.uint8))
    assert np.isfinite(answer.value).all()
    read = subjects.read([tmp_path / "mine", alone[0]]).subjects
    rows, _ = subjects.rows_of(read, subjects.differences(read))
    assert [row["method"] for row in rows] == ["my_loss:factory", "cen"]
    assert rows[1]["MAE - first's [95 %]"].count(",") == 1


def rows_of(workdir: Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def start(workdir: Path, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(workdir),
        cwd=ROOT,
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_rows(process: subprocess.Popen[str], workdir: Path, count: int) -> None:
    deadline = time.monotonic() + 300
    while rows_of(workdir) < count and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_killed_run_goes_on_and_ends_bit_by_bit_the_same(
    alone: tuple[Path, str], cache: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "killed"
    for rows in (4, 9):  # in the first generation, then in the second
        process = start(workdir, cache)
        wait_for_rows(process, workdir, rows)
        time.sleep(float(np.random.default_rng().uniform(0, 0.3)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    done = start(workdir, cache)
    text, _ = done.communicate(timeout=600)
    assert done.returncode == 0, text
    same_results(alone[0], workdir)


def test_sigterm_says_how_to_go_on_and_the_run_ends_the_same(
    alone: tuple[Path, str], cache: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "stopped"
    process = start(workdir, cache)
    wait_for_rows(process, workdir, 2)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, text
    assert "stopped by SIGTERM in generation" in text
    assert f"python -m launch.main {SMALL[0]}" in text
    assert "Traceback" not in text
    done = start(workdir, cache)
    text, _ = done.communicate(timeout=600)
    assert done.returncode == 0, text
    same_results(alone[0], workdir)


def same_results(one: Path, other: Path) -> None:
    for name in ("metrics.jsonl", "generation_1.json", "generation_2.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for generation in (1, 2):
        name = f"predictions/generation_{generation}.csv"
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
        weights = [
            load(path / f"checkpoints/generation_{generation}")._weights for path in (one, other)
        ]
        a, b = ([np.asarray(x) for x in _leaves(w)] for w in weights)
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in _leaves(tree[key])]
    if isinstance(tree, tuple):
        return [leaf for child in tree for leaf in _leaves(child)]
    return [tree]


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs the command in this process with bad input; the one line that it says."""
    flags.FLAGS.unparse_flags()
    for name in [name for name in flags.FLAGS if name.startswith("config.")]:
        delattr(flags.FLAGS, name)  # ml_collections defines an override once a process
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["main", *arguments])  # ml_collections looks there
        with pytest.raises(SystemExit) as ended:
            main.main(parse_flags(sys.argv))
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--config.data.roott=x"], ["roott", "root"]),
        (["--config.epochs=many"], ["epochs", "many"]),
        (["--config.epochs=0"], ["epochs", "1 or more"]),
        (["--config.model.name=resnet11"], ["resnet11", "resnet18_tiny"]),
        (["--config.model.dtype=float8"], ["model.dtype", "bfloat16"]),
        (["--config.method.name=cem"], ["cem", "dldl_v2"]),
        (["--config.method.name=my.module:factory"], ["my.module:factory"]),
        (["--config.method.sigma=2.0"], ["method.sigma", "cen", "alpha"]),
        (["--config.method.alpha=1.5"], ["method.alpha", "1.5"]),
        (["--config.optimizer.name=sdg"], ["optimizer.name", "adamw"]),
        (["--config.batch_size=12"], ["batch_size", "12", "8 devices"]),
        (["--config.batch_size=4096"], ["batch_size", "4096", "training pictures"]),
        (["--config.data.name=aaf"], ["aaf", "github.com", "--config.data.root"]),
        (["--config.data.name=aaf", "--config.data.root=nowhere"], ["nowhere", "aaf"]),
        (["--config.data.name=af"], ["'af'", "csv_folder"]),
        (["--config.data.root=somewhere"], ["data.root", "data.name"]),
        (["--config.data.space=0:1:50"], ["synthetic face", "50"]),
        (["--config.data.space=0-50"], ["0-50", "low:step:high"]),
        (["--config.data.protocol=offical"], ["offical"]),
        (["--config.chain.early_end=true"], ["early_end", "validation_fraction"]),
        (["--config.chain.student=child"], ["student", "teacher"]),
        (["--config.chain.offspring=ancestor"], ["chain.student", "'ancestor' is 'teacher'"]),
        (["--config.init.trunk_rate=0.1"], ["init.trunk_rate", "init.backbone_rate"]),
        (["--config.init.path=nowhere"], ["init.path", "nowhere"]),
        (["extra"], ["extra"]),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(
    changes: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "run"
    small = ["--config=configs/quickstart.py", "--config.data.synthetic_count=48"]
    small += ["--config.data.size=32", "--config.batch_size=16", "--config.epochs=1"]
    error = complaint(capsys, *small, *changes, f"--workdir={workdir}")
    for word in words:
        assert word in error
    assert not workdir.exists()


def test_smoke_is_told_of_the_devices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main.jax, "device_count", lambda: 9)  # and not the 8 that there are
    given = ["--config=configs/quickstart.py", "--smoke", f"--workdir={tmp_path / 'run'}"]
    try:
        assert "batch_size: 9 is not a multiple of the 8" in complaint(capsys, *given)
    finally:
        flags.FLAGS.smoke = False


def test_missing_flags_and_files_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--config" in complaint(capsys, "--workdir=somewhere")
    assert "nope.py" in complaint(capsys, "--config=configs/nope.py", "--workdir=somewhere")


def test_another_runs_workdir_is_refused_with_the_difference(
    alone: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    workdir, _ = alone
    before = sorted(path.name for path in workdir.rglob("*"))
    error = complaint(capsys, *SMALL, "--config.seed=7", f"--workdir={workdir}")
    assert "seed: 0 -> 7" in error
    assert sorted(path.name for path in workdir.rglob("*")) == before
