"""The affine warp against SciPy, Pillow and its definition; its draws statistically."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.augment import resize
from ldl_jax.data.augment import warp as augment_warp
from ldl_jax.data.augment.warp import Warp
from ldl_jax.data.synthetic import faces as synthetic

warp = jax.jit(augment_warp.warp, static_argnums=(2, 4))
random_warp = jax.jit(augment_warp.random_warp, static_argnums=(4, 5))
random_matrices = jax.jit(augment_warp.random_matrices, static_argnums=(1, 2))
random_sides = jax.jit(augment_warp.random_sides, static_argnums=(1, 2, 3))
shrink = jax.jit(resize.shrink, static_argnums=(2, 3))
NEVER = Warp(rotation=5.0, rotation_probability=0.0)  # the warp's path, but nothing moves


@pytest.fixture(scope="module")
def faces():
    return synthetic.faces(8, 48).images[:4]


@pytest.fixture(scope="module")
def real_faces(real_data):
    files = sorted((real_data / "aaf" / "aligned faces").glob("*.jpg"))[::2000]
    return np.stack([pictures.decode_one(file, 96) for file in files])


def whole(images):
    return np.tile(np.asarray([[0, 0, *images.shape[1:3]]], np.float32), (len(images), 1))


def about_the_middle(matrices, images):
    """The maps into the pixels of whole pictures."""
    boxes, flips = whole(images), np.zeros(len(images), bool)
    return augment_warp.place(jnp.asarray(matrices, jnp.float32), boxes, flips)


def extents(images):
    return np.tile(np.asarray([images.shape[1:3]], np.float32), (len(images), 1))


def drawn(seed, count):
    """Matrices that rotate, shear, shift and zoom, all of them well visible."""
    recipe = Warp(rotation=60.0, shear=20.0, shift=0.3, zoom=(0.6, 1.5))
    return random_matrices(jax.random.key(seed), count, recipe)


def scipy_warp(picture, matrix, size, mode):
    """The same map by SciPy in float64; its places are (row, column) of pixel centres."""
    (a, b, c), (d, e, f) = np.asarray(matrix, np.float64)
    linear = np.asarray([[e, d], [b, a]]) / size
    middle = (size - 1) / 2
    offset = np.asarray([f, c]) - 0.5 - linear @ (middle, middle)
    channels = [
        scipy.ndimage.affine_transform(
            channel.astype(np.float64), linear, offset, (size, size), order=1, mode=mode
        )
        for channel in np.moveaxis(picture, -1, 0)
    ]
    return np.stack(channels, -1)


@pytest.mark.parametrize(("border", "mode"), [("edge", "nearest"), ("black", "grid-constant")])
@pytest.mark.parametrize("size", [48, 31, 80])
def test_a_warp_is_scipy_s_at_every_pixel(faces, border, mode, size):
    matrices = about_the_middle(drawn(size, len(faces)), faces)
    got = warp(faces, matrices, size, extents(faces), border)
    assert got.shape == (4, size, size, 3)
    assert got.dtype == jnp.float32
    expected = np.stack(
        [scipy_warp(x, m, size, mode) for x, m in zip(faces, matrices, strict=True)]
    )
    np.testing.assert_allclose(got, expected, atol=0.02)


def test_a_warp_is_pillow_s_on_real_faces(real_faces):
    size = real_faces.shape[1]
    matrices = np.asarray(about_the_middle(drawn(1, len(real_faces)), real_faces), np.float64)
    got = np.asarray(
        warp(real_faces, matrices.astype(np.float32), size, extents(real_faces), "black")
    )
    for picture, matrix, ours in zip(real_faces, matrices, got, strict=True):
        linear = matrix[:, :2] / size
        offset = matrix[:, 2] - matrix[:, :2].sum(1) / 2
        values = (*linear[0], offset[0], *linear[1], offset[1])
        affine, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
        theirs = Image.fromarray(picture).transform((size, size), affine, values, bilinear)
        x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
        places = np.stack([x, y], -1) @ linear.T + offset
        inside = ((places > 0.6) & (places < size - 0.6)).all(-1)
        assert inside.mean() > 0.4
        # Pillow cuts off what is behind the decimal point.
        np.testing.assert_allclose(ours[inside], np.asarray(theirs)[inside] + 0.5, atol=0.51)


@pytest.mark.parametrize(("border", "code"), [("edge", "REPLICATE"), ("black", "CONSTANT")])
def test_a_warp_is_opencv_s_on_real_faces(real_faces, border, code):
    cv2 = pytest.importorskip("cv2")
    size = real_faces.shape[1]
    matrices = about_the_middle(drawn(2, len(real_faces)), real_faces)
    got = np.asarray(warp(real_faces, matrices, size, extents(real_faces), border))
    for picture, matrix, ours in zip(real_faces, np.asarray(matrices), got, strict=True):
        linear = matrix[:, :2].astype(np.float64) / size
        offset = matrix[:, 2] - matrix[:, :2].sum(1) / 2 + linear.sum(1) / 2 - 0.5
        theirs = cv2.warpAffine(
            picture.astype(np.float32),
            np.column_stack([linear, offset]),
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=getattr(cv2, f"BORDER_{code}"),
        )
        # OpenCV before 5 rounds places to 1/32 pixel.
        np.testing.assert_allclose(ours, theirs, atol=16)
        assert np.abs(ours - theirs).mean() < 0.3


@pytest.mark.parametrize("angle", [-140.0, -15.0, 7.0, 20.0])
def test_a_rotation_is_pillow_s(faces, angle):
    radians = np.deg2rad(angle)
    cos, sin = np.cos(radians), np.sin(radians)
    matrices = about_the_middle(np.tile([[[cos, -sin, 0], [sin, cos, 0]]], (4, 1, 1)), faces)
    got = warp(faces, matrices, 48, extents(faces), "black")
    y, x = np.mgrid[:48, :48] - 23.5
    inside = np.hypot(x, y) < 23
    for picture, ours in zip(faces, np.asarray(got), strict=True):
        theirs = Image.fromarray(picture).rotate(angle, Image.Resampling.BILINEAR)
        np.testing.assert_allclose(ours[inside], np.asarray(theirs)[inside] + 0.5, atol=0.51)


def test_nothing_moved_is_the_picture_s_crop(faces):
    boxes = np.asarray([[0, 0, 48, 48], [3.5, 2, 30, 20], [10, 20, 25, 25], [1, 9, 40, 33]])
    flips = np.asarray([False, True, False, True])
    key = jax.random.key(0)
    got = random_warp(key, faces, boxes.astype(np.float32), flips, 48, NEVER)
    expected = resize.crop_and_resize(faces, boxes.astype(np.float32), flips, 48)
    np.testing.assert_allclose(got, expected, atol=0.02)
    np.testing.assert_allclose(got[0], faces[0], atol=1e-3)


def test_a_crop_of_a_larger_picture_is_first_reduced_as_pillow_does_it(faces):
    got = random_warp(jax.random.key(0), faces, whole(faces), np.zeros(4, bool), 17, NEVER)
    for picture, ours in zip(faces, got, strict=True):
        theirs = Image.fromarray(picture).resize((17, 17), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(ours, np.asarray(theirs, float), atol=1.5)


def test_a_crop_is_the_same_of_a_larger_picture():
    """The box is in the pixels of the picture as it comes, whatever it is reduced to."""
    y, x = np.mgrid[:60, :60]
    slope = np.stack([3 * x, 4 * y, x + y], -1).astype(np.float32)[None]
    boxes = np.asarray([[10, 20, 30, 20]], np.float32)
    got = random_warp(jax.random.key(0), slope, boxes, np.zeros(1, bool), 30, NEVER)[0]
    line = (np.arange(30) + 0.5) / 30
    np.testing.assert_allclose(got[3, :, 0], 3 * (20 + 20 * line - 0.5), atol=0.01)
    np.testing.assert_allclose(got[:, 3, 1], 4 * (10 + 30 * line - 0.5), atol=0.01)


def test_a_lower_resolution_is_pillow_s_smaller_picture_enlarged(faces):
    recipe = Warp(resolution=(0.5, 0.5))
    got = random_warp(jax.random.key(0), faces, whole(faces), np.zeros(4, bool), 48, recipe)
    for picture, ours in zip(faces, got, strict=True):
        bilinear = Image.Resampling.BILINEAR
        theirs = Image.fromarray(picture).resize((24, 24), bilinear).resize((48, 48), bilinear)
        # Pillow rounds after each of its four passes.
        np.testing.assert_allclose(ours, np.asarray(theirs, float), atol=2)


def test_shrunk_pictures_are_pillow_s_and_fill_their_arrays(faces):
    sides = np.asarray([48, 40, 23, 7], np.float32)
    got = np.asarray(shrink(faces, sides, 48, 7))
    for picture, side, ours in zip(faces, sides.astype(int), got, strict=True):
        theirs = Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(ours[:side, :side], np.asarray(theirs, float), atol=1.5)
        np.testing.assert_allclose(
            ours[side:, :side], np.tile(ours[side - 1, :side], (48 - side, 1, 1))
        )
        np.testing.assert_allclose(
            ours[:, side:], np.repeat(ours[:, side - 1 : side], 48 - side, 1)
        )


def test_black_begins_at_the_border_of_a_reduced_picture():
    images = np.full((1, 40, 40, 3), 200, np.uint8)
    recipe = Warp(zoom=(2.0, 2.0), resolution=(0.6, 0.6), border="black")
    got = random_warp(jax.random.key(0), images, whole(images), np.zeros(1, bool), 40, recipe)[0]
    np.testing.assert_allclose(got[12:28, 12:28], 200, atol=1e-3)
    np.testing.assert_allclose(got[:8], 0)
    np.testing.assert_allclose(got[:, 32:], 0)


@pytest.mark.parametrize("probability", [0.25, 1.0])
@pytest.mark.parametrize("name", ["rotation", "shear", "shift", "zoom"])
def test_what_is_drawn_has_its_range_and_probability(name, probability):
    count = 8000
    value = {"rotation": 20.0, "shear": 10.0, "shift": 0.2, "zoom": (0.8, 1.2)}[name]
    recipe = Warp(**{name: value, f"{name}_probability": probability})
    m = np.asarray(random_matrices(jax.random.key(3), count, recipe), np.float64)
    still = (m == np.asarray([[1, 0, 0], [0, 1, 0]])).all((1, 2))
    np.testing.assert_allclose((~still).mean(), probability, atol=0.02)
    m = m[~still]
    if name == "rotation":
        values = np.rad2deg(np.arctan2(m[:, 1, 0], m[:, 0, 0]))[:, None]
        np.testing.assert_allclose(np.linalg.det(m[:, :, :2]), 1, atol=1e-6)
        np.testing.assert_allclose(m[:, 0, 1], -m[:, 1, 0])
    elif name == "shear":
        values = np.rad2deg(np.arcsin(-m[:, 1, 0]))[:, None]
        np.testing.assert_allclose(m[:, 0, 0], np.cos(np.deg2rad(values[:, 0])), atol=1e-6)
        np.testing.assert_allclose(m[:, :, 1] - [0, 1], 0, atol=1e-6)
    elif name == "shift":
        values = m[:, :, 2]
    else:
        values = np.stack([m[:, 0, 0], m[:, 1, 1]], 1)
    low, high = value if name == "zoom" else (-value, value)
    width = high - low
    assert low - 1e-4 * width <= values.min() < low + 0.01 * width
    assert high - 0.01 * width < values.max() <= high + 1e-4 * width
    np.testing.assert_allclose(values.mean(0), (low + high) / 2, atol=0.03 * width)
    np.testing.assert_allclose(values.std(0), width / np.sqrt(12), rtol=0.04)
    if values.shape[1] == 2:
        assert abs(np.corrcoef(values.T)[0, 1]) < 0.06


def test_operations_are_drawn_apart_and_come_in_order():
    """Rotation, shear, shift, zoom: a place of the result meets them from the last on."""
    values = {"rotation": 30.0, "shear": 15.0, "shift": 0.3, "zoom": (0.5, 1.5)}
    key = jax.random.key(9)

    def square(matrices):
        row = np.broadcast_to([[[0.0, 0.0, 1.0]]], (len(matrices), 1, 3))
        return np.concatenate([np.asarray(matrices, np.float64), row], 1)

    alone = [
        square(random_matrices(key, 200, Warp(**{name: value, f"{name}_probability": 0.5})))
        for name, value in values.items()
    ]
    changes = {f"{name}_probability": 0.5 for name in values}
    together = square(random_matrices(key, 200, Warp(**values, **changes)))
    np.testing.assert_allclose(together, alone[0] @ alone[1] @ alone[2] @ alone[3], atol=1e-6)
    moved = np.stack([(m != np.eye(3)).any((1, 2)) for m in alone])
    assert np.abs(np.corrcoef(moved) - np.eye(4)).max() < 0.25


def test_operations_are_independent_of_one_another():
    values = {"rotation": 30.0, "shear": 15.0, "shift": 0.3, "zoom": (0.5, 1.5)}
    entries = {"rotation": (1, 0), "shear": (1, 0), "shift": (0, 2), "zoom": (0, 0)}
    key = jax.random.key(9)
    drawn_values = [
        np.asarray(random_matrices(key, 3000, Warp(**{name: value})))[:, *entries[name]]
        for name, value in values.items()
    ]
    assert np.abs(np.corrcoef(drawn_values) - np.eye(4)).max() < 0.07


def test_sides_are_uniform_whole_numbers():
    sides = np.asarray(random_sides(jax.random.key(0), 20000, 32, (0.5, 1.0)))
    numbers, counts = np.unique(sides, return_counts=True)
    np.testing.assert_array_equal(numbers, np.arange(16, 33))
    np.testing.assert_allclose(counts / len(sides), 1 / 17, atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation": -1.0}, r"augment\.warp\.rotation: expected 0 to 180, got -1\.0"),
        ({"rotation": float("nan")}, r"augment\.warp\.rotation: "),
        ({"shear": 90.0}, r"augment\.warp\.shear: expected 0 to 89, got 90\.0"),
        ({"shift": 1.5}, r"augment\.warp\.shift: expected 0 to 1, got 1\.5"),
        (
            {"zoom": (0.0, 1.0)},
            r"augment\.warp\.zoom: expected 0 < low <= high, got \(0\.0, 1\.0\)",
        ),
        ({"zoom": (1.2, 0.8)}, r"augment\.warp\.zoom"),
        ({"resolution": (0.5, 1.1)}, r"augment\.warp\.resolution: .* <= 1, got \(0\.5, 1\.1\)"),
        ({"resolution": (0.0, 1.0)}, r"augment\.warp\.resolution"),
        ({"shear_probability": 1.5}, r"augment\.warp\.shear_probability: expected a prob.*1\.5"),
        ({"zoom_probability": -0.5}, r"augment\.warp\.zoom_probability"),
        ({"border": "wrap"}, r"augment\.warp\.border: expected one of edge, black, got 'wrap'"),
    ],
)
def test_a_warp_that_makes_no_sense_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        Warp(**options)
