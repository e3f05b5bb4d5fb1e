"""Settings that heads on the features of a frozen face network share."""

import ml_collections

from ldl_jax.run.config import defaults


def head_on_features(data: str, network: str) -> ml_collections.ConfigDict:
    """Returns a run of a hidden layer of 256 on features; the settings are this library's own."""
    config = defaults()
    config.data.name = data
    config.data.size = 224
    config.model.name = network
    config.model.hidden = (256,)
    config.model.hidden_dropout = 0.5
    config.model.standardise = True
    config.method.name = "dldl_v2"
    config.init.path = "faceres-deep.json"  # which configs give elsewhere, if need be
    config.init.freeze = True
    config.init.features = True
    config.batch_size = 256
    config.epochs = 30
    config.checkpoint_every = 10.0
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-2
    config.optimizer.schedule = "cosine"
    config.chain.generations = 1
    return config
