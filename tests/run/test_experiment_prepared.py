"""Runs on a prepared set: the run on the raw folder, from other files."""

import jax
import numpy as np
import pytest
from PIL import Image

from ldl_jax.data.align import Alignment
from ldl_jax.data.datasets import catalogue
from ldl_jax.data.prepare import preparation
from ldl_jax.data.prepare.chunk import PictureForm
from ldl_jax.run import config as schema
from ldl_jax.run import experiment
from ldl_jax.run.config import ConfigError

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder of pictures and the sets prepared from it: as they are, and cut out."""
    folder = tmp_path_factory.mktemp("faces")
    raw = folder / "raw"
    raw.mkdir()
    rng = np.random.default_rng(0)
    lines = ["path,label,sigma,subject,split"]
    for i in range(16):
        pixels = rng.integers(0, 256, (12, 11, 3), np.uint8)
        Image.fromarray(pixels).resize((44, 48)).save(raw / f"{i}.jpg", quality=80 + i)
        part = "test" if i % 4 == 0 else "train"
        lines.append(f"{i}.jpg,{20 + i},{'' if i % 2 else 2.5},person-{i // 2},{part}")
    (raw / "list.csv").write_text("\n".join(lines))
    records = catalogue.read("csv_folder", raw, csv="list.csv")
    preparation.prepare(records, folder / "same", PictureForm(), workers=1)
    squares = np.tile(np.float32([(4, 6), (40, 6), (40, 42), (4, 42)]), (16, 1, 1))
    given = preparation.dataclasses.replace(records, quads=squares)
    preparation.prepare(given, folder / "quad", PictureForm(Alignment("quad", 0.0), 32), workers=1)
    return folder


def build(log=lambda text: None, **data):
    config = schema.defaults()
    config.model.name = "tiny"
    config.batch_size = config.evaluation.batch_size = 4
    config.epochs = config.chain.generations = 1
    config.data.size = 32
    for key, value in data.items():
        config.data[key] = value
    return experiment.build(schema.parse(config), log, devices=1)


@pytest.mark.parametrize("feed", ["memory", "stream"])
@pytest.mark.parametrize("unreadable", ["stop", "skip"])
def test_the_batches_are_those_of_the_raw_folder(places, feed, unreadable):
    common = {"feed": feed, "unreadable": unreadable, "validation_fraction": 0.25}
    raw = build(name="csv_folder", root=str(places / "raw"), csv="list.csv", **common)
    same = build(name="prepared", root=str(places / "same"), **common)
    assert same.description["resolved"] == raw.description["resolved"]  # split and protocol
    for name in ("train", "validation", "test"):
        one, other = getattr(same.job.data, name), getattr(raw.job.data, name)
        assert one.part.ids == other.part.ids
        rows = np.arange(len(one.part)).reshape(1, -1)
        for some, others in zip(one.items(rows), other.items(rows), strict=True):
            jax.tree.map(
                np.testing.assert_array_equal,
                one.fetch(one.store, some),
                other.fetch(other.store, others),
            )
        for row in (1, 0):
            np.testing.assert_array_equal(one.part.picture(row), other.part.picture(row))


def test_how_faces_were_cut_out_goes_into_checkpoints(places):
    about = build(name="prepared", root=str(places / "quad")).job.about
    assert about.alignment == Alignment("quad", 0.0)
    about = build(name="prepared", root=str(places / "same")).job.about
    assert about.alignment == Alignment("none", 0.4)
    given = {"kind": "quad", "margin": 0.0}
    about = build(name="prepared", root=str(places / "quad"), alignment=given).job.about
    assert about.alignment == Alignment(**given)
    with pytest.raises(ConfigError, match=r"data\.alignment: the set was prepared with .*'quad'"):
        build(name="prepared", root=str(places / "quad"), alignment={"kind": "box", "margin": 0.2})


def test_a_root_that_is_not_prepared(places):
    with pytest.raises(ValueError, match=r"prepared: .* has no faces/1\.1\.0.*launch\.prepare"):
        build(name="prepared", root=str(places / "raw"))
