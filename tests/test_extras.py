"""The core does without the packages of the extras, and says which extra brings what it needs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ldl_jax import extras
from ldl_jax.data.datasets import sheets
from ldl_jax.data.feed import stream
from ldl_jax.data.packed import Packed
from ldl_jax.data.prepare import preparation
from ldl_jax.data.prepare.chunk import PictureForm
from ldl_jax.data.records import DataError
from ldl_jax.data.synthetic import faces
from ldl_jax.evaluation import gallery
from ldl_jax.evaluation.compare import Contrast
from ldl_jax.models import weight_files
from ldl_jax.run import jobs
from ldl_jax.run.config import Config
from ldl_jax.run.log_section import LogConfig
from ldl_jax.workdir import events
from tests.blocked import OPTIONAL, Blocked

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """Blocks all of them, and forgets those that other tests have imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OPTIONAL]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Blocked(*OPTIONAL), *sys.meta_path])


def test_a_missing_package_is_named_with_its_extra():
    says = r"^drawing needs matplotlib, which is not installed.*: pip install 'ldl_jax\[figures\]'$"
    with pytest.raises(ValueError, match=says):
        extras.needed("matplotlib.figure", "drawing", "figures")
    with pytest.raises(ValueError, match=says):
        extras.check("matplotlib", "drawing", "figures")
    assert extras.missing("numpy", "drawing", "figures") == ""
    assert extras.needed("numpy.linalg", "drawing").__name__ == "numpy.linalg"


def test_streams_prepared_sets_and_foreign_files_say_what_they_need(tmp_path):
    part = faces.faces(8, 32)
    with pytest.raises(ValueError, match=r"streaming .*ldl_jax\[stream\]"):
        next(stream.batches(part, np.zeros((1, 2), int)))
    with pytest.raises(ValueError, match=r"reading a prepared set .*ldl_jax\[tfds\]"):
        Packed([tmp_path / "x.array_record"], [1])
    with pytest.raises(ValueError, match=r"preparing a set .*ldl_jax\[tfds\]"):
        preparation.prepare(part, tmp_path / "out", PictureForm())
    assert not (tmp_path / "out").exists()
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"^a\.xlsx: reading spreadsheets .*ldl_jax\[formats\]"):
        sheets.read(tmp_path / "a.xlsx", "a.xlsx")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    with pytest.raises(ValueError, match=r"a\.h5: reading HDF5 files .*ldl_jax\[formats\]"):
        weight_files.read(tmp_path / "a.h5")


def test_figures_and_files_for_tensorboard_are_left_out(tmp_path):
    assert "ldl_jax[figures]" in gallery.left_out()
    assert not gallery.draw_contrasts(tmp_path / "x.png", {"a": {"b": Contrast(0, -1, 1, 0.5)}})
    gallery.draw(tmp_path / "figures", [], [], None, [])
    gallery.draw_scores(tmp_path / "figures", None, {})
    assert "ldl_jax[tensorboard]" in events.left_out()
    written = events.Events(tmp_path / "events", 1, "")
    written.scalar("loss", 1.0, 1)
    written.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("to", "count"), [(("jsonl",), 1), (("jsonl", "tensorboard"), 2)])
def test_what_is_left_out_is_said_where_it_was_asked_for(to, count):
    said, config = [], Config(log=LogConfig(to=to))
    jobs.say_left_out(said.append, [Config(log=LogConfig(to=("jsonl",))), config])
    assert [text.partition(" needs ")[0] for text in said] == [
        "left out: drawing figures", "left out: writing files for TensorBoard"
    ][:count]  # fmt: skip


def test_training_scoring_answering_and_tables_need_none_of_them(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.bare_core", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("left out: drawing figures needs matplotlib") == 2
    assert done.stdout.count("left out: writing files for TensorBoard needs tensorboardX") == 1
    assert "results, predictions and checkpoints: " in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded none"
    assert not (tmp_path / "run" / "figures").exists()
    scores = json.loads((tmp_path / "scores" / "evaluation.json").read_text())
    assert np.isfinite(scores["models"][0]["metrics"]["mae"])
    assert not (tmp_path / "scores" / "figures").exists()
