"""What a detector of faces gives for a hostile picture ends that picture alone."""

import math

import numpy as np
import pytest
from PIL import Image

import ldl_jax
from ldl_jax import methods
from ldl_jax.data.align import TEMPLATE, Alignment, Face
from ldl_jax.labels import AGE
from ldl_jax.predict import faces

pytestmark = pytest.mark.usefixtures("tiny_network")
SOUND = Face((10.0, 10.0, 40.0, 40.0), TEMPLATE * 30 + 25)
ONE = np.full((5, 2), 7.0)
FOUND = {
    "nothing": lambda: None,
    "an error": lambda: 1 / 0,
    "no number": lambda: [Face((math.nan,) * 4, ONE * math.nan)],
    "infinite": lambda: [Face((0.0, 0.0, math.inf, math.inf), ONE * math.inf)],
    "huge": lambda: [Face((-1e9, -1e9, 1e9, 1e9), TEMPLATE * 1e9)],
    "turned inside out": lambda: [Face((40.0, 40.0, 10.0, 10.0), ONE)],
    "of no size": lambda: [Face((5.0, 5.0, 5.0, 5.0), ONE)],
    "no points": lambda: [Face((10.0, 10.0, 40.0, 40.0), np.zeros(0))],
}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory, tiny_model, draw_weights, write_checkpoint, tiny_network):
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE))
    return ldl_jax.load(write_checkpoint(tmp_path_factory.mktemp("c"), weights))


@pytest.mark.parametrize("kind", ["box", "similarity", "quad"])
def test_what_no_detector_can_mean_is_said_of_its_picture(tmp_path, predictor, kind):
    names = [*FOUND, "sound"]
    for number, name in enumerate(names):
        Image.new("RGB", (60, 50), (number, 0, 0)).save(tmp_path / f"{name}.png")

    def detect(image):
        return (*FOUND.values(), lambda: [SOUND])[image.getpixel((0, 0))[0]]()

    paths = [tmp_path / f"{name}.png" for name in names]
    pictures = [
        *faces.answer(predictor, paths, detect=detect, alignment=Alignment(kind, 0.4), batch=2)
    ]
    assert [picture.path for picture in pictures] == paths
    assert len(pictures[-1].answers) == 1
    boxes = ("no points",) if kind == "box" else ()  # a box needs no points
    for name, picture in zip(names[:-1], pictures[:-1], strict=True):
        assert bool(picture.answers) == (name in boxes), name
        if name not in boxes:
            [problem] = picture.problems
            assert problem.startswith(f"{picture.path}: the detector failed (")
            assert "\n" not in problem
