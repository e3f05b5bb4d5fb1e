"""What a checkpoint says of itself: typed, versioned, and read from what older releases wrote."""

import copy
import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import ldl_jax
from ldl_jax import methods
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import ADIENCE, AGE
from ldl_jax.placement import make_placement
from ldl_jax.train import transfer
from ldl_jax.train.checkpoint import Checkpoints, read_step, read_weights
from ldl_jax.train.intact import digest
from ldl_jax.train.record import VERSION, BestValidation, RecordError, from_json
from ldl_jax.train.state import Weights, init_state

FILE = Path("runs/one/checkpoints/generation_1/30")
# The record of release 0.1.0, which had no version; `space` is AGE, shortened here.
OLD = {
    "model": {"name": "tiny", "dtype": "float32"},
    "method": {"name": "cen", "lam": 4.0, "alpha": 0.5, "temperature": 2.0},
    "space": {"values": list(AGE.values), "unit": "years", "bounds": []},
    "preprocessing": {
        "stored_size": 40,
        "size": 32,
        "mean": [1.0, 2.0, 3.0],
        "std": [50.0, 60.0, 70.0],
        "crop": 0.5,
        "channels": "bgr",
    },
    "alignment": {"kind": "box", "margin": 0.25},
    "flip": True,
    "generation": 2,
    "step": 30,
}


@pytest.fixture
def full(make_record):
    """A record of which every field differs from its default."""
    return make_record(
        space=ADIENCE,
        preprocessing=Preprocessing(40, 32, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 0.5, "bgr", True),
        alignment=Alignment("quad", 0.0),
        flip=True,
        crops=(1.0, 0.75),
        generation=3,
        step=7,
        best=BestValidation("mae", 2.5, 7),
    )


def through_json(record):
    return json.loads(json.dumps(record.to_json()))


def test_what_is_written_is_read(full, make_record):
    for record in (full, make_record()):
        assert from_json(through_json(record), FILE) == record
    assert through_json(full)["version"] == VERSION


def changed(content, dotted, value):
    """A copy with one value changed, or removed where the value is None."""
    content = copy.deepcopy(content)
    *route, last = dotted.split(".")
    section = content
    for name in route:
        section = section[name]
    if value is None:
        del section[last]
    else:
        section[last] = value
    return content


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("flip", None, "flip is missing"),
        ("space.unit", None, "space.unit is missing"),
        ("best.value", None, "best.value is missing"),
        ("colour", "blue", "colour is not known"),
        ("preprocessing.zoom", 2, "preprocessing.zoom is not known"),
        ("flip", 1, "flip: expected bool, got 1"),
        ("crops", [0.0], r"crops: expected shares from 0.1 to 1, got \(0.0,\)"),
        ("crops", [0.5] * 2, r"crops: expected at most 16 different shares, got \(0.5, 0.5\)"),
        ("step", 1.5, "step: expected int, got 1.5"),
        ("model.name", 3, "model.name: expected a text, got 3"),
        ("method", [], r"method: expected .*Mapping.*, got \[\]"),
        ("space", "age", "space: expected an object, got 'age'"),
        ("space.values", [3.0, 1.0], "space: values: must rise strictly"),
        ("space.bounds", [[0.0]], r"space.bounds: expected tuple\[float, float\], got \[0.0\]"),
        ("preprocessing.mean", [1.0], r"preprocessing.mean: expected tuple.*, got \[1.0\]"),
        ("preprocessing.channels", "xyz", "preprocessing: channels: expected 'rgb' or 'bgr'"),
        ("alignment.margin", True, "alignment.margin: expected float, got True"),
        ("version", "1", "version: expected a number, got '1'"),
    ],
)
def test_a_bad_field_is_named_with_its_file(full, field, value, says):
    with pytest.raises(RecordError, match=rf"^{FILE}: its record: {says}") as caught:
        from_json(changed(through_json(full), field, value), FILE)
    assert "\n" not in str(caught.value)


def test_all_missing_fields_are_named_at_once(full):
    content = changed(changed(through_json(full), "flip", None), "step", None)
    with pytest.raises(RecordError, match="flip is missing; step is missing"):
        from_json(content, FILE)


def test_a_record_of_a_newer_version_is_one_line(full):
    content = {**through_json(full), "version": VERSION + 1, "new": {"deep": 1}}
    with pytest.raises(RecordError) as caught:
        from_json(content, FILE)
    assert str(caught.value) == (
        f"{FILE}: its record has version {VERSION + 1}, and this release reads up to {VERSION}; "
        "use the release that wrote it, or a newer one"
    )


def test_a_newer_checkpoint_is_not_passed_over_for_the_one_before_it(
    tmp_path, full, draw_weights, tiny_model, monkeypatch
):
    weights = {"weights": draw_weights(tiny_model, methods.get("dldl", space=ADIENCE))}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, weights, full)
    content = {**full.to_json(), "version": VERSION + 1}
    monkeypatch.setattr(type(full), "to_json", lambda self: content)
    checkpoints.save(2, weights, full)
    checkpoints.close()
    with pytest.raises(RecordError, match=rf"{tmp_path / '2'}: its record has version"):
        read_weights(tmp_path)


# Whole checkpoints of release 0.1.0, which called a backbone's parameters "trunk".


@pytest.fixture
def new_state(tiny_model, draw_weights):
    """`new_state(seed)`: a state as it is today, with Adam's moments and a moving average."""
    cen = methods.get("cen", space=AGE)
    optimizer = optax.adam(1e-3)

    def make(seed):
        weights = draw_weights(tiny_model, cen, seed=seed)
        state = init_state(weights, optimizer, 2, jax.random.key(seed), average=True)
        moved = jax.tree.map(lambda x: x + jnp.asarray(seed, x.dtype), state.opt_state)
        averaged = jax.tree.map(lambda x: 2 * x, state.ema)
        return make_placement().place(state._replace(opt_state=moved, ema=averaged))

    return make


def with_trunks(tree):
    """The same state with today's names replaced by those of the release."""

    def params(tree):
        return {"trunk": tree["backbone"], "head": tree["head"]}

    def weights(tree):
        return Weights(params(tree.params), tree.model_state)

    adam, *rest = tree.opt_state
    adam = adam._replace(mu=params(adam.mu), nu=params(adam.nu))
    return tree._replace(
        weights=weights(tree.weights), ema=weights(tree.ema), opt_state=(adam, *rest)
    )


@pytest.fixture
def old_folder(tmp_path, new_state):
    """A generation's folder as the release left it."""
    folder = tmp_path / "generation_2"
    manager = ocp.CheckpointManager(folder, item_names=("state", "about"))
    manager.save(
        30,
        args=ocp.args.Composite(
            state=ocp.args.StandardSave(with_trunks(new_state(5))), about=ocp.args.JsonSave(OLD)
        ),
    )
    manager.close()
    (folder / "30.sha256").write_text(digest(folder / "30"))
    return folder


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_the_old_layout_is_really_there(old_folder):
    tree = ocp.PyTreeCheckpointHandler().metadata(old_folder / "30" / "state").tree
    assert set(tree["weights"]["params"]) == {"trunk", "head"}
    assert "version" not in json.loads((old_folder / "30/about/metadata").read_text())


def test_an_old_checkpoint_is_loaded(old_folder, new_state, tiny_network):
    about, weights = read_step(old_folder / "30")
    assert (about.generation, about.step, about.best) == (2, 30, None)
    assert_same(weights, jax.tree.map(np.asarray, new_state(5).ema._asdict()))
    predictor = ldl_jax.load(old_folder)
    assert predictor.preprocessing.channels == "bgr"
    assert predictor.alignment == Alignment("box", 0.25)
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), np.uint8)
    assert predictor(images).probs.shape == (2, AGE.size)


def test_a_backbone_is_taken_from_an_old_checkpoint(old_folder, new_state, tiny_model):
    backbone = transfer.read_backbone(old_folder, tiny_model, jax.random.key(0))
    expected = new_state(5).ema
    assert_same(backbone.params, jax.tree.map(np.asarray, expected.params["backbone"]))
    assert_same(backbone.model_state, jax.tree.map(np.asarray, expected.model_state))
    assert backbone.inputs["channels"] == "bgr"


def test_training_goes_on_from_an_old_checkpoint(old_folder, new_state):
    lines = []
    checkpoints = Checkpoints(old_folder)
    state = checkpoints.restore(new_state(0), lines.append)
    checkpoints.close()
    assert lines == []
    assert_same(state, new_state(5))


def test_the_best_weights_of_an_old_run_are_read():
    best = {"metric": "mae", "value": 3, "step": 30}
    record = from_json({**OLD, "best": best}, FILE)
    assert record.best == BestValidation("mae", 3.0, 30)
    assert dataclasses.replace(record, best=None) == from_json(OLD, FILE)
