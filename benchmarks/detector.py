"""Finds faces with our MTCNN and with the package `mtcnn`, by TensorFlow, in the same pictures.

python -m benchmarks.detector PICTURES... --package_python=ENVIRONMENT/bin/python

The package needs an environment of its own: `python -m venv ENVIRONMENT`, and there
`pip install mtcnn tensorflow-cpu pillow`. Without PICTURES drawn faces are taken. Both sides take
turns, picture by picture, in one run.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import app, flags
from PIL import Image

from ldl_jax.data.detect import choice
from ldl_jax.data.synthetic import faces

_PACKAGE = flags.DEFINE_string("package_python", None, "the Python that has mtcnn and TensorFlow")

# Answers a line with a picture's path by a line with the seconds, the boxes and the points.
_THEIRS = """
import json, sys, time
import numpy as np
from PIL import Image
from mtcnn import MTCNN
network = MTCNN(device="CPU:0")
for line in sys.stdin:
    image = np.asarray(Image.open(line.strip()).convert("RGB"))
    started = time.perf_counter()
    found = network.detect_faces(image)
    seconds = time.perf_counter() - started
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    faces = [
        ([*map(int, f["box"])], [[*map(int, f["keypoints"][n])] for n in names]) for f in found
    ]
    print(json.dumps([seconds, faces]), flush=True)
"""


def main(arguments: Sequence[str]) -> None:
    """Prints both sides' median seconds a picture and how far their boxes and points differ."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(name) for name in arguments[1:]] or _drawn(Path(folder))
        # Pictures of more than 1024 pixels are reduced on our side first.
        paths = [path for path in paths if max(Image.open(path).size) <= 1024]
        _compare(paths)


def _drawn(folder: Path) -> list[Path]:
    paths = []
    drawn = np.asarray(faces.faces(count=24, size=448).images)
    for index, pixels in enumerate(drawn):
        paths.append(folder / f"{index}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def _compare(paths: list[Path]) -> None:
    detect = choice.load()
    theirs = None
    if _PACKAGE.value:
        theirs = subprocess.Popen(
            [_PACKAGE.value, "-c", _THEIRS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    ours_s, theirs_s, apart, counts = [], [], [], 0
    for path in [paths[0], *paths]:  # the first one twice, since it compiles
        image = Image.open(path).convert("RGB")
        started = time.perf_counter()
        ours_faces = detect(image)
        ours_s.append(time.perf_counter() - started)
        if theirs is None or theirs.stdin is None or theirs.stdout is None:
            continue
        print(path, file=theirs.stdin, flush=True)
        seconds, others = json.loads(theirs.stdout.readline())
        theirs_s.append(seconds)
        counts += len(ours_faces) != len(others)
        for (left, top, width, height), points in others:
            numbers = [left, top, left + width, top + height, *np.ravel(points)]
            ours = [[*face.box, *np.ravel(face.points)] for face in ours_faces]
            apart.append(
                min((np.abs(np.subtract(row, numbers)).max() for row in ours), default=9e9)
            )
    print(f"{len(paths)} pictures, {Image.open(paths[0]).size} pixels the first")
    print(f"ours     {np.median(ours_s[1:]) * 1e3:7.1f} ms a picture, median")
    if theirs is not None:
        theirs.kill()
        print(f"package  {np.median(theirs_s[1:]) * 1e3:7.1f} ms a picture, median")
        print(f"package / ours {np.median(theirs_s[1:]) / np.median(ours_s[1:]):.2f}")
        print(f"{len(apart)} faces, at most {max(apart):.2f} pixels apart; {counts} other numbers")


if __name__ == "__main__":
    sys.exit(app.run(main))
