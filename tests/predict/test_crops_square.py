"""What commands read is what a predictor is given: the middle square, where the model has it."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.data.pictures import fit
from ldl_jax.predict import crops


@pytest.mark.parametrize("square", [False, True])
def test_a_face_s_file_is_read_as_the_training_pictures_were(tmp_path, square):
    drawn = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(drawn).save(tmp_path / "a.png")
    asked = Preprocessing(16, 16, crop=0.8, square=square)
    predictor = SimpleNamespace(preprocessing=asked)
    read = crops.read(predictor, tmp_path / "a.png", None)
    np.testing.assert_array_equal(read, fit(Image.fromarray(drawn), 16, 0.8, square))
    other = fit(Image.fromarray(drawn), 16, 0.8, not square)
    assert not np.array_equal(read, other)
