"""Settings that CEN's runs share: Li et al., A Coupled Evolutionary Network for Age Estimation."""

import ml_collections

from configs.recipes import pretraining
from ldl_jax.run.config import defaults


def fine_tuning(network: str, data: str) -> ml_collections.ConfigDict:
    """Four generations at 224x224 after the paper's pre-training, the stage "imdb_wiki".

    Optimizer, schedule, batch and crops are the defaults, which are the paper's.
    """
    config = defaults()
    config.data.name = data
    config.stages.imdb_wiki = pretraining.ages_by_cen(network)
    config.init.path = "stage:imdb_wiki"
    config.data.space = "train"
    config.data.size = 224
    config.model.name = network
    config.chain.generations = 4
    return config


def from_scratch(data: str) -> ml_collections.ConfigDict:
    """Three generations of ResNet10-Tiny at 64x64 without a pre-training, this library's choice."""
    config = defaults()
    config.data.name = data
    config.data.size = 64
    config.data.stored_size = 80
    config.model.name = "resnet10_tiny"
    config.batch_size = 64
    config.epochs = 24
    config.optimizer.learning_rate = 0.05
    config.optimizer.weight_decay = 5e-4
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.schedule = "cosine"
    config.chain.generations = 3
    return config
