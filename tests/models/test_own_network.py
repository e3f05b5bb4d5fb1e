"""A network of a user's own: its options, its check, and the modules of Flax and Equinox."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import models
from ldl_jax.train import transfer

TEXT = (Path(__file__).parents[2] / "docs" / "own_network.md").read_text()
BLOCKS = [text for text in re.findall(r"```python\n(.*?)```", TEXT, re.S) if "def network" in text]
EQUINOX = pytest.mark.skipif(
    importlib.util.find_spec("equinox") is None, reason="equinox is not installed"
)
WORDS = ("nnx", "linen", pytest.param("equinox", marks=EQUINOX), "resize")
# A network that is right, and what each of the broken ones has in its place.
RIGHT = """
import random
import jax, jax.numpy as jnp, numpy as np
from ldl_jax import models
kept = []

def factory(size: int, width: int = 4, rates=(0.5, 0.25), kind="soft", blend: float = 0.5):
    \"\"\"Mean colours.\"\"\"
    WIDTH = width
    def init(key):
        return {"layer": {"kernel": jax.random.normal(key, (3, width), jnp.float32)}}, {
            "mean": jnp.zeros(3, jnp.float32)}
    def apply(params, model_state, images, *, train, key=None):
        mean = images.mean(axis=(1, 2))
        features = mean @ params["layer"]["kernel"]
        state = {"mean": mean.mean(axis=0)} if train else model_state
        return features, state
    return models.Model("right", init, apply, WIDTH)
"""
FAULTS = {
    "shape": (
        "return features, state",
        "return images, state",
        r"apply\(\.\.\., train=False\) of 3 pictures of 32x32: its features: expected \[3, 4\]; "
        r"pool it, .*got \[3, 32, 32, 3\]",
    ),
    "squeezed": (
        "return features, state",
        "return features.squeeze(), state",
        r"of 1 pictures of 32x32: its features: expected \[1, 4\], got \[4\]",
    ),
    "nothing": ("return features, state", "return features", r"\(features, model_state\), got"),
    "dtype": ("return features, state", "return features.astype(jnp.bfloat16), state", "bfloat16"),
    "nan": (
        "return features, state",
        "return features / 0.0 * 0.0, state",
        r"its features in evaluation: expected finite numbers, got nan",
    ),
    "key": (
        "mean = images.mean(axis=(1, 2))",
        "mean = images.mean(axis=(1, 2)) + jax.random.normal(key, (3,), jnp.float32)",
        r"apply\(\.\.\., train=False\) of 3 pictures of 32x32: expected a result, got TypeError",
    ),
    "outside": (
        "state = ",
        "kept.append(0); features = features + float(len(kept))\n        state = ",
        r"apply in evaluation: expected the same result for the same arguments.*model_state",
    ),
    "leak": (
        "state = ",
        "features = features + sum(kept[-1:]); kept.append(features.sum())\n        state = ",
        r"an array of an earlier call, which the network has kept outside",
    ),
    "random": (
        "state = ",
        "features = features + np.float32(random.random())\n        state = ",
        r"the same result for the same arguments: random numbers from `key` alone",
    ),
    "changes": (
        "state = ",
        "params['layer'] = dict(params['layer'], more=mean)\n        state = ",
        r"apply: expected params and model_state to stay as they are given",
    ),
    "batch": (
        "mean = images.mean(axis=(1, 2))",
        "mean = images.mean(axis=(1, 2)); mean = mean - mean.mean(axis=0)",
        r"apply in evaluation: expected a picture's features to be its own alone",
    ),
    "evaluation": (
        "if train else model_state",
        "",
        r"apply in evaluation: expected model_state as it was",
    ),
    "state": (
        "if train else model_state",
        "if not train else {}",
        r"train=True, key=key\) of 3 pictures of 32x32: expected a model_state of the arrays",
    ),
    "params": (
        '{"layer": {"kernel": jax.random',
        '[{"kernel": jax.random',
        r"(cannot import|init's params: expected nested dicts)",
    ),
    "integers": (
        "jnp.zeros(3, jnp.float32)",
        "jnp.zeros(3, jnp.int32)",
        r"init's model_state\['mean'\]: expected a float32 array, got int32",
    ),
    "names": ('"mean": jnp', '"a.b": jnp', r"init's model_state: expected names without dots"),
    "pair": ('return {"layer"', 'return {}, {}, {"layer"', r"init\(key\): expected \(params"),
    "width": ("WIDTH = width", "WIDTH = 0", "its width: expected the number of features"),
    "raises": (
        "mean = images.mean(axis=(1, 2))",
        "mean = images @ jnp.ones((7, 3), jnp.float32)",
        r"expected a result, got TypeError: dot_general requires",
    ),
    "side": (
        "mean = images.mean(axis=(1, 2))",
        "assert images.shape[1] == 224, 'wants 224'; mean = images.mean(axis=(1, 2))",
        r"of 3 pictures of 32x32: expected a result, got AssertionError: wants 224",
    ),
}


@pytest.fixture(autouse=True)
def _as_users_run_it():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def write(tmp_path, monkeypatch, request):
    """Gives `write(text)`, which makes a module of a new name, and returns the name."""
    monkeypatch.syspath_prepend(tmp_path)
    counter = iter(range(100))

    def module(text):
        plain = re.sub(r"\W", "_", request.node.name)
        name = f"own_{plain}_{next(counter)}"
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return name

    return module


def block(word):
    (text,) = (text for text in BLOCKS if word in text)
    return text


@pytest.mark.parametrize("word", WORDS)
def test_the_networks_of_the_page_keep_the_contract(write, word):
    name = write(block(word))
    options = {"size": 32} if word == "linen" else {}
    model = models.build(f"{name}:network", width=8, **options)
    models.check(model, 32)
    assert model.name == f"{name}:network"
    params, state = model.init(jax.random.key(0))
    other = model.init(jax.random.key(1))[0]
    assert not all(map(np.array_equal, jax.tree.leaves(params), jax.tree.leaves(other)))
    images = jax.random.normal(jax.random.key(2), (4, 32, 32, 3), jnp.float32)
    train = jax.jit(lambda key: model.apply(params, state, images, train=True, key=key))
    first, second = train(jax.random.key(3)), train(jax.random.key(4))
    if word == "resize":  # neither dropout nor batch normalisation
        np.testing.assert_array_equal(first[0], second[0])
        return
    assert not np.array_equal(first[0], second[0])
    assert not all(map(np.array_equal, jax.tree.leaves(state), jax.tree.leaves(first[1])))
    stacked = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))  # as a sweep's runs
    features, _ = jax.vmap(lambda w, s: model.apply(w, s, images, train=False))(*stacked)
    assert features.shape[:2] == (2, 4)
    if word != "equinox":
        with pytest.raises(ValueError, match="key: the network draws random numbers"):
            model.apply(params, state, images, train=True)
    assert transfer.blocks(model)[0][0] in ("first", "Conv_0", "conv")


def test_a_made_module_starts_with_its_weights():
    from flax import linen, nnx

    class Own(nnx.Module):
        def __init__(self, rngs):
            self.layers = nnx.List([nnx.Linear(3, 5, rngs=rngs) for _ in range(2)])
            self.count = nnx.Variable(jnp.zeros((), jnp.int32))

        def __call__(self, images, *, train, rngs):
            assert isinstance(train, bool)
            self.count[...] = self.count[...] + 1
            features = self.layers[1](images.mean(axis=(1, 2)))
            noise = jax.random.normal(rngs(), (5,), jnp.float32) if train else 0.0
            return {"a": features + noise, "b": features}

    module = Own(nnx.Rngs(7))
    model = models.from_nnx(module, size=32)
    models.check(model, 32)
    assert model.width == {"a": 5, "b": 5}
    params, state = model.init(jax.random.key(0))
    np.testing.assert_array_equal(params["layers"][1]["kernel"], module.layers[1].kernel[...])
    assert state["count"].dtype == jnp.float32
    images = jnp.ones((2, 32, 32, 3), jnp.float32)
    _, state = model.apply(params, state, images, train=True, key=jax.random.key(1))
    _, state = model.apply(params, state, images, train=True, key=jax.random.key(1))
    assert state["count"] == 2

    class Mapped(linen.Module):
        @linen.compact
        def __call__(self, images):
            return linen.Conv(4, (3, 3))(images)

    with pytest.raises(ValueError, match=r"Mapped returned a map \[B, 16, 16, 4\].*pool it"):
        models.from_linen(Mapped(), size=16)


@EQUINOX
def test_equinox_without_a_state_and_with_pictures_as_they_are():
    import equinox as eqx

    module = eqx.nn.MLP(16 * 16 * 3, 6, 8, 1, key=jax.random.key(0))

    class Flat(eqx.Module):
        mlp: eqx.nn.MLP

        def __call__(self, picture):
            assert picture.shape == (16, 16, 3)
            return self.mlp(picture.reshape(-1))

    model = models.from_equinox(Flat(module), size=16, channels_first=False)
    models.check(model, 16)
    assert (model.width, model.init(jax.random.key(0))[1]) == (6, {})


def test_the_right_network_has_its_options(write):
    name = f"{write(RIGHT)}:factory"
    defaults = {"width": 4, "rates": (0.5, 0.25), "kind": "soft", "blend": 0.5}
    known = models.known_options(name)
    assert {key: known[key] for key in defaults} == defaults
    model = models.build(name, size=32, width=6.0, rates=[1.0], blend=1)
    assert (model.name, model.size, model.width) == (name, 32, 6)
    models.check(model, 32)
    says = (
        rf"^model\.depth: '{name}' has no such option; model\.size: .* it must be given; "
        r"model\.width: expected one like 4, got 'wide'; "
        r"model\.kind: expected one like 'soft', got True; "
        r"it has: size, width, rates, kind, blend$"
    )
    with pytest.raises(ValueError, match=says):
        models.build(name, depth=3, width="wide", kind=True)
    with pytest.raises(ValueError, match=r"model\.rates: expected numbers, texts or lists of them"):
        models.build(name, size=32, rates=(print,))


@pytest.mark.parametrize("fault", FAULTS)
def test_what_breaks_the_contract_is_named(write, fault):
    before, after, says = FAULTS[fault]
    text = RIGHT.replace(before, after)
    if fault == "params":
        text = text.replace("jnp.float32)}}, {", "jnp.float32)}], {")
    assert text != RIGHT
    model = models.build(f"{write(text)}:factory", size=32)
    with pytest.raises(ValueError, match=says) as caught:
        models.check(model, 32)
    assert str(caught.value).startswith("model.name: 'own_")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("factory = 3", "is not callable"),
        ("", "has no attribute 'factory'"),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
        ("def factory(): return 3", "returned a int, expected a Model; ldl_jax.models.from_nnx, "),
        (
            "from flax import nnx\nclass factory(nnx.Module): pass",
            "returned a factory, expected a Model; ldl_jax.models.from_nnx makes one of it",
        ),
        (
            "from flax import linen\ndef factory(): return linen.Dense",
            "returned the class Dense, expected a Model; ldl_jax.models.from_linen makes one",
        ),
        ("def factory(): raise KeyError('a\\nb')", r"raised KeyError: 'a\\nb' \(called with {}"),
    ],
)
def test_what_is_no_factory_of_a_model_is_named(write, text, says):
    with pytest.raises(ValueError, match=says) as caught:
        models.build(f"{write(text)}:factory")
    assert "\n" not in str(caught.value)


def test_a_module_that_is_nowhere_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    says = rf"model\.name: cannot import .*looked for it in .*{tmp_path}"
    with pytest.raises(ValueError, match=says):
        models.build("nowhere_at_all:factory")
