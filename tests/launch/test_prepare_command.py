"""The command: whole runs, bad input in one line, and what a kill does to it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from PIL import Image

from launch import prepare as launched
from ldl_jax.data.align import Alignment
from ldl_jax.data.datasets import catalogue
from ldl_jax.run import command

ROOT = Path(__file__).parents[2]
set_handler = signal.signal  # the fixture below takes its place
NAMES = ("dataset", "root", "csv", "option", "out", "align", "margin", "size", "png", "faces",
         "unreadable", "workers", "beam", "beam_option", "sheet", "sheet_count")  # fmt: skip


@pytest.fixture(autouse=True)
def _flags_as_they_were(monkeypatch):
    saved = {name: (flags.FLAGS[name].default, flags.FLAGS[name].present) for name in NAMES}
    monkeypatch.setattr(launched.signal, "signal", lambda *_: None)
    yield
    flags.FLAGS.unparse_flags()
    for name, (value, present) in saved.items():
        flags.FLAGS[name].value, flags.FLAGS[name].present = value, present


def run(*arguments):
    flags.FLAGS.unparse_flags()
    for name in NAMES:
        flags.FLAGS[name].unparse()
    launched.main(command.parse_flags(["prepare", *arguments]))


@pytest.fixture
def faces(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    rows = "".join(f"{i}.png,{i}\n" for i in range(6))
    (folder / "list.csv").write_text(f"path,label\n{rows}")
    return folder


def test_a_list_of_pictures(faces, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [f"--csv={faces}/list.csv", f"--out={out}", "--size=8", "--workers=1"]
    run("--dataset=csv_folder", *arguments)
    captured = capsys.readouterr()
    assert "6 of 6 pictures" in captured.out
    assert f"--config.data.name=prepared --config.data.root={out}" in captured.out
    assert captured.err == ""
    assert len(catalogue.read("prepared", out)) == 6
    run("--dataset=csv_folder", *arguments)
    assert "(6 were done before)" in capsys.readouterr().out


def test_a_list_elsewhere_with_columns_of_its_own(faces, tmp_path, monkeypatch, capsys):
    """Absolute paths, all below the root /, a row without a label, and ~ in what is written."""
    rows = "".join(f"{faces}/{i}.png;{i}\n" for i in range(5))
    (tmp_path / "mine.csv").write_text(f"sep=;\nfile;age\n{rows}{faces}/5.png;\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    arguments = ["--dataset=csv_folder", "--root=/", f"--csv={tmp_path}/mine.csv", "--workers=1"]
    columns = '--columns={"path": "file", "label": "age"}'
    run(*arguments, columns, "--out=~/out", "--unreadable=skip")
    captured = capsys.readouterr()
    assert "5 of 5 pictures" in captured.out
    assert "its label is empty or unusable " in captured.err
    assert "mine.csv row 8)" in captured.err
    assert len(catalogue.read("prepared", tmp_path / "out")) == 5
    for flag, words in (("--columns=file", "--columns: expected names"), (columns, "lies in")):
        with pytest.raises(SystemExit):
            run(*arguments, flag, f"--out={faces}/out", "--unreadable=skip")
        assert words in capsys.readouterr().err


def test_drawn_faces_with_options_and_a_sheet(tmp_path, capsys):
    out, sheet = tmp_path / "out", tmp_path / "new" / "sheet.png"
    run("--dataset=synthetic", "--option=count=10", "--option=size=48", "--align=similarity",
        "--margin=0.1", "--size=32", f"--out={out}", f"--sheet={sheet}", "--sheet_count=4",
        "--workers=1")  # fmt: skip
    records = catalogue.read("prepared", out)
    assert len(records) == 10
    assert records.alignment == Alignment("similarity", 0.1)
    with Image.open(sheet) as page:
        assert page.width > 600
    assert "4 pictures before and after" in capsys.readouterr().out


def test_a_sheet_alone(faces, tmp_path):
    run("--dataset=csv_folder", f"--csv={faces}/list.csv", f"--sheet={tmp_path / 's.png'}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "s.png"]


def test_the_quads_usual_margin_is_none(tmp_path):
    run("--dataset=synthetic", "--option=count=8", "--align=quad", "--size=16", "--workers=1",
        f"--out={tmp_path / 'out'}")  # fmt: skip
    assert catalogue.read("prepared", tmp_path / "out").alignment == Alignment("quad", 0.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out=out"], ["--dataset", "synthetic"]),
        (["--dataset=aaf"], ["--out", "--sheet"]),
        (["--dataset=nobody", "--out=out"], ["'nobody' is not one of", "morph"]),
        (["--dataset=aaf", "--root=nowhere", "--out=out"], ["nowhere is not a folder", "Get All-"]),
        (["--dataset=csv_folder", "--csv=faces/list.csv", "--out=faces/out"], ["--out", "lies in"]),
        (
            ["--dataset=csv_folder", "--root=faces", "--csv=list.csv", "--sheet=faces/s.png"],
            ["--sheet", "lies in"],
        ),
        (["--dataset=synthetic", "--root=faces", "--out=out"], ["--root", "drawn"]),
        (["--dataset=synthetic", "--option=counts=9", "--out=out"], ["--option", "count", "size"]),
        (["--dataset=synthetic", "--option=workers=9", "--out=out"], ["--option", "NAME one of"]),
        (["--dataset=synthetic", "--option=count=few", "--out=out"], ["count is a int", "'few'"]),
        (["--dataset=synthetic", "--option=count=1_0", "--out=out"], ["count is a int", "'1_0'"]),
        (
            ["--dataset=imdb_wiki", "--option=min_face_score=3_5", "--out=out"],
            ["min_face_score is a float", "'3_5'"],
        ),
        (["--dataset=aaf", "--root=faces", "--option=originals=2", "--out=o"], ["bool", "'2'"]),
        (["--dataset=synthetic", "--option=count=4", "--out=out"], ["count", "at least 8"]),
        (["--dataset=synthetic", "--out=out", "--margin=0.1"], ["--margin", "--align"]),
        (
            ["--dataset=synthetic", "--out=out", "--align=box", "--margin=-1"],
            ["margin", "0 to 4", "-1"],
        ),
        (["--dataset=synthetic", "--out=out", "--align=oval"], ["align", "box|similarity|quad"]),
        (["--dataset=synthetic", "--out=out", "--size=-3"], ["size", "-3"]),
        (["--dataset=synthetic", "--out=out", "--workers=-3"], ["workers", "-3"]),
        (["--dataset=synthetic", "--out=out", "faces"], ["unknown arguments: faces"]),
        (["--dataset=synthetic", "--option=count=8", "--out=faces"], ["holds other files"]),
        (["--dataset=synthetic", "--option=count=8", "--out=faces/0.png/x"], ["Not a directory"]),
        (["--dataset=synthetic", "--option=count=8", "--sheet=faces"], ["--sheet", "is a folder"]),
    ],
)
def test_bad_input_gets_one_line(arguments, words, faces, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in faces.iterdir())
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for word in words:
        assert word in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces"]
    assert sorted(path.name for path in faces.iterdir()) == before


def test_an_unreadable_picture_names_its_row(faces, tmp_path, capsys):
    (faces / "4.png").write_bytes(b"")
    arguments = [f"--csv={faces}/list.csv", f"--out={tmp_path / 'out'}", "--workers=1"]
    with pytest.raises(SystemExit):
        run("--dataset=csv_folder", *arguments)
    error = capsys.readouterr().err
    assert "list.csv row 6" in error
    assert "4.png: cannot be read" in error
    run("--dataset=csv_folder", "--unreadable=skip", *arguments)
    printed = capsys.readouterr().out
    assert "1 picture left out: the picture cannot be read (the first: list.csv row 6" in printed
    assert "5 of 6 pictures" in printed


def test_beam_that_is_not_there_says_how_to_get_it(faces, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(SystemExit):
        run("--dataset=csv_folder", f"--csv={faces}/list.csv", f"--out={tmp_path / 'o'}", "--beam")
    assert "pip install 'ldl_jax[beam]'" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_ctrl_c_says_how_to_go_on(faces, tmp_path, monkeypatch, capsys):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(launched.preparation, "prepare", stop)
    monkeypatch.setattr(sys, "argv", ["prepare", "--out=a b"])
    with pytest.raises(SystemExit) as ended:
        run("--dataset=csv_folder", f"--csv={faces}/list.csv", f"--out={tmp_path / 'out'}")
    assert ended.value.code == 130
    assert capsys.readouterr().err.endswith("goes on:\n  python -m launch.prepare '--out=a b'\n")


def children(pid):
    """The processes that a process started, on Linux."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_kill_costs_only_what_was_being_done(tmp_path, number):
    raw = tmp_path / "raw"
    raw.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(pixels).save(raw / "0.jpg", quality=95)
    count = 4000  # of which many are left when the first part is seen, on a busy machine too
    for i in range(1, count):
        os.link(raw / "0.jpg", raw / f"{i}.jpg")
    (raw / "list.csv").write_text(
        "path,label\n" + "".join(f"{i}.jpg,{i % 80}\n" for i in range(count))
    )
    line = [sys.executable, "-m", "launch.prepare", "--dataset=csv_folder", "--size=8",
            f"--csv={raw}/list.csv", "--workers=2", f"--out={tmp_path / 'out'}"]  # fmt: skip
    # A shell's background job is started with SIGINT ignored, and so was this suite, perhaps.
    ignored = number == signal.SIGTERM
    before = set_handler(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    job = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    set_handler(signal.SIGINT, before)
    deadline = time.monotonic() + 120

    def wait_for_parts(least):
        while (count := len(list((tmp_path / "out/parts").glob("*.npz")))) < least:
            assert job.poll() is None, job.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return count

    count_then = wait_for_parts(1)
    if ignored:
        job.send_signal(signal.SIGINT)
        wait_for_parts(count_then + 2)  # both workers are at another one
    workers = children(job.pid)
    job.send_signal(number)
    _, error = job.communicate(timeout=60)
    assert job.returncode == {signal.SIGKILL: -9}.get(number, 130)
    if number != signal.SIGKILL:
        assert b"the same command goes on" in error
        assert b"Traceback" not in error
    while any(Path(f"/proc/{pid}").exists() for pid in workers):  # they do not outlive it
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(ValueError, match="was cut off while it was prepared"):
        catalogue.read("prepared", tmp_path / "out")
    if number != signal.SIGKILL:
        return  # what is left is the same
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "were done before)" in done.stdout
    # A busy machine is told how far it is.
    assert [line for line in done.stderr.splitlines() if ", after " not in line] == []
    assert len(catalogue.read("prepared", tmp_path / "out")) == count


def test_it_needs_neither_tensorflow_nor_jax(tmp_path):
    """Neither to prepare a set, nor to read it, by this package or by TFDS's own data source."""
    program = f"""
import sys
from launch import prepare as launched
from ldl_jax.data.datasets import catalogue
from ldl_jax.data.prepare import preparation
from ldl_jax.data.prepare.chunk import PictureForm
from ldl_jax.data.synthetic import faces
records = faces.faces(8, 32)
out = __import__("pathlib").Path({str(tmp_path)!r}) / "out"
preparation.prepare(records, out, PictureForm(), workers=1)
back = catalogue.read("prepared", {str(tmp_path / "out")!r})
back.packed[3]
import tensorflow_datasets as tfds
source = tfds.builder_from_directory({str(tmp_path / "out/faces/1.1.0")!r}).as_data_source(
    split="pictures", decoders={{"image": tfds.decode.SkipDecoding()}})
assert len(source) == 8
one = source[5]
assert one["id"].decode() == back.ids[5] and one["label"] == back.labels[5], one
assert one["image"] == back.packed[5] and one["truth"].shape == (79,)
print("tensorflow" in sys.modules, "jax" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "False"]
