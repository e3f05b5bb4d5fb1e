"""The contact sheet: its layout, its pictures, and what it says of bad input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from PIL import Image

from launch import augment as launched
from ldl_jax.data.augment.recipes import RECIPES
from ldl_jax.data.synthetic import faces
from ldl_jax.run import command

ROOT = Path(__file__).parents[2]
NAMES = ("recipe", "out", "images", "side", "rows", "draws", "draw_seed", "progress")


def run(*arguments: str) -> None:
    flags.FLAGS.unparse_flags()
    launched.main(command.parse_flags(["augment", *arguments]))


@pytest.fixture(autouse=True)
def _flags_as_they_were() -> Iterator[None]:
    saved = {name: flags.FLAGS[name].default for name in NAMES}
    yield
    flags.FLAGS.unparse_flags()
    for name, value in saved.items():
        flags.FLAGS[name].value = value


def cells(path: Path, rows: int, columns: int, side: int) -> np.ndarray:
    """The sheet's pictures [rows, columns, side, side, 3], cut out of it."""
    sheet = np.asarray(Image.open(path))
    assert sheet.shape == (rows * (side + 2), columns * (side + 2) + 6, 3)
    starts = [column * (side + 2) + 6 * (column > 0) for column in range(columns)]
    return np.stack(
        [
            [sheet[row * (side + 2) :][:side, start : start + side] for start in starts]
            for row in range(rows)
        ]
    )


def test_originals_are_first_and_draws_follow(tmp_path: Path) -> None:
    out = tmp_path / "new" / "sheet.png"
    run("--recipe=adience", f"--out={out}", "--side=32", "--rows=3", "--draws=4")
    found = cells(out, 3, 5, 32)
    np.testing.assert_array_equal(found[:, 0], faces.faces(8, 32).images[:3])
    for row in found:
        assert all((row[i] != row[j]).any() for i in range(5) for j in range(i))
    # What a grid hides is the mean colour, 127.5 rounded to an even number.
    assert (found[:, 1:] == 128).all(-1).mean() > 0.05
    assert not (found[:, 0] == 128).all(-1).any()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_its_sheet(tmp_path: Path, name: str) -> None:
    once, again, other = (tmp_path / f"{i}.png" for i in range(3))
    size = ("--side=32", "--rows=2", "--draws=2")
    run(f"--recipe={name}", f"--out={once}", *size)
    run(f"--recipe={name}", f"--out={again}", *size)
    run(f"--recipe={name}", f"--out={other}", "--draw_seed=1", *size)
    assert once.read_bytes() == again.read_bytes()
    assert once.read_bytes() != other.read_bytes()


def test_pictures_come_from_all_over_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "faces"
    (folder / "more").mkdir(parents=True)
    for i in range(9):
        place = folder / ("more" if i > 4 else ".") / f"{i}.png"
        Image.new("RGB", (50, 40), (20 * i, 0, 0)).save(place)
    out = tmp_path / "sheet.png"
    run(f"--images={folder}", f"--out={out}", "--side=32", "--rows=3", "--draws=1")
    np.testing.assert_array_equal(cells(out, 3, 2, 32)[:, 0, 16, 16, 0], [0, 80, 160])
    run(f"--images={folder}", f"--out={out}", "--side=32", "--rows=20", "--draws=1")
    assert "9 pictures, 1 draws of cen" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--out"]),
        (["--out=s.png", "--recipe=dldl"], ["recipe", "cen|dldl_v2|ssr_net|adience"]),
        (["--out=s.png", "--images=nowhere"], ["--images", "no picture", "nowhere"]),
        (["--out=s.png", "--progress=2"], ["progress", "2"]),
        (["--out=s.png", "faces"], ["unknown arguments: faces"]),
    ],
)
def test_bad_input_gets_one_line(
    arguments: list[str],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for word in words:
        assert word in error
    assert not list(tmp_path.iterdir())


def test_the_command_runs(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "launch.augment", f"--out={tmp_path / 'a.png'}", "--side=32"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert cells(tmp_path / "a.png", 6, 9, 32).any()
