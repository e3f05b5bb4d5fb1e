"""The networks that `benchmarks.train_step` compares with in PyTorch are the library's."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; make test-peers does it")

from ldl_jax import methods, models  # noqa: E402
from ldl_jax.labels import AGE  # noqa: E402
from ldl_jax.train import optimizers  # noqa: E402

NAMES = (
    "resnet10",
    "resnet18",
    "resnet10_tiny",
    "resnet18_tiny",
    "thinagenet",
    "tinyagenet",
    "ssrnet",
)
# One of each family, the size of its pictures, and options that leave nothing to chance.
FAMILIES = {
    "resnet10_tiny": (33, {}),
    "tinyagenet": (35, {}),
    "ssrnet": (64, {"size": 64, "dropout": 0.0}),
}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The benchmarks are not installed: they are run from the repository."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def made(name, size):
    """A network's config in the benchmark, and its method."""
    from benchmarks import train_step_library

    config = train_step_library.config_of(name, size, "float32", 4)
    return config, methods.get(config.method.name, space=AGE, **config.method.hyper_parameters)


def test_every_network_in_pytorch_is_tested():
    from benchmarks import torch_networks

    assert tuple(torch_networks.NETWORKS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_are_as_many(name):
    from benchmarks import torch_runs

    config, method = made(name, 64)
    model = models.build(name)
    backbone, _ = jax.eval_shape(model.init, jax.random.key(0))
    head = jax.eval_shape(lambda key: method.head.init(key, model.width), jax.random.key(0))
    with torch.device("meta"):
        network = torch_runs.network_of(config)
    own = sum(leaf.size for leaf in jax.tree.leaves((backbone, head)))
    assert sum(parameter.numel() for parameter in network.parameters()) == own


@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_and_loss_are_the_same(draw_weights, name):
    """Both agree in inference and in training, and on the running statistics after training."""
    from benchmarks import torch_networks, torch_runs

    size, options = FAMILIES[name]
    config, method = made(name, size)
    model = models.build(name, **options)
    rng = np.random.default_rng(6)

    def shaken(leaf):  # or all scales and variances would be 1, all biases and means 0
        return leaf * jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), jnp.float32) + jnp.asarray(
            rng.uniform(0, 0.1, leaf.shape), jnp.float32
        )

    params, model_state = jax.tree.map(shaken, tuple(draw_weights(model, method)))
    images = rng.normal(size=(4, size, size, 3)).astype(np.float32)
    ages = rng.integers(AGE.low, AGE.high + 1, 4).astype(np.float32)
    network = torch_runs.network_of(config)
    torch_networks.copy_weights(network, params, model_state)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0

    def outputs_of(params, model_state, train):
        features, state = model.apply(
            params["backbone"], model_state, images, train=train, key=jax.random.key(0)
        )
        outputs = method.head.apply(params["head"], features)
        batch = {"labels": jnp.asarray(ages), "sigma": jnp.full(4, jnp.nan)}
        value = method.predict(outputs).value
        return outputs, value, method.loss(outputs, batch).mean(), state

    for train in (False, True):
        outputs, value, loss, state = jax.jit(outputs_of, static_argnums=2)(
            params, model_state, train
        )
        network.train(train)
        with torch.no_grad():
            theirs = network(torch.from_numpy(images).permute(0, 3, 1, 2))
            their_loss = network.loss(theirs, torch.from_numpy(ages))
        known = [outputs[key] for key in ("logits", "score") if key in outputs] or [value]
        for own, other in zip(
            known, theirs if isinstance(theirs, tuple) else (theirs,), strict=True
        ):
            np.testing.assert_allclose(own, other.numpy(), rtol=5e-4, atol=5e-4)
        np.testing.assert_allclose(loss, their_loss.item(), rtol=5e-4)
    after = torch_runs.network_of(config)
    torch_networks.copy_weights(after, params, state)
    means = {key: x for key, x in after.state_dict().items() if key.endswith("running_mean")}
    for key, mean in means.items():  # variances are of N - 1 in PyTorch
        theirs = network.state_dict()[key]
        np.testing.assert_allclose(mean, theirs, rtol=1e-3, atol=1e-4, err_msg=key)


@pytest.mark.usefixtures("optax_promotes")
@pytest.mark.parametrize("name", ["resnet10_tiny", "tinyagenet", "ssrnet"])
def test_the_optimizers_take_the_same_steps(name):
    from benchmarks import torch_runs

    config = made(name, 64)[0].optimizer
    own = optimizers.optimizer(config, optimizers.learning_rate(config, 1, 3))
    x = jnp.asarray([0.5, -2.0], jnp.float32)
    module = torch.nn.Module()
    module.x = torch.nn.Parameter(torch.tensor(np.array(x)))
    theirs, state = torch_runs.optimizer_of(config, module), own.init(x)
    for scale in (1.0, -3.0, 0.5):
        gradient = jnp.asarray([scale, 0.1], jnp.float32)
        updates, state = own.update(gradient, state, x)
        x = x + updates
        module.x.grad = torch.tensor(np.array(gradient))
        theirs.step()
    np.testing.assert_allclose(x, module.x.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_training_changes_the_weights_and_inference_does_not(draw_weights, monkeypatch, name):
    from benchmarks import torch_runs

    size, options = FAMILIES[name]
    config, method = made(name, size)
    network = torch_runs.network_of(config)
    monkeypatch.setattr(torch_runs, "network_of", lambda config: network)
    runs = torch_runs.runs(config, draw_weights(models.build(name, **options), method), "cpu")

    def moved(step):
        before = {key: x.clone() for key, x in network.state_dict().items()}
        runs[step](1)
        return {key for key, x in network.state_dict().items() if not torch.equal(x, before[key])}

    assert not moved("infer")
    statistics = {key for key, _ in network.named_buffers() if "values" not in key}
    assert statistics < moved("train")
    assert not moved("infer")


@pytest.mark.parametrize(("name", "other"), [("resnet10_tiny", "tinyagenet"), ("ssrnet", "ssrnet")])
def test_weights_that_do_not_fit_are_refused(draw_weights, name, other):
    from benchmarks import torch_runs

    config, method = made(name, 72)  # SSR-Net's dense layers are made for a size
    with pytest.raises(ValueError, match="the networks differ"):
        torch_runs.runs(config, draw_weights(models.build(other), method), "cpu")
