"""Heads against float64 NumPy, whatever the network computes in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax.heads import comparisons, dense, shared_ordinal, stagewise

B, D, K = 5, 64, 7


@pytest.fixture(scope="module")
def head():
    return dense(logits=K, score=None)


@pytest.fixture(scope="module")
def params(head):
    return head.init(jax.random.key(0), D)


def test_shapes_and_dtypes(head, params):
    outputs = head.apply(params, jnp.zeros((B, D)))
    assert {name: x.shape for name, x in outputs.items()} == {"logits": (B, K), "score": (B,)}
    for leaf in jax.tree.leaves((params, outputs)):
        assert leaf.dtype == jnp.float32


def test_against_numpy(head, params):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(B, D)).astype(np.float32)
    shifted = jax.tree.map(lambda x: x + jnp.asarray(rng.normal(size=x.shape), x.dtype), params)
    kernel, bias = (np.asarray(shifted["logits"][n], np.float64) for n in ("kernel", "bias"))
    outputs = head.apply(shifted, features)
    np.testing.assert_allclose(outputs["logits"], features @ kernel + bias, rtol=1e-5, atol=1e-5)
    kernel, bias = (np.asarray(shifted["score"][n], np.float64) for n in ("kernel", "bias"))
    expected = (features @ kernel + bias)[:, 0]
    np.testing.assert_allclose(outputs["score"], expected, rtol=1e-5, atol=1e-5)


def test_initial_weights():
    """W ~ N(0, 1/D), b = 0; each output has its own draw."""
    params = dense(a=500, b=500).init(jax.random.key(1), D)
    for layer in params.values():
        assert not layer["bias"].any()
        np.testing.assert_allclose(layer["kernel"].std(), D**-0.5, rtol=0.02)
        np.testing.assert_allclose(layer["kernel"].mean(), 0, atol=0.003)
    assert (
        abs(np.corrcoef(params["a"]["kernel"].ravel(), params["b"]["kernel"].ravel()))[0, 1] < 0.03
    )


def test_the_key_is_all_that_init_depends_on(head, params):
    jax.tree.map(np.testing.assert_array_equal, head.init(jax.random.key(0), D), params)
    other = head.init(jax.random.key(2), D)
    assert (other["logits"]["kernel"] != params["logits"]["kernel"]).all()


def test_bfloat16_features(head, params):
    features = jax.random.normal(jax.random.key(3), (B, D), jnp.bfloat16)
    outputs = head.apply(params, features)
    expected = head.apply(params, features.astype(jnp.float32))
    jax.tree.map(np.testing.assert_array_equal, outputs, expected)


def test_jit_and_vmap(head, params):
    features = jax.random.normal(jax.random.key(4), (B, D))
    eager = head.apply(params, features)
    jitted = jax.jit(head.apply)(params, features)
    one_by_one = jax.vmap(lambda x: head.apply(params, x[None]))(features)
    for name, x in eager.items():
        np.testing.assert_allclose(jitted[name], x, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(one_by_one[name][:, 0], x, rtol=1e-5, atol=1e-6)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_shared_ordinal_differs_in_the_biases_alone():
    head = shared_ordinal(K)
    params = head.init(jax.random.key(0), D)
    features = np.random.default_rng(0).normal(size=(B, D)).astype(np.float32)
    logits = np.asarray(head.apply(params, features)["rank_logits"], np.float64)
    assert logits.shape == (B, K - 1)
    kernel = np.asarray(params["rank_logits"]["kernel"], np.float64)
    assert kernel.shape == (D, 1)
    expected = features @ kernel + np.arange(K - 1, 0, -1) / (K - 1)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    assert (np.diff(logits) < 0).all(), "at first the ranks are consistent"


def test_comparisons_stack_a_posterior_on_the_hyperplanes():
    head = comparisons(K)
    params = head.init(jax.random.key(0), D)
    features = np.random.default_rng(0).normal(size=(B, D)).astype(np.float32)
    outputs = head.apply(params, features)
    first, second = (np.asarray(params[n]["kernel"], np.float64) for n in ("rank_logits", "logits"))
    assert (first.shape, second.shape) == ((D, K - 1), (K - 1, K))
    np.testing.assert_allclose(outputs["rank_logits"], features @ first, rtol=1e-5, atol=1e-5)
    expected = sigmoid(features @ first) @ second
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-5, atol=1e-5)


def test_parts_are_read_side_by_side_by_name():
    head = dense(logits=K)
    params = head.init(jax.random.key(0), {"b": 3, "a": 2})
    assert params["logits"]["kernel"].shape == (5, K)
    a, b = (jax.random.normal(jax.random.key(n), (B, n)) for n in (2, 3))
    joined = head.apply(params, jnp.concatenate([a, b], axis=1))
    parts = head.apply(params, {"b": b, "a": a})
    np.testing.assert_array_equal(parts["logits"], joined["logits"])


@pytest.fixture
def staged():
    """Features as SSR-Net gives them, for stages of 3 and 2 bins."""
    widths = {"stage1": 6, "stage2": 4, "range1": 20, "range2": 9}
    keys = jax.random.split(jax.random.key(5), 4)
    features = {
        n: jax.random.normal(k, (B, w)) for k, (n, w) in zip(keys, widths.items(), strict=True)
    }
    return widths, features


def test_stagewise_reads_each_stage_s_own_part(staged):
    widths, features = staged
    head = stagewise((3, 2))
    params = head.init(jax.random.key(0), widths)
    outputs = head.apply(params, features)
    shapes = {name: x.shape for name, x in outputs.items()}
    assert shapes == {
        "probs1": (B, 3),
        "offsets1": (B, 3),
        "range1": (B,),
        "probs2": (B, 2),
        "offsets2": (B, 2),
        "range2": (B,),
    }
    for name, part in {"probs2": "stage2", "offsets1": "stage1", "range2": "range2"}.items():
        expected = features[part] @ params[name]["kernel"]
        np.testing.assert_allclose(outputs[name], expected.reshape(outputs[name].shape), rtol=1e-5)


def test_stagewise_trains_on_accelerators_by_one_product_of_all_stages(staged, monkeypatch):
    widths, features = staged
    head = stagewise((3, 2))
    params = jax.tree.map(lambda x: x + 0.5, head.init(jax.random.key(0), widths))

    def total(params, features):
        outputs = head.train(params, features, jax.random.key(1))
        return sum(jnp.sum(jnp.sin(x)) for x in outputs.values()), outputs

    grad = jax.grad(total, argnums=(0, 1), has_aux=True)
    apart = grad(params, features)
    apart_products = str(jax.make_jaxpr(grad)(params, features)).count("dot_general")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    again = jax.grad(lambda *x: total(*x), argnums=(0, 1), has_aux=True)  # traced anew
    together = again(params, features)
    products = str(jax.make_jaxpr(again)(params, features)).count("dot_general")
    assert products < apart_products
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-5), apart, together)


def test_stagewise_reads_all_features_where_there_are_no_stages():
    head = stagewise((3, 2))
    params = head.init(jax.random.key(0), D)
    assert {name: layer["kernel"].shape for name, layer in params.items()} == {
        "probs1": (D, 3),
        "offsets1": (D, 3),
        "range1": (D, 1),
        "probs2": (D, 2),
        "offsets2": (D, 2),
        "range2": (D, 1),
    }
    assert head.apply(params, jnp.ones((B, D)))["range2"].shape == (B,)


def test_stagewise_for_another_number_of_stages(staged):
    with pytest.raises(ValueError, match=r"method.stages: the network has 2 stages, got \(3,\)"):
        stagewise((3,)).init(jax.random.key(0), staged[0])
