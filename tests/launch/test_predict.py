"""The command for pictures: what it finds, answers, writes and draws, and what it says."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ldl_jax
from ldl_jax import methods, models
from ldl_jax.data import pictures
from ldl_jax.data.align import TEMPLATE, Alignment, Face
from ldl_jax.data.detect import choice
from ldl_jax.labels import AGE
from ldl_jax.predict import faces, loading
from ldl_jax.train.checkpoint import Checkpoints
from tests.launch.in_process import predicted as call

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_model, draw_weights, write_checkpoint):
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE), seed=3)
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "c", weights)


def draw_picture(path: Path, seed: int, size: tuple[int, int] = (48, 40)) -> Path:
    cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Five pictures at two depths, and a file that is none."""
    place = tmp_path / "pictures"
    for seed, name in enumerate(["b.png", "a.jpg", "deep/c.PNG", "deep/a.png", "z.bmp"]):
        draw_picture(place / name, seed)
    (place / "notes.txt").write_text("no picture")
    return place


def detector(monkeypatch: pytest.MonkeyPatch, *boxes: tuple[float, float, float]) -> None:
    """Puts a detector in place that finds faces (middle x, y, side) in every picture."""

    def detect(image: Image.Image) -> list[Face]:
        assert image.mode == "RGB"
        return [
            Face((x - s / 2, y - s / 2, x + s / 2, y + s / 2), TEMPLATE * s + [x, y])
            for x, y, s in boxes
        ]

    monkeypatch.setattr(choice, "load", lambda name, **settings: detect)


def test_a_folder_of_aligned_faces(folder, checkpoint, tmp_path, capsys):
    out = tmp_path / "answers.json"
    table = tmp_path / "new" / "answers.csv"
    code = call(
        folder, f"--checkpoint={checkpoint}", "--aligned", f"--json={out}", f"--csv={table}"
    )
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    rows = json.loads(out.read_text())
    names = ["a.jpg", "b.png", "deep/a.png", "deep/c.PNG", "z.bmp"]
    assert [row["picture"] for row in rows] == [str(folder / name) for name in names]
    predictor = ldl_jax.load(checkpoint)
    images = np.stack([pictures.decode_one(row["picture"], 32) for row in rows])
    expected = predictor(images)
    low, high = predictor.interval(expected.probs, 0.9)
    for i, row in enumerate(rows):
        assert (row["face"], row["box"], row["unit"], row["coverage"]) == (1, None, "years", 0.9)
        assert row["value"] == pytest.approx(expected.value[i], rel=1e-5)
        assert row["interval"] == [low[i], high[i]]
        assert list(row["distribution"]) == [str(age) for age in range(101)]
        np.testing.assert_allclose(list(row["distribution"].values()), expected.probs[i], rtol=1e-4)
        assert f"{row['value']:.1f}" in printed.out
    with table.open() as file:
        cells = list(csv.DictReader(file))
    assert [c["picture"] for c in cells] == [row["picture"] for row in rows]
    for c, row in zip(cells, rows, strict=True):
        assert float(c["value"]) == row["value"]
        assert [float(c["low"]), float(c["high"])] == row["interval"]
        assert float(c["p[40]"]) == row["distribution"]["40"]
        assert (c["face"], c["left"]) == ("1", "")


def test_a_threshold_and_answers_only_where_they_are_narrow(folder, checkpoint, tmp_path, capsys):
    out, drawn = tmp_path / "answers.json", tmp_path / "drawn"
    given = [folder, f"--checkpoint={checkpoint}", "--aligned", f"--json={out}"]
    asked = ["--threshold=18", "--max-width=1", f"--annotate={drawn}"]
    assert call(*given, *asked) == 0
    rows = json.loads(out.read_text())
    assert {row["answered"] for row in rows} == {False}
    assert {row["value"] for row in rows} == {None}
    expected = sum(p for age, p in rows[0]["distribution"].items() if int(age) >= 18)
    assert rows[0]["prob_at_least"] == pytest.approx(expected, rel=1e-5)
    assert "No answer for 5 of 5" in capsys.readouterr().out
    assert len([*drawn.rglob("*.png")]) == 5
    out.unlink()
    assert call(*given, "--threshold=101", "--max-width=-1") == 1
    assert not out.exists()
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "--threshold: expected within" in errors
    assert "--max-width: expected above 0" in errors


def test_batches_change_nothing_and_one_shape_is_compiled(folder, checkpoint, tmp_path):
    for batch in (1, 2, 3, 5, 64):
        code = call(folder, f"--checkpoint={checkpoint}", "--aligned", f"--batch={batch}",
                    f"--json={tmp_path / str(batch)}")  # fmt: skip
        assert code == 0
    rows = [json.loads((tmp_path / str(b)).read_text()) for b in (1, 2, 3, 5, 64)]
    for other in rows[1:]:
        for a, b in zip(rows[0], other, strict=True):
            assert a["picture"] == b["picture"]
            assert a["value"] == pytest.approx(b["value"], rel=1e-5)
    predictor = ldl_jax.load(checkpoint)
    paths = [path for path, _ in faces.walk([str(folder)])]
    found = list(
        faces.answer(predictor, paths, detect=None, alignment=predictor.alignment, batch=2)
    )
    assert [picture.path for picture in found] == paths
    assert predictor._answer._cache_size() == 1


def test_every_engine_answers_alike(folder, checkpoint, tmp_path):
    pytest.importorskip("onnx", reason="the extra ldl_jax[export] is not installed")
    pytest.importorskip("onnxruntime", reason="the extra ldl_jax[export] is not installed")
    from ldl_jax.export import onnx_file

    onnx_file.write(ldl_jax.load(checkpoint), tmp_path / "model.onnx")
    ways = {"xla": checkpoint, "onnxruntime": checkpoint, "auto": tmp_path / "model.onnx"}
    rows = {}
    for engine, source in ways.items():
        target = tmp_path / f"{engine}.json"
        options = "--aligned", f"--engine={engine}", f"--json={target}"
        assert call(folder, f"--checkpoint={source}", *options) == 0
        rows[engine] = json.loads(target.read_text())
    for name in ("onnxruntime", "auto"):
        for a, b in zip(rows["xla"], rows[name], strict=True):
            assert a["picture"] == b["picture"]
            assert a["value"] == pytest.approx(b["value"], abs=1e-2)
            assert a["interval"] == b["interval"]


def test_few_pictures_are_held_at_a_time(tmp_path, checkpoint):
    """Each is read only when the ones before are about to be answered."""
    path = draw_picture(tmp_path / "a.png", 0)
    predictor = ldl_jax.load(checkpoint)
    read = []

    def detect(image):
        read.append(image)
        return []

    several = [path] * 50
    answers = faces.answer(
        predictor, several, detect=detect, alignment=predictor.alignment, workers=2
    )
    next(answers)
    assert len(read) == 1


def test_several_faces_are_found_in_a_picture(tmp_path, checkpoint, monkeypatch, capsys):
    detector(monkeypatch, (60, 50, 40), (140, 60, 20))
    path = draw_picture(tmp_path / "group.png", 7, (200, 120))
    out = tmp_path / "answers.json"
    code = call(path, path, f"--checkpoint={checkpoint}", f"--json={out}")
    printed = capsys.readouterr()
    assert code == 0
    rows = json.loads(out.read_text())
    assert [(r["face"], r["box"]) for r in rows] == [
        (1, [40.0, 30.0, 80.0, 70.0]),
        (2, [130.0, 50.0, 150.0, 70.0]),
    ]
    assert printed.err.count("\n") == 1  # how they are cut out, as the checkpoint does not say
    assert "margin of 0.4" in printed.err
    predictor = ldl_jax.load(checkpoint)
    whole = pictures.read(path)
    crop = whole.crop((24, 14, 96, 86))  # the box and 0.4 of its side around it
    assert rows[0]["value"] == pytest.approx(predictor(np.asarray(crop)[None]).value[0], abs=0.05)


@pytest.mark.parametrize("kind", ["box", "similarity"])
def test_faces_are_cut_out_as_the_flags_say(tmp_path, checkpoint, monkeypatch, capsys, kind):
    detector(monkeypatch, (60, 50, 40))
    path = draw_picture(tmp_path / "one.png", 7, (200, 120))
    arguments = [path, f"--checkpoint={checkpoint}", f"--align={kind}", "--margin=0.1", "--json=-"]
    assert call(*arguments) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    (row,) = json.loads(printed.out)  # nothing else is on standard output
    crop = np.asarray(pictures.read(path).crop((36, 26, 84, 74)))[None]
    assert row["value"] == pytest.approx(ldl_jax.load(checkpoint)(crop).value[0], abs=0.05)


def test_the_checkpoints_own_alignment(
    tmp_path, monkeypatch, capsys, tiny_model, draw_weights, write_checkpoint
):
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE), seed=3)
    alignment = Alignment("similarity", 0.1)
    stored = write_checkpoint(tmp_path / "c", weights, alignment=alignment)
    detector(monkeypatch, (60, 50, 40))
    path = draw_picture(tmp_path / "one.png", 7, (200, 120))
    assert call(path, f"--checkpoint={stored}", "--csv=-") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    (row,) = csv.DictReader(printed.out.splitlines())
    crop = np.asarray(pictures.read(path).crop((36, 26, 84, 74)))[None]
    assert float(row["value"]) == pytest.approx(ldl_jax.load(stored)(crop).value[0], abs=0.05)


def test_what_cannot_be_read_or_has_no_face_is_said_and_the_rest_goes_on(
    folder, checkpoint, tmp_path, monkeypatch, capsys
):
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:60])
    (folder / "deep/a.png").write_text("nothing")
    out = tmp_path / "answers.json"
    assert call(folder, f"--checkpoint={checkpoint}", "--aligned", f"--json={out}") == 1
    printed = capsys.readouterr()
    assert [Path(row["picture"]).name for row in json.loads(out.read_text())] == [
        "a.jpg",
        "c.PNG",
        "z.bmp",
    ]
    lines = printed.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("error: ") and "cannot be read" in line for line in lines)

    def detect(image: Image.Image) -> list[Face]:
        if image.getpixel((0, 0)) == Image.open(folder / "z.bmp").getpixel((0, 0)):
            raise RuntimeError("out of luck")
        return []

    monkeypatch.setattr(choice, "load", lambda name, **settings: detect)
    assert call(folder, f"--checkpoint={checkpoint}", "--align=box", f"--json={out}") == 1
    lines = capsys.readouterr().err.splitlines()
    assert [("no face" in x, "cannot be read" in x) for x in lines[:4]] == [
        (True, False),
        (False, True),
        (False, True),
        (True, False),
    ]
    assert "the detector failed (out of luck)" in lines[4]
    assert json.loads(out.read_text()) == []


def test_answers_are_drawn(folder, checkpoint, tmp_path, monkeypatch):
    draw_picture(folder / "a.png", 9)  # beside a.jpg
    out = tmp_path / "drawn"
    assert call(folder, f"--checkpoint={checkpoint}", "--aligned", f"--annotate={out}") == 0
    drawn = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert drawn == ["a.jpg.png", "a.png.png", "b.png", "deep/a.png", "deep/c.png", "z.png"]
    with Image.open(out / "b.png") as image:
        assert min(image.size) >= 320
        assert image.height > image.width * 40 / 48  # the panel is below
    detector(monkeypatch, (24, 20, 16))
    code = call(folder / "b.png", f"--checkpoint={checkpoint}", f"--annotate={out / 'found'}")
    assert code == 0
    with Image.open(out / "found" / "b.png") as image:
        pixels = np.asarray(image).astype(int)
    scale = pixels.shape[0] // 40
    edge = pixels[12 * scale : 28 * scale, 16 * scale]
    assert (np.abs(edge - [0xE6, 0x9F, 0x00]).max(axis=1) < 8).mean() > 0.9  # the box's left edge


def test_an_answer_that_is_no_number_is_said(folder, checkpoint, capsys, monkeypatch):
    predictor = ldl_jax.load(checkpoint)
    answer = predictor.answer

    def broken(images: np.ndarray) -> Any:
        found = answer(images)
        value = np.array(found.value)
        value[1] = np.nan
        return found._replace(value=value)

    monkeypatch.setattr(predictor, "answer", broken)
    monkeypatch.setattr(loading, "load", lambda path, **_: predictor)
    assert call(folder, f"--checkpoint={checkpoint}", "--aligned", "--json=-") == 1
    printed = capsys.readouterr()
    assert "b.png: face 1: the network's answer is no number" in printed.err
    assert len(json.loads(printed.out)) == 4


def test_a_method_without_a_distribution_is_said_to_have_none(
    folder, tmp_path, capsys, tiny_model, draw_weights, write_checkpoint
):
    method = methods.get("regression_l1", space=AGE)
    stored = write_checkpoint(
        tmp_path / "c", draw_weights(tiny_model, method), method={"name": "regression_l1"}
    )
    assert call(folder, f"--checkpoint={stored}", "--aligned") == 0
    assert "regression_l1 gives a value alone" in capsys.readouterr().err


def test_an_older_checkpoint_answers_with_a_line_and_one_only_where_allowed(
    folder, tmp_path, capsys, tiny_model, draw_weights, make_record
):
    checkpoints = Checkpoints(tmp_path / "c")
    for step in (1, 2):
        weights = draw_weights(tiny_model, methods.get("dldl", space=AGE), seed=step)
        checkpoints.save(step, {"weights": weights}, make_record(step=step))
    checkpoints.close()
    stored, out = tmp_path / "c", tmp_path / "answers.json"
    arguments = [folder, f"--checkpoint={stored}", "--aligned", f"--json={out}"]
    assert call(*arguments) == 0
    assert {tuple(row["warnings"]) for row in json.loads(out.read_text())} == {()}
    (stored / "2" / "about" / "metadata").write_text("{}")
    capsys.readouterr()
    for flag, code in (("--noallow-older", 1), ("--allow-older", 0)):
        assert call(*arguments, flag) == code
        said = f"checkpoint {stored / '2'} is damaged, falling back: its files are not as they were"
        error = capsys.readouterr().err
        assert error.startswith(f"warning: {said}")
        assert ("give --allow-older" in error) == (code == 1)
        rows = json.loads(out.read_text())
        assert len(rows) == 5
        assert all(row["warnings"][0].startswith(said) for row in rows)
    (stored / "2.sha256").rename(stored / "3.sha256")
    shutil.rmtree(stored / "2")
    assert call(*arguments) == 1
    assert f"checkpoint {stored / '3'} is not there, and its seal is" in capsys.readouterr().err


def test_the_code_that_a_checkpoint_names_needs_a_flag(
    folder, tmp_path, capsys, monkeypatch, tiny_model, draw_weights, write_checkpoint
):
    (tmp_path / "predict_own.py").write_text(
        "from ldl_jax import methods\n"
        "def factory(space):\n    return methods.get('dldl', space=space)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE))
    stored = write_checkpoint(tmp_path / "c", weights, method={"name": "predict_own:factory"})
    arguments = [folder, f"--checkpoint={stored}", "--aligned"]
    assert call(*arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "predict_own.py") in line
    assert "--trust=predict_own" in line
    assert "predict_own" not in sys.modules
    assert call(*arguments, "--trust=predict_own") == 0


def test_a_detectors_threshold_and_the_largest_picture(
    folder, tmp_path, checkpoint, capsys, monkeypatch
):
    given = []

    def make(name: str, **settings: Any) -> Any:
        given.append((name, settings))
        return lambda image: [Face((10, 10, 30, 30), TEMPLATE * 20 + 20)]

    monkeypatch.setattr(choice, "load", make)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    arguments = [folder / "b.png", f"--checkpoint={checkpoint}", "--align=box"]
    flags = ("--detector-threshold=0.95", "--detector-option=smallest=40", "--detector=own:make")
    assert call(*arguments, *flags) == 0
    assert given == [("own:make", {"threshold": 0.95, "smallest": 40})]
    large = draw_picture(tmp_path / "large.png", 1, (300, 200))
    arguments = [large, f"--checkpoint={checkpoint}", "--aligned"]
    assert call(*arguments, "--max-megapixels=0.06") == 0
    capsys.readouterr()
    assert call(*arguments, "--max-megapixels=0.05") == 1
    assert "large.png: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give pictures or folders"),
        (["{pictures}"], "--checkpoint: give"),
        (["{pictures}", "--checkpoint=nowhere", "--aligned"], "nowhere does not exist"),
        (["{pictures}/notes.txt/x", "{c}"], "no such file or folder"),
        (["{empty}", "{c}"], "no pictures"),
        (["{pictures}", "{c}", "--coverage=1.5"], "--coverage"),
        (["{pictures}", "{c}", "--batch=0"], "--batch"),
        (["{pictures}", "{c}", "--detector-threshold=2"], "--detector-threshold: expected 0 to 1"),
        (["{pictures}", "{c}", "--max-megapixels=0"], "--max-megapixels: expected above 0"),
        (["{pictures}", "{c}", "--aligned", "--detector-threshold=0.9"], "with --aligned no face"),
        (["{pictures}", "{c}", "--detector=mtcn"], "detector: unknown 'mtcn'; expected mtcnn,"),
        (["{pictures}", "{c}", "--detector=nothing.here:make"], "detector: cannot import"),
        (["{pictures}", "{c}", "--detector-option=smallest"], "expected NAME=VALUE"),
        (["{pictures}", "{c}", "--aligned", "--margin=0.2"], "--margin: with --aligned"),
        (["{pictures}", "{c}", "--align=square"], "--align"),
        (["{pictures}", "{c}", "--margin=-1"], "margin"),
        (["{pictures}", "{c}", "--json=x", "--csv=x"], "--json and --csv both go to x"),
        (["{pictures}", "{c}", "--json=-", "--csv=-"], "--json and --csv both go to -"),
        (["{pictures}", "{c}", "--json={empty}"], "is a folder"),
        (["{pictures}", "{c}", "--csv={pictures}/a.jpg/x"], "a.jpg is a file"),
        (["{pictures}", "{c}", "--annotate={pictures}/a.jpg"], "expected a folder"),
        (["{pictures}", "{c}", "--annotate={pictures}"], "is one of the pictures"),
        (["{pictures}/a.jpg", "{pictures}/deep/a.jpg", "{c}", "--annotate=y"], "both be y/a"),
        (["{pictures}", "{c}", "--annotate="], "--annotate: expected a path"),
        (["{pictures}", "{c}", "--anotate=x"], "anotate"),
        (["{pictures}", "{c}", "--score-map=x", "--annotate=x"], "both go to x"),
        (["{pictures}", "{c}"], "pip install 'ldl_jax[align]'"),
    ],
)
def test_what_is_wrong_is_one_line(
    folder, checkpoint, tmp_path, monkeypatch, capsys, arguments, says
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    draw_picture(folder / "deep/a.jpg", 3)
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    places = {"pictures": folder, "empty": tmp_path / "empty", "c": f"--checkpoint={checkpoint}"}
    assert call(*[text.format(**places) for text in arguments]) == 1
    error = capsys.readouterr().err
    *notes, last = error.splitlines()
    assert last.startswith("error: ")
    assert says in last
    assert not any(line.startswith("error") for line in notes)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_itself(folder, tmp_path, draw_weights, write_checkpoint):
    """As a user calls it, in a process of its own, with a network of the package."""
    method = methods.get("dldl_v2", space=AGE)
    network = {"name": "resnet10_tiny", "dtype": "float32"}
    stored = write_checkpoint(
        tmp_path / "c",
        draw_weights(models.build(**network), method),
        model=network,
        method={"name": "dldl_v2"},
    )
    (folder / "b.png").write_bytes(b"junk")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "launch.predict", str(folder), "--aligned"),
            *(f"--checkpoint={stored}", "--json=-", f"--annotate={tmp_path / 'drawn'}"),
            f"--score-map={tmp_path / 'maps'}",
        ],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    assert len(json.loads(done.stdout)) == 4
    (line,) = done.stderr.splitlines()
    assert "b.png: cannot be read" in line
    assert len(list((tmp_path / "drawn").rglob("*.png"))) == 4
    with Image.open(tmp_path / "maps" / "deep" / "a.png") as image:
        colours = np.asarray(image).astype(int)
    assert colours.shape[0] > 320  # the legend is below it
    assert colours.shape[1] == 384
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 4
