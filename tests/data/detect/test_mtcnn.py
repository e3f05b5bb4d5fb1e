"""MTCNN in JAX beside what the package `mtcnn` 1.0 answered, by TensorFlow, for the same arrays."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data.align import Face
from ldl_jax.data.detect import boxes, choice, mtcnn, networks, weights
from ldl_jax.data.synthetic import faces as synthetic

# The package's boxes (left, top, right, bottom), and its points' x, then y.
BOXES = [(64.62, 81.21, 175.85, 227.47), (310.23, 129.62, 403.34, 248.96)]
X = [(91.97, 143.91, 116.61, 93.57, 131.02), (332.56, 373.11, 351.36, 335.65, 373.11)]
Y = [(135.72, 141.87, 172.81, 192.48, 196.89), (173.82, 172.52, 201.75, 223.27, 221.5)]


def ramp(count: int, side: int) -> np.ndarray:
    i = np.arange(count * side * side * 3).reshape(count, side, side, 3)
    return ((np.sin(i * 0.7) + np.cos(i * i * 0.001)) / 2).astype(np.float32)


@pytest.fixture(scope="module")
def arrays() -> weights.Weights:
    return weights.load()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Two drawn faces on grey."""
    canvas = np.full((300, 470, 3), 120, np.uint8)
    drawn = synthetic.faces(count=8, size=224).images
    canvas[20:244, 10:234], canvas[60:284, 240:464] = drawn[1], drawn[2]
    return Image.fromarray(canvas)


@pytest.mark.parametrize(
    ("side", "shifts", "score"),
    [
        (15, [0.252173, 0.03844, -0.219301, 0.024309], 4.1147803e-05),
        (16, [0.296912, -0.048238, -0.058503, 0.031393], 9.624732e-05),
    ],
)
def test_the_first_network_sees_the_picture_in_the_corner_of_its_array(arrays, side, shifts, score):
    images = np.full((1, 24, 24, 3), 7.0, np.float32)
    images[:, :side, :side] = ramp(1, side)
    found, probability = networks.pnet(arrays["pnet"], images, np.array([[side, side]]))
    last = math.ceil((side - 2) / 2) - 5
    np.testing.assert_allclose(found[0, last, last], shifts, atol=2e-6)
    np.testing.assert_allclose(probability[0, last, last], score, rtol=1e-4)


def test_the_other_networks(arrays):
    shifts, score = networks.rnet(arrays["rnet"], ramp(2, 24))
    np.testing.assert_allclose(shifts[1], [0.060063, 0.082324, -0.134955, 0.224343], atol=2e-6)
    np.testing.assert_allclose(score[1], 0.0041469485, rtol=1e-4)
    shifts, score, points = networks.onet(arrays["onet"], ramp(2, 48))
    np.testing.assert_allclose(shifts[1], [-0.011414, -0.083336, -0.092561, 0.05896], atol=2e-6)
    np.testing.assert_allclose(score[1], 0.004900013, rtol=1e-4)
    x = [0.215792, 0.618047, 0.367846, 0.21571, 0.504266]
    y = [0.282947, 0.263359, 0.556123, 0.841069, 0.845895]
    np.testing.assert_allclose(points[1], x + y, atol=2e-6)


def test_the_faces_of_a_picture_are_the_packages(picture):
    found = mtcnn.detector()(picture)
    np.testing.assert_allclose([face.box for face in found], BOXES, atol=0.02)
    np.testing.assert_allclose([face.points[:, 0] for face in found], X, atol=0.02)
    np.testing.assert_allclose([face.points[:, 1] for face in found], Y, atol=0.02)


def test_a_large_picture_is_reduced_first(picture):
    wide = Image.new("RGB", (1504, 960), (120,) * 3)
    wide.paste(picture.resize((1504, 960)))
    found = mtcnn.detector(mtcnn.Settings(smallest=40))(wide)
    scale = [1504 / 470, 960 / 300] * 2
    np.testing.assert_allclose([face.box for face in found], np.array(BOXES) * scale, atol=20)


def test_settings_choose_among_the_faces(picture):
    sure = choice.load("mtcnn", threshold=0.99)
    assert len(sure(picture)) == 1
    large = choice.load("mtcnn", smallest=260)
    assert len(large(picture)) < 2
    assert choice.load("mtcnn")(Image.new("RGB", (200, 200))) == []
    assert choice.load("mtcnn")(Image.new("RGB", (11, 400))) == []


def test_a_re_save_needs_no_package(picture, tmp_path, monkeypatch):
    path = tmp_path / "mtcnn.safetensors"
    weights.save(path)
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"not installed; .* 'ldl_jax\[align\]'"):
        choice.load()
    np.testing.assert_allclose(choice.load(str(path))(picture)[0].box, BOXES[0], atol=0.02)


def test_files_that_hold_no_such_weights(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "a.safetensors"
    path.write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match=r"a\.safetensors: is no safetensors file"):
        choice.load(str(path))
    save_file({"x": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="holds no weights of MTCNN: expected the arrays onet"):
        choice.load(str(path))
    given = {
        f"{name}.{index}": np.zeros(shape, np.float32)
        for name, shapes in networks.SHAPES.items()
        for index, shape in enumerate(shapes)
    }
    save_file(given | {"pnet.1": np.zeros(3), "rnet.1": np.full(28, np.nan)}, path)
    with pytest.raises(ValueError, match=r"pnet has arrays of shapes .*; rnet has"):
        choice.load(str(path))


def test_settings_out_of_range_are_said_at_once():
    with pytest.raises(ValueError, match=r"threshold: .* got 2; smallest: .* got 3; factor: .* 1"):
        choice.load("mtcnn", threshold=2, smallest=3, factor=1)
    with pytest.raises(ValueError, match="no setting thresold; it has: factor, proposal"):
        choice.load("mtcnn", thresold=0.9)


def test_anybodys_detector(tmp_path, monkeypatch):
    code = """
from ldl_jax.data.align import Face, TEMPLATE
def make(side=20):
    return lambda image: [Face((0, 0, side, side), TEMPLATE * side + side / 2)]
def wrong():
    return lambda image: [(0, 0, 20, 20)]
def flat():
    return lambda image: [Face((0, 0, 20, 20), TEMPLATE[:2])]
def none():
    return None
"""
    (tmp_path / "my_detector.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    image = Image.new("RGB", (64, 64))
    (face,) = choice.load("my_detector:make", side=30)(image)
    assert isinstance(face, Face)
    assert face.box == (0, 0, 30, 30)
    with pytest.raises(ValueError, match=r"option=length: 'my_detector:make' has no such option"):
        choice.load("my_detector:make", length=3)
    with pytest.raises(ValueError, match="returned NoneType, expected a function"):
        choice.load("my_detector:none")
    with pytest.raises(ValueError, match="expected a list of Face"):
        choice.load("my_detector:wrong")(image)
    with pytest.raises(ValueError, match=r"points of shape \(2, 2\), expected 4 and \(5, 2\)"):
        choice.load("my_detector:flat")(image)
    with pytest.raises(ValueError, match=r"unknown 'retina'; expected mtcnn, a \.safetensors"):
        choice.check("retina")


def test_a_reduced_pixel_is_the_mean_of_its_area():
    pixels = ramp(1, 20)[0]
    found = boxes.reduced(boxes.summed(pixels), 7, 6)[5, :, 2]
    expected = [-0.037406, 0.320724, -0.171014, -0.008863, -0.132162, -0.180799]  # TensorFlow's
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_what_is_cut_out_is_zero_outside():
    found = boxes.cut(ramp(1, 20)[0], np.array([[-3.5, 2.2, 11.3, 17.0]]), 4)[0, :, :, 1]
    expected = [  # TensorFlow's
        [0, -0.609935, 0.431505, 0.112747],
        [0, 0.110981, -0.167741, -0.107643],
        [0, -0.018777, -0.007838, -0.083013],
        [0, 0.391633, -0.271804, -0.225465],
    ]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_suppressed_box_still_suppresses():
    row = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10], [40, 0, 50, 10]], float)
    scores = np.array([0.7, 0.9, 0.8, 0.1])
    assert boxes.suppress(row, scores, 0.4, least_area=False).tolist() == [1, 3]
    assert boxes.suppress(row, scores, 0.5, least_area=False).tolist() == [1, 2, 0, 3]
    assert boxes.suppress(row, scores, 0.5, least_area=True).tolist() == [1, 3]
    assert boxes.suppress(row[:0], scores[:0], 0.5, least_area=True).size == 0


def test_the_originals_of_a_real_set(real_data):
    """Eyes and mouth lie where the set's own landmarks have them."""
    detect = mtcnn.detector()
    folder = real_data / "aaf"
    off = []
    for path in sorted((folder / "original images").glob("*.jpg")):
        marks = np.loadtxt(folder / "key points" / f"{path.stem}.txt")
        expected = [marks[19:25].mean(0), marks[25:31].mean(0), marks[31], marks[37]]
        with Image.open(path) as image:
            found = detect(image)
        assert found, json.dumps(str(path))
        distance = np.linalg.norm(found[0].points[[0, 1, 3, 4]] - expected, axis=1)
        off.append(distance.max() / np.linalg.norm(expected[1] - expected[0]))
    assert np.median(off) < 0.12, off
