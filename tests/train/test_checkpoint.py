"""Checkpoints: bitwise what was saved, and what is damaged is said and passed over."""

import dataclasses
import gc
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ldl_jax import methods
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import LabelSpace
from ldl_jax.placement import make_placement
from ldl_jax.train.checkpoint import Checkpoints, check_seal, read_step, read_weights
from ldl_jax.train.record import Record
from ldl_jax.train.state import TrainState, Weights, init_state

ABOUT = Record(
    model={"name": "tiny"},
    method={"name": "cen", "lam": 4.0},
    space=LabelSpace((0.0, 0.5)),
    preprocessing=Preprocessing(32, 32),
    alignment=Alignment(),
    flip=False,
)


@pytest.fixture(scope="module")
def make_state(tiny_model, draw_weights):
    """A whole state on the devices, another one for each step."""
    method = methods.get("cen", space=LabelSpace.range(0, 9))
    optimizer = optax.chain(optax.add_decayed_weights(1e-4), optax.adam(1e-3))

    def make(step):
        weights = draw_weights(tiny_model, method, seed=step)
        state = init_state(weights, optimizer, 2, jax.random.key(step))
        values = jax.tree.map(
            lambda x: x + jnp.asarray(step, x.dtype), (state.opt_state, state.step)
        )
        return make_placement().place(state._replace(opt_state=values[0], step=values[1]))

    return make


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "generation_1"


@pytest.fixture
def saved(folder, make_state):
    """A folder with checkpoints of the steps 10 and 20."""
    checkpoints = Checkpoints(folder)
    for step in (10, 20):
        checkpoints.save(step, make_state(step), dataclasses.replace(ABOUT, step=step))
    checkpoints.close()
    return folder


def restore(folder, like, said=None):
    checkpoints = Checkpoints(folder)
    said = [] if said is None else said
    try:
        return checkpoints.restore(like, said.append)
    finally:
        checkpoints.close()


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)  # NamedTuples are still what they were
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def files_of(path):
    return sorted((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def test_round_trip(saved, make_state):
    state = make_state(20)
    said = []
    restored = restore(saved, make_state(0), said)
    assert_same(restored, state)
    assert isinstance(restored, TrainState)
    assert isinstance(restored.weights, Weights)
    assert restored.key.dtype == jnp.uint32
    assert (int(restored.step), int(restored.generation)) == (20, 2)
    assert said == []
    for leaf in jax.tree.leaves(restored):
        assert leaf.sharding.is_fully_replicated
        assert len(leaf.devices()) == len(jax.devices())


def test_a_checkpoint_of_before_the_watch_and_the_average(folder, make_state):
    state = make_state(20)._replace(watch=None, ema=None)
    kept = {name: x for name, x in state._asdict().items() if x is not None}
    checkpoints = Checkpoints(folder)
    checkpoints.save(20, kept, ABOUT)
    checkpoints.close()
    assert_same(restore(folder, make_state(0)), state)


def test_every_value_of_a_float_comes_back(folder):
    bits = np.asarray([0x7FC00001, 0xFF800000, 0x80000000, 0x00000001, 0x3F800001], np.uint32)
    state = {
        "float32": jnp.asarray(bits.view(np.float32)),
        "bfloat16": jnp.asarray([1.5, -0.0, 3e38], jnp.bfloat16),
        "scalar": jnp.asarray(-7, jnp.int32),
    }
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, state, ABOUT)
    restored = checkpoints.restore(jax.tree.map(jnp.zeros_like, state), print)
    checkpoints.close()
    assert_same(restored, state)


def test_nothing_saved_yet(folder, make_state):
    said = []
    assert restore(folder, make_state(0), said) is None
    assert said == []
    with pytest.raises(ValueError, match=r"generation_1 holds no checkpoint that can be read"):
        read_weights(folder)


def test_keeps_the_last_two_and_their_seals(saved, make_state):
    checkpoints = Checkpoints(saved)
    checkpoints.save(30, make_state(30), ABOUT)
    checkpoints.wait()
    assert checkpoints.steps() == [30, 20]
    checkpoints.close()
    names = sorted(p.name for p in saved.iterdir())
    assert names == ["20", "20.sha256", "30", "30.sha256"]
    for step in ("20", "30"):
        assert check_seal(saved / step)


def test_what_is_saved_may_change_at_once(folder, make_state):
    """The next step gives its buffers up while the save is still being written."""
    step = jax.jit(
        lambda s: jax.tree.map(lambda x: x + jnp.asarray(1, x.dtype), s), donate_argnums=0
    )
    state = make_state(3)
    expected = jax.tree.map(np.array, state)
    checkpoints = Checkpoints(folder)
    checkpoints.save(3, state, ABOUT)
    for _ in range(3):
        state = step(state)
    restored = checkpoints.restore(make_state(0), print)
    checkpoints.close()
    assert_same(jax.tree.map(np.asarray, restored), expected)


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "a flipped byte": lambda step: flip_a_byte(files_of(step)[-1]),
    "a flipped byte of what describes it": lambda step: flip_a_byte(step / "about" / "metadata"),
    "a truncated file": lambda step: truncate(files_of(step)[-1]),
    "a file too few": lambda step: files_of(step)[-1].unlink(),
    "an emptied folder": lambda step: [
        shutil.rmtree(p) if p.is_dir() else p.unlink() for p in step.iterdir()
    ],
    "no weights": lambda step: shutil.rmtree(step / "state"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_falls_back(saved, make_state, damage):
    damage(saved / "20")
    with pytest.warns(UserWarning, match=r"generation_1/20 is damaged, falling back"):
        about, weights = read_weights(saved)
    assert about.step == 10
    np.testing.assert_array_equal(
        weights["params"]["head"]["score"]["kernel"],
        make_state(10).weights.params["head"]["score"]["kernel"],
    )
    said = []
    assert_same(restore(saved, make_state(0), said), make_state(10))
    assert len(said) == 1
    assert f"{saved / '20'} is damaged" in said[0]
    assert "\n" not in said[0]
    assert not (saved / "20").exists()
    # And the run goes on from there, over the same step.
    checkpoints = Checkpoints(saved)
    checkpoints.save(20, make_state(21), ABOUT)
    checkpoints.close()
    assert_same(restore(saved, make_state(0)), make_state(21))


def test_all_are_damaged(saved, make_state):
    for step in ("10", "20"):
        truncate(files_of(saved / step)[-1])
    with pytest.raises(ValueError, match=r"generation_1 holds no checkpoint that can be read"):
        read_weights(saved)
    said = []
    assert restore(saved, make_state(0), said) is None
    assert [f"/{step} is damaged" in text for step, text in zip((20, 10), said, strict=True)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax's tasks
def test_another_networks_checkpoint_is_neither_taken_nor_removed(saved, make_state):
    other = make_state(0)
    other = other._replace(weights=jax.tree.map(lambda x: jnp.zeros((2, *x.shape)), other.weights))
    with pytest.raises(ValueError, match=r"generation_1/20 cannot be restored: ") as caught:
        restore(saved, other)
    assert "\n" not in str(caught.value)
    del caught
    gc.collect()  # Orbax's tasks warn when they go, which is to happen in this test
    assert_same(restore(saved, make_state(0)), make_state(20))


def test_a_save_that_was_killed_leaves_the_one_before(saved, make_state):
    for name in ("30.orbax-checkpoint-tmp", "30.orbax-checkpoint-tmp-1700000000"):
        shutil.copytree(saved / "20", saved / name)
        shutil.rmtree(saved / name / "about")
    (saved / "30.sha256.partial-1").write_text("abc")
    (saved / "5.sha256").write_text("of a checkpoint that was dropped")
    said = []
    assert_same(restore(saved, make_state(0), said), make_state(20))
    assert said == []
    assert read_weights(saved)[0].step == 20
    checkpoints = Checkpoints(saved)
    checkpoints.save(30, make_state(30), dataclasses.replace(ABOUT, step=30))
    checkpoints.close()
    assert read_weights(saved)[0].step == 30
    assert sorted(path.name for path in saved.glob("*sha256*")) == ["20.sha256", "30.sha256"]


def test_a_checkpoint_that_was_killed_before_its_seal_is_taken(saved, make_state):
    assert check_seal(saved / "20")
    (saved / "20.sha256").unlink()
    assert not check_seal(saved / "20")
    said = []
    assert_same(restore(saved, make_state(0), said), make_state(20))
    assert said == [f"checkpoint {saved / '20'} has no seal: it is taken as it is"]


def test_closing_waits_for_the_save_and_its_seal(folder, make_state):
    checkpoints = Checkpoints(folder)
    checkpoints.save(4, make_state(4), ABOUT)
    start = time.monotonic()
    checkpoints.close()
    assert time.monotonic() - start < 30
    assert (folder / "4.sha256").exists()
    assert check_seal(folder / "4")


def test_read_weights_gives_numpy_and_what_describes_them(saved, make_state):
    about, weights = read_weights(saved)
    assert about == dataclasses.replace(ABOUT, step=20)
    expected = make_state(20).weights
    for name in ("params", "model_state"):
        ours = jax.tree.map(np.asarray, getattr(expected, name))
        assert jax.tree.structure(weights[name]) == jax.tree.structure(ours)
        for x, y in zip(jax.tree.leaves(weights[name]), jax.tree.leaves(ours), strict=True):
            assert type(x) is np.ndarray
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)
    assert read_step(saved / "10")[0].step == 10
