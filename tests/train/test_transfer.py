"""A backbone from elsewhere: what is taken, what may move, and by how much."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy

from ldl_jax import methods, models
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import ADIENCE, LabelSpace
from ldl_jax.models import pretrained
from ldl_jax.models.functional import Model
from ldl_jax.train import transfer
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.optimizers import OptimizerConfig, optimizer
from ldl_jax.train.state import Weights, init_state
from ldl_jax.train.step import make_train_step

SPACE = LabelSpace.range(0, 9)
DEX = methods.get("dex", space=SPACE)
KEY = jax.random.key(0)
pytestmark = pytest.mark.usefixtures("optax_promotes")


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


# Which blocks a network has.


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("resnet10_tiny", 5, ["stem", "stem_norm"], ["conv5_1"]),
        ("resnet18", 9, ["stem", "stem_norm"], ["conv5_2"]),
        ("ssrnet", 23, ["x_conv1", "x_norm1"], ["mix3"]),
        ("orcnn", 4, ["conv1"], ["dense"]),
        ("thinagenet", 13, ["conv1_1", "norm1_1"], ["conv5_3", "norm5_3"]),
        ("vgg16", 15, ["conv1_1"], ["fc7"]),
        ("vit_b16", 13, ["patches", "cls_token", "positions"], ["block12", "last_norm"]),
    ],
)
def test_blocks_are_in_the_networks_order(name, count, first, last):
    model = models.build(name)
    blocks = transfer.blocks(model)
    assert len(blocks) == count
    assert (blocks[0], blocks[-1]) == (first, last)
    params, _ = jax.eval_shape(model.init, KEY)
    assert sorted(name for block in blocks for name in block) == sorted(params)


def test_the_factors_fall_from_the_head_backwards():
    factors = transfer.learning_rate_factors(models.build("resnet10_tiny"), 0.5, 0.1)
    np.testing.assert_allclose(factors["conv5_1"], 0.05)
    np.testing.assert_allclose(factors["conv2_1"], 0.5 * 0.1**4)
    np.testing.assert_allclose(factors["stem"], 0.5 * 0.1**5)
    assert factors["stem_norm"] == factors["stem"]


# How far they move.


def chain_model():
    """Two dense layers on the colour means, whose names are not in alphabetical order."""

    def init(key):
        one, two = jax.random.split(key)
        return {
            "z": {"kernel": jax.random.normal(one, (3, 4), jnp.float32)},
            "a": {"kernel": jax.random.normal(two, (4, 4), jnp.float32)},
        }, {"mean": jnp.zeros((3,), jnp.float32)}

    def apply(params, model_state, images, *, train, key=None):
        x = images.mean(axis=(1, 2))
        if train:
            model_state = {"mean": 0.5 * model_state["mean"] + 0.5 * x.mean(axis=0)}
        x = x - model_state["mean"][None, :]
        return jnp.tanh(x @ params["z"]["kernel"]) @ params["a"]["kernel"], model_state

    return Model("chain", init, apply, 4)


def batch():
    rng = np.random.default_rng(0)
    return {
        "images": jnp.asarray(rng.normal(size=(6, 8, 8, 3)), jnp.float32),
        "labels": jnp.asarray(rng.integers(0, 10, 6), jnp.float32),
        "sigma": jnp.full((6,), jnp.nan, jnp.float32),
    }


def weights_of(model, seed=0):
    backbone, model_state = model.init(jax.random.key(seed))
    return Weights(
        {"backbone": backbone, "head": DEX.head.init(jax.random.key(seed + 1), model.width)},
        model_state,
    )


def trained(model, made, weights, steps=3, **options):
    step = jax.jit(make_train_step(model, DEX, made, **options))
    state = init_state(weights, made, 1, KEY)
    for _ in range(steps):
        state, scalars = step(state, batch(), KEY)
    return state, scalars


def rate(step):
    return jnp.asarray(0.1, jnp.float32)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_layers_step_is_its_factor_times_the_plain_one(name):
    model = chain_model()
    plain = optimizer(OptimizerConfig(name, weight_decay=0.1), rate)
    factors = transfer.learning_rate_factors(model, 0.5, 0.2)
    assert factors == pytest.approx({"a": 0.1, "z": 0.02})
    weights = weights_of(model)
    ordinary, _ = trained(model, plain, weights, steps=1)
    scaled, _ = trained(model, transfer.scaled(plain, factors), weights, steps=1)
    assert_equal(ordinary.weights.params["head"], scaled.weights.params["head"])
    for layer, factor in factors.items():
        before, after, slow = (
            w.params["backbone"][layer]["kernel"]
            for w in (weights, ordinary.weights, scaled.weights)
        )
        np.testing.assert_allclose(slow - before, factor * (after - before), rtol=2e-3, atol=1e-7)
    # The optimizer's own state is as it was, so that a checkpoint fits either.
    assert_equal(jax.tree.structure(ordinary.opt_state), jax.tree.structure(scaled.opt_state))


def test_scaling_by_one_changes_no_bit():
    model = chain_model()
    plain = optimizer(OptimizerConfig("sgd"), rate)
    ones = transfer.scaled(plain, dict.fromkeys("za", 1.0))
    first, second = (trained(model, made, weights_of(model))[0] for made in (plain, ones))
    assert_equal(first.weights, second.weights)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_frozen_backbone_stays_to_the_bit(name):
    model = chain_model()
    plain = optimizer(OptimizerConfig(name, weight_decay=0.1), rate)
    weights = weights_of(model)
    state, scalars = trained(model, transfer.head_only(plain), weights, frozen=True)
    assert_equal(state.weights.params["backbone"], weights.params["backbone"])
    assert_equal(state.weights.model_state, weights.model_state)
    changed = jax.tree.map(
        lambda a, b: bool((a != b).any()), state.weights.params["head"], weights.params["head"]
    )
    assert all(jax.tree.leaves(changed))
    shapes = {leaf.shape for leaf in jax.tree.leaves(state.opt_state)}
    assert (3, 4) not in shapes  # nothing is kept for the backbone
    # The head learns as it does on fixed features.
    features, _ = model.apply(
        weights.params["backbone"], weights.model_state, batch()["images"], train=False
    )
    head = weights.params["head"]

    def loss(head):
        return DEX.loss(DEX.head.apply(head, features), batch()).mean()

    opt_state = plain.init({"head": head})
    for _ in range(3):
        gradient = {"head": jax.grad(loss)(head)}
        norm = optax.global_norm(gradient)
        updates, opt_state = plain.update(gradient, opt_state, {"head": head})
        head = optax.apply_updates(head, updates["head"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        state.weights.params["head"],
        head,
    )
    np.testing.assert_allclose(scalars["gradient_norm"], norm, rtol=1e-4)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_frozen_blocks_stay_to_the_bit_and_cost_no_gradient(name):
    model = chain_model()
    factors = transfer.learning_rate_factors(model, 0.5, 0.2, frozen_blocks=1)
    assert factors == pytest.approx({"a": 0.1, "z": 0.0})
    made = transfer.scaled(optimizer(OptimizerConfig(name, weight_decay=0.1), rate), factors)
    weights = weights_of(model)
    state, scalars = trained(model, made, weights, still=["z"])
    moved, norms = trained(model, made, weights)
    before, after = weights.params["backbone"], state.weights.params["backbone"]
    assert_equal(after["z"], before["z"])
    assert_equal(moved.weights.params, state.weights.params)  # the rest learns as it did
    assert (after["a"]["kernel"] != before["a"]["kernel"]).any()
    assert scalars["gradient_norm"] < norms["gradient_norm"]
    assert scalars["dead_units"] == 0

    def products(still):
        step = make_train_step(model, DEX, made, still=still)
        text = str(jax.make_jaxpr(step)(init_state(weights, made, 1, KEY), batch(), KEY))
        return text.count("dot_general")

    assert products(["z"]) == products([]) - 2  # to its kernel, and to what it reads of the other


@pytest.mark.parametrize("frozen", [False, True])
def test_a_checkpoint_of_it_goes_on_to_the_same_bits(tmp_path, frozen, make_record):
    model = chain_model()
    plain = optimizer(OptimizerConfig("adam"), rate)
    factors = transfer.learning_rate_factors(model, 0.5, 0.2)
    made = transfer.head_only(plain) if frozen else transfer.scaled(plain, factors)
    step = jax.jit(make_train_step(model, DEX, made, frozen=frozen))
    state = init_state(weights_of(model), made, 1, KEY)
    state, _ = step(state, batch(), KEY)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state, make_record())
    checkpoints.wait()
    restored = checkpoints.restore(state, print)
    checkpoints.close()
    assert_equal(step(state, batch(), KEY)[0], step(restored, batch(), KEY)[0])


# What is taken.


@pytest.fixture
def stored(tmp_path, write_checkpoint):
    """A checkpoint of the chain network by another method on another label space."""
    coral = methods.get("coral", space=ADIENCE)
    backbone, model_state = chain_model().init(jax.random.key(5))
    head = coral.head.init(KEY, 4)
    preprocessing = Preprocessing(32, 32, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), channels="bgr")
    return write_checkpoint(
        tmp_path / "stored",
        Weights({"backbone": backbone, "head": head}, model_state),
        model={"name": "chain"},
        method={"name": "coral"},
        space=ADIENCE,
        preprocessing=preprocessing,
    )


def test_a_checkpoint_of_any_method_and_label_space(stored):
    for path in (stored, stored / "1"):
        backbone = transfer.read_backbone(path, chain_model(), KEY)
        assert_equal((backbone.params, backbone.model_state), chain_model().init(jax.random.key(5)))
        assert backbone.notes == ()
        assert backbone.inputs == {
            "mean": (1.0, 2.0, 3.0),
            "std": (4.0, 5.0, 6.0),
            "channels": "bgr",
        }


def test_another_network_or_nothing(stored, tmp_path):
    other = dataclasses.replace(chain_model(), name="other")
    with pytest.raises(ValueError, match=r"holds chain, model\.name is other"):
        transfer.read_backbone(stored, other, KEY)
    with pytest.raises(ValueError, match="neither the workdir of a run"):
        transfer.read_backbone(tmp_path / "nowhere", other, KEY)


def test_arrays_that_do_not_fit(stored):
    def wider(key):
        params, model_state = chain_model().init(key)
        params["a"] = {"kernel": jnp.full((4, 7), 0.5, jnp.float32), "bias": jnp.ones((7,))}
        return params, model_state

    model = dataclasses.replace(chain_model(), init=wider)
    says = (
        r"does not fit chain: .*\['a'\]\['kernel'\] is \[4, 4\], expected \[4, 7\]; missing .*bias"
    )
    with pytest.raises(ValueError, match=says):
        transfer.read_backbone(stored, model, KEY)
    backbone = transfer.read_backbone(stored, model, KEY, strict=False)
    assert len(backbone.notes) == 2
    taken, fresh = chain_model().init(jax.random.key(5))[0], wider(KEY)[0]
    assert_equal(backbone.params["z"], taken["z"])
    assert_equal(backbone.params["a"], fresh["a"])


def test_a_foreign_file(tmp_path):
    model = models.build("resnet18")
    shapes = {
        tuple(entry.key for entry in path): x.shape
        for tree in jax.eval_shape(model.init, KEY)
        for path, x in jax.tree.leaves_with_path(tree)
    }
    rng = np.random.default_rng(0)
    arrays = {
        source.name: rng.normal(size=source.conversion.shape(shapes[route])).astype(np.float32)
        for route, source in pretrained.LAYOUTS["resnet18"][0].backbone(shapes).items()
    }
    arrays |= {"fc.weight": np.zeros((1000, 512), "f4"), "fc.bias": np.zeros(1000, "f4")}
    safetensors.numpy.save_file(arrays, tmp_path / "r18.safetensors")
    backbone = transfer.read_backbone(tmp_path / "r18.safetensors", model, KEY)
    stem = arrays["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(backbone.params["stem"]["kernel"], stem)
    assert backbone.inputs["channels"] == "rgb"
    assert backbone.inputs["mean"] == pytest.approx((123.675, 116.28, 103.53))
    del arrays["bn1.weight"]
    safetensors.numpy.save_file(arrays, tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match=r"missing bn1\.weight"):
        transfer.read_backbone(tmp_path / "broken.safetensors", model, KEY)
