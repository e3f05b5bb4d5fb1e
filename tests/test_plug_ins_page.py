"""The examples of docs/plug_ins.md are files that work, with the keys that the page gives them."""

import json
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ldl_jax import methods
from ldl_jax.data.augment import own_change
from ldl_jax.data.datasets import catalogue
from ldl_jax.data.detect import choice
from ldl_jax.labels import AGE
from ldl_jax.run import own_keys
from ldl_jax.train import optimizers
from ldl_jax.train.optimizers import OptimizerConfig
from ldl_jax.video import own_tracker

PAGE = (Path(__file__).parents[1] / "docs/plug_ins.md").read_text()
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture(autouse=True)
def written(tmp_path, monkeypatch):
    """The page's files, in a folder that modules are imported from; other tests have such names."""
    names = [name.removesuffix(".py") for name in FILES]
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    folder = tmp_path / "modules"
    folder.mkdir()
    for name, code in FILES.items():
        (folder / name).write_text(code)
    monkeypatch.syspath_prepend(folder)
    yield
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def test_the_page_has_an_example_of_each_part():
    assert FILES.keys() == {
        *("my_loss.py", "my_faces.py", "my_change.py", "my_optimizer.py"),
        *("my_detector.py", "my_tracker.py"),
    }
    for section in own_keys.SECTIONS:
        if section != "data.test.options":
            assert f"`{section}.KEY`" in PAGE


def test_the_loss():
    methods.check(methods.get("my_loss:factory", space=AGE, weight=0.5), 8)


def test_the_dataset(tmp_path):
    labels = {}
    for index, name in enumerate(("ann/1.jpg", "ann/2.jpg", "bob/1.jpg")):
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (index, 0, 0)).save(path)
        labels[name] = {"age": 16 + 10 * index, "sex": "female" if index < 2 else "male"}
    labels["bob/1.jpg"]["sigma"] = 2.5
    (tmp_path / "faces/labels.json").write_text(json.dumps(labels))
    (tmp_path / "faces/test.txt").write_text("bob\n")
    records = catalogue.read("my_faces:faces", tmp_path / "faces", least_age=18)
    assert records.ids == ("ann/2.jpg", "bob/1.jpg")
    assert records.split == ("train", "test")
    assert records.groups == {"sex": ("female", "male")}
    np.testing.assert_array_equal(records.sigma, [np.nan, 2.5])


def test_the_augmentation():
    own_change.check("my_change:stripe", {"width": 0.3}, 32)


def test_the_optimizer_and_the_schedule(optax_promotes):
    config = OptimizerConfig(
        name="my_optimizer:clipped",
        options={"most": 0.5},
        schedule="my_optimizer:halves",
        schedule_options={"times": 5},
    )
    like = {"head": jax.ShapeDtypeStruct((4, 3), jnp.float32)}
    assert optimizers.check(config, 10, 50, like) == []
    rate = optimizers.learning_rate(config, 10, 50)
    np.testing.assert_allclose([rate(9), rate(10), rate(49)], np.array([1, 1 / 2, 1 / 16]) * 1e-3)


def test_the_detector_and_the_tracker():
    detect = choice.load("my_detector:middle", share=0.5)
    (face,) = detect(Image.new("RGB", (40, 20)))
    assert face.box == (15.0, 5.0, 25.0, 15.0)
    own_tracker.check("my_tracker:nearest", {"reach": 150})
