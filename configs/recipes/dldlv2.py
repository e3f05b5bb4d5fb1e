"""Settings that DLDL-v2's runs share: Gao et al., IJCAI 2018, Sec. 4.3, and the authors' code."""

import ml_collections

from configs.recipes import pretraining
from ldl_jax.run.config import defaults


def fine_tuning(data: str) -> ml_collections.ConfigDict:
    """ThinAgeNet after its pre-training: 60 epochs of Adam, a rate that drops by 10 every 30."""
    config = defaults()
    config.data.name = data
    config.stages.ms_celeb = pretraining.identities()
    config.init.path = "stage:ms_celeb"
    config.data.space = "age"
    config.data.mean, config.data.std = pretraining.MEAN, pretraining.STD
    config.augment = pretraining.recipe("dldl_v2")
    config.model.name = "thinagenet"
    config.method.name = "dldl_v2"
    config.epochs = 60
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.every = 30.0
    config.optimizer.weight_decay = 0.0
    config.chain.generations = 1
    return config
