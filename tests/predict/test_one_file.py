"""A model in one file answers as the run did, and needs no library of training."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ldl_jax
from ldl_jax import methods, models
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import ADIENCE, AGE
from ldl_jax.models import weight_files
from ldl_jax.predict import one_file
from ldl_jax.predict.one_file import Notes
from ldl_jax.predict.predictor import Predictor
from ldl_jax.train import model_file, transfer
from ldl_jax.train.weights import Weights

pytestmark = pytest.mark.usefixtures("tiny_network")
ROOT = Path(__file__).parents[2]
NOTES = Notes("# A card\n", "research only; ask", ("pictures: 3", "split: official"))
# One of each kind of method, the networks with a form of their own, and what a record may hold.
KINDS = {
    "distribution": {"method": {"name": "dldl_v2"}},
    "moments": {"method": {"name": "mean_variance"}},
    "classes": {"method": {"name": "dex"}, "space": ADIENCE},
    "ordinal": {"method": {"name": "coral"}},
    "ordered head": {"method": {"name": "stick_breaking"}},
    "value": {"method": {"name": "regression_l1"}},
    "CEN": {
        "model": {"name": "resnet10_tiny"},
        "method": {"name": "cen", "lam": 3.0},
        "preprocessing": Preprocessing(40, 32, (1.0, 2.0, 3.0), (50.0, 60.0, 70.0), 0.9, "bgr"),
        "alignment": Alignment("similarity", 0.25),
        "flip": True,
    },
    "SSR-Net": {
        "model": {"name": "ssrnet", "stages": [3, 2]},
        "method": {"name": "ssr", "stages": [3, 2]},
        "preprocessing": Preprocessing(64, 64),
    },
    "hidden layers": {"method": {"name": "dldl"}, "hidden": (8, 6), "standardised": True},
}


@pytest.fixture
def make(make_record, draw_weights):
    """`make(**fields)`: a predictor of random weights."""

    def of(seed=3, **fields):
        about = make_record(**fields)
        method = methods.get(space=about.space, **about.method)
        method = method.deepened(about.hidden, standardised=about.standardised)
        weights = draw_weights(models.build(**about.model), method, seed)
        if about.standardised:
            weights.params["head"]["input"] = {"mean": jnp.ones(16), "deviation": jnp.full(16, 2.0)}
        return Predictor(about, weights)

    return of


def draw(count=3, size=48):
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8)


def assert_same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_same_bits(make, tmp_path, kind):
    predictor = make(**KINDS[kind])
    predictor.save(tmp_path / "m.safetensors")
    loaded = ldl_jax.load(tmp_path / "m.safetensors")
    assert loaded.about == predictor.about
    assert (loaded.space, loaded.alignment) == (predictor.space, predictor.alignment)
    answer = predictor(draw())
    assert np.isfinite(answer.value).all()
    assert_same(loaded(draw()), answer)
    assert_same(loaded.trained, predictor.trained)


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_s_arrays_come_back(make_record, draw_weights, tiny_model, name):
    method = methods.get(name, space=AGE)
    weights = draw_weights(tiny_model, method)
    content = model_file.dumps(make_record(method={"name": name}), weights, NOTES)
    stored = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    names = stored.keys() - {"__metadata__"}
    assert len(names) == len(jax.tree.leaves(weights))
    assert {name.split(".")[0] for name in names} == {"backbone", "head", "state"}


@pytest.mark.parametrize("name", ["densenet", "vit_b16", "convnext_tiny", "efficientnet_b0"])
def test_the_names_of_lists_come_back(name, make_record, tmp_path):
    options = {"depth": 2, "width": 48, "heads": 3} if name == "vit_b16" else {}
    shapes = jax.eval_shape(models.build(name, **options).init, jax.random.key(0))
    params, state = jax.tree.map(lambda x: np.zeros((1,) * x.ndim, np.float32), shapes)
    weights = Weights({"backbone": params, "head": {"logits": np.ones(1, np.float32)}}, state)
    (tmp_path / "m").write_bytes(model_file.dumps(make_record(), weights, NOTES))
    _, arrays, _ = model_file.read(tmp_path / "m")
    assert_same(arrays["params"], weights.params)
    assert_same(arrays["model_state"], weights.model_state)


def test_a_run_s_file_answers_as_the_run(tmp_path, write_checkpoint, draw_weights, tiny_model):
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE))
    run = ldl_jax.load(write_checkpoint(tmp_path / "run", weights, generation=2, step=7))
    run.save(tmp_path / "new" / "model", notes=NOTES)  # the content tells the kind, not the name
    loaded = ldl_jax.load(tmp_path / "new" / "model")
    assert_same(loaded(draw()), run(draw()))
    assert (loaded.about.generation, loaded.about.step) == (2, 7)
    assert loaded.notes == NOTES
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "new" / "model").read_bytes()
    about, arrays = one_file.read(tmp_path / "again")
    assert about == loaded.about
    assert_same(arrays["params"], run.trained.params)


def test_bfloat16_is_half_as_large_and_answers_in_float32(make, tmp_path):
    predictor = make(model={"name": "resnet10_tiny"}, preprocessing=Preprocessing(32, 32))
    for dtype in ("float32", "bfloat16"):
        predictor.save(tmp_path / dtype, dtype=dtype)
    sizes = [(tmp_path / dtype).stat().st_size for dtype in ("float32", "bfloat16")]
    assert sizes[1] < 0.51 * sizes[0]
    loaded = ldl_jax.load(tmp_path / "bfloat16")
    rounded = jax.tree.map(lambda x: jnp.float32(jnp.bfloat16(x)), predictor.trained)
    assert_same(loaded(draw()), Predictor(predictor.about, rounded)(draw()))
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded.trained)} == {np.dtype("float32")}
    assert np.abs(loaded(draw()).value - predictor(draw()).value).max() > 0
    with pytest.raises(ValueError, match="dtype: expected one of float32, bfloat16, got 'float16'"):
        predictor.save(tmp_path / "other", dtype="float16")
    assert not (tmp_path / "other").exists()


def test_the_metadata_say_what_the_file_is(make, tmp_path):
    make().save(tmp_path / "m", notes=NOTES)
    texts = weight_files.metadata(tmp_path / "m")
    assert (texts["format"], texts["version"]) == ("ldl_jax", "1")
    assert texts["card"] == NOTES.card
    assert json.loads(texts["notes"]) == {"licence": NOTES.licence, "data": [*NOTES.data]}
    assert json.loads(texts["record"])["space"]["values"] == [*AGE.values]
    assert texts["software"] == f"ldl_jax {ldl_jax.__version__}"


def test_names_that_would_not_come_back_are_refused(make_record):
    for name in ("a.b", "7", ""):
        weights = Weights({"backbone": {}, "head": {name: np.ones(2, np.float32)}}, {})
        with pytest.raises(ValueError, match="cannot be named in one file"):
            model_file.dumps(make_record(), weights, NOTES)


def test_a_method_of_one_s_own_is_imported_where_it_is_trusted(make, tmp_path, monkeypatch):
    (tmp_path / "my_ldl.py").write_text(
        "from ldl_jax import methods\ndef mine(space): return methods.get('dldl', space=space)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    predictor = make(method={"name": "my_ldl:mine"})
    path = tmp_path / "models" / "m.safetensors"
    predictor.save(path)
    del sys.modules["my_ldl"]
    with pytest.raises(ValueError, match=r"--trust=my_ldl"):
        ldl_jax.load(path)
    assert "my_ldl" not in sys.modules
    assert_same(ldl_jax.load(path, trust=("my_ldl",))(draw()), predictor(draw()))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_a_backbone_for_another_method(make, tmp_path, tiny_model, dtype):
    inputs = Preprocessing(32, 32, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), channels="bgr")
    predictor = make(preprocessing=inputs)
    predictor.save(tmp_path / "m", dtype=dtype)
    loaded = transfer.read_backbone(tmp_path / "m", tiny_model, jax.random.key(0))
    expected = jax.tree.map(
        lambda x: np.float32(x.astype(dtype)), predictor.trained.params["backbone"]
    )
    assert_same(loaded.params, expected)
    assert loaded.inputs == {"mean": inputs.mean, "std": inputs.std, "channels": "bgr"}
    method = methods.get("dldl", space=AGE)
    taken = transfer.read_backbone(tmp_path / "m", tiny_model, jax.random.key(0), head=method.head)
    assert taken.head is not None
    with pytest.raises(ValueError, match=r"holds tiny, model\.name is ssrnet"):
        transfer.read_backbone(tmp_path / "m", models.build("ssrnet"), jax.random.key(0))


BLOCKED = ("orbax", "tensorstore", "grain", "tensorflow_datasets", "optax", "matplotlib")
CHILD = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}: it is blocked", name=name)
sys.meta_path.insert(0, Blocked())
import numpy as np
import ldl_jax
predictor = ldl_jax.load(sys.argv[1])
answer = predictor(np.load(sys.argv[2]))
np.savez(sys.argv[3], value=answer.value, interval=predictor.interval(answer.probs))
assert not {blocked} & {{name.partition(".")[0] for name in sys.modules}}
try:
    import optax
except ModuleNotFoundError:
    sys.exit(0)
"""


def test_neither_orbax_nor_optax_nor_grain_is_needed(make, tmp_path):
    """The answers are another process's: those of the same program are the same bits above."""
    predictor = make(
        model={"name": "ssrnet"}, method={"name": "ssr"}, preprocessing=Preprocessing(64, 64)
    )
    predictor.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "images.npy", draw())
    paths = [str(tmp_path / name) for name in ("m.safetensors", "images.npy", "out.npz")]
    command = [sys.executable, "-c", CHILD.format(blocked={*BLOCKED}), *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer, found = predictor(draw()), np.load(paths[2])
    np.testing.assert_allclose(found["value"], answer.value, rtol=1e-4)
    assert found["interval"].shape == (2, 3)
