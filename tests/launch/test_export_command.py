"""launch.export: one file with its card beside it, and one line for whatever is wrong."""

import dataclasses
import functools
import sys

import numpy as np
import pytest
from PIL import Image

import ldl_jax
from launch import export
from ldl_jax import calibration, methods
from ldl_jax.labels import AGE
from ldl_jax.models import weight_files
from ldl_jax.predict.predictor import Predictor
from ldl_jax.train.calibrated import network_mark
from tests.launch import in_process

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_model, draw_weights, write_checkpoint):
    folder = tmp_path_factory.mktemp("runs") / "c"
    return write_checkpoint(folder, draw_weights(tiny_model, methods.get("dldl", space=AGE)))


call = functools.partial(in_process.called, export)


def images(count=3):
    return np.random.default_rng(count).integers(0, 256, (count, 40, 40, 3), np.uint8)


def test_a_checkpoint_becomes_one_file_and_its_card(run, tmp_path, capsys):
    target = tmp_path / "new" / "m.safetensors"
    code, printed, errors = call(capsys, run, f"--to={target}")
    assert (code, errors) == (0, "")
    said = " ".join(printed.split())
    assert f"{run} (" in said
    assert " files, 0." in said
    assert f"{target} (1 file, 0.0 MB)" in said
    np.testing.assert_array_equal(
        ldl_jax.load(target)(images()).probs, ldl_jax.load(run)(images()).probs
    )
    card = (target.parent / "card.md").read_text()
    assert card.startswith("---\n")
    assert weight_files.metadata(target)["card"] == card
    assert {path.name for path in target.parent.iterdir()} == {"m.safetensors", "card.md"}


def test_a_file_of_half_the_size_is_made_of_a_file(run, tmp_path, capsys):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert call(capsys, run, f"--to={first}")[0] == 0
    assert call(capsys, first, f"--to={second}", "--dtype=bfloat16")[0] == 0  # the card is the same
    arrays = [weight_files.read(path) for path in (first, second)]
    assert {x.dtype.name for x in arrays[0].values()} == {"float32"}
    assert {x.dtype.name for x in arrays[1].values()} == {"bfloat16"}


def test_the_cost_of_eight_bits_is_measured_on_faces_of_ones_own(run, tmp_path, capsys):
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    rows = ["path,label"]
    for number, image in enumerate(images()):
        Image.fromarray(image[: 30 + number]).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{20 + number}")
    (tmp_path / "faces.csv").write_text("\n".join(rows))
    asked = (run, f"--to={tmp_path / 'm.onnx'}", "--int8")
    code, printed, errors = call(capsys, *asked, f"--faces={tmp_path / 'faces.csv'}")
    assert (code, errors) == (0, "")
    assert "on 3 given faces" in printed
    assert "the mean absolute error is" in printed
    (tmp_path / "faces.csv").write_text("path,label\n0.png,old\n")
    code, _, errors = call(capsys, *asked, "--force", f"--faces={tmp_path / 'faces.csv'}")
    assert code == 1
    assert errors.startswith("error: --faces: faces.csv row 2: label")


def test_the_card_alone(run, tmp_path, capsys):
    code, _, _ = call(capsys, run, f"--to={tmp_path / 'about.md'}")
    assert code == 0
    assert "# tiny with dldl" in (tmp_path / "about.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["about.md"]


def test_nothing_is_replaced_without_force(run, tmp_path, capsys):
    target = tmp_path / "m.safetensors"
    target.write_text("mine")
    code, _, errors = call(capsys, run, f"--to={target}")
    assert code == 1
    assert "m.safetensors is there already; give another name, or --force" in errors
    assert target.read_text() == "mine"
    other = tmp_path / "n.safetensors"
    (tmp_path / "card.md").write_text("of another")
    code, _, errors = call(capsys, run, f"--to={other}")
    assert code == 1
    assert "card.md is of another model" in errors
    assert not other.exists()
    assert call(capsys, run, f"--to={target}", "--force")[0] == 0
    assert ldl_jax.load(target).space == AGE
    assert (tmp_path / "card.md").read_text().startswith("---")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to=x.safetensors"], ["give one run, checkpoint or model file to export, got none"]),
        (["RUN", "RUN", "--to=x.safetensors"], ["got 2 ("]),
        (["RUN"], ["give --to=TARGET"]),
        (["RUN", "--to=x.bin"], ["--to: expected a name that ends in .safetensors, .onnx"]),
        (["RUN", "--to="], ["--to: expected a name that ends in"]),
        (["RUN", "--to=x.safetensors", "--dtype=float16"], ["dtype", "float32"]),
        (["RUN", "--to=f/x.safetensors"], ["cannot be made", "is a file"]),
        (["RUN", "--to=d.safetensors"], ["is a folder, expected a file"]),
        (["RUN", "--to=f/"], ["is a file, expected a folder"]),
        (["RUN", "--to=full/"], ["is not empty; give a new folder, or --force"]),
        (["RUN", "--push=owner/name"], ["--push: expected hf://owner/name"]),
        (
            ["--to=x.md", "--int8", "--dtype=bfloat16", "--push=hf://a"],
            ["got none", "--int8: is of an ONNX file", "--push: expected hf://owner/name"],
        ),
        (["RUN", "--to=x.md", "--dtype=bfloat16"], ["--dtype: is of one file"]),
        (["RUN", "--to=x.md", "--detector=none"], ["--detector: is of a page"]),
        (["nowhere", "--to=x.safetensors"], ["nowhere does not exist"]),
    ],
)
def test_all_that_is_wrong_is_said_before_anything_is_written(
    run, tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text("a file")
    (tmp_path / "d.safetensors").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    before = sorted(tmp_path.rglob("*"))
    code, printed, errors = call(capsys, *[run if x == "RUN" else x for x in arguments])
    assert (code, printed) == (1, "")
    assert errors.count("\n") == 1
    for word in words:
        assert word in errors
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_package_names_its_extra(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, _, errors = call(capsys, run, "--push=hf://a/b")
    assert code == 1
    assert "pip install 'ldl_jax[hub]'" in errors


def test_a_card_that_cannot_be_written_leaves_no_model_of_another(run, tmp_path, capsys):
    (tmp_path / "card.md").mkdir()
    code, _, errors = call(capsys, run, f"--to={tmp_path / 'm.safetensors'}")
    assert code == 1
    assert "card.md, which is a folder" in errors
    assert not (tmp_path / "m.safetensors").exists()


def test_a_calibrated_model_is_written_without_its_calibration(run, tmp_path, capsys):
    raw = ldl_jax.load(run)
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(101), 99), rng.integers(0, 100, 99)
    mark = network_mark(raw.trained.params["head"])
    known = calibration.fit(p, y, AGE, calibration.Options(network=mark))
    file = tmp_path / "calibrated.safetensors"
    Predictor(dataclasses.replace(raw.about, calibration=known), raw.trained).save(file)
    for more, target in ((["--raw"], "raw"), ([], "same")):
        folder = tmp_path / target
        code, _, errors = call(capsys, file, f"--to={folder / 'm.safetensors'}", *more)
        assert (code, errors) == (0, "")
        written = ldl_jax.load(folder / "m.safetensors")
        assert written.about.calibration == (None if more else known)
        words = "Not calibrated" if more else "66 labels for the intervals"
        assert words in (folder / "card.md").read_text()
    np.testing.assert_array_equal(
        ldl_jax.load(tmp_path / "raw/m.safetensors")(images()).probs, raw(images()).probs
    )
