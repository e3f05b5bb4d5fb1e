"""The papers' pre-trainings, each a stage of a run that starts from it."""

import ml_collections

from ldl_jax.data.augment.recipes import RECIPES
from ldl_jax.run.config import defaults, to_dict

# DLDL-v2's channels on the scale 0-255 (the authors' code).
MEAN = (0.5958 * 255, 0.4637 * 255, 0.4065 * 255)
STD = (0.2693 * 255, 0.2409 * 255, 0.2352 * 255)


def recipe(name: str) -> ml_collections.ConfigDict:
    """Returns a paper's augmentation, for `config.augment`."""
    return ml_collections.ConfigDict(to_dict(RECIPES[name]))


def identities() -> ml_collections.ConfigDict:
    """DLDL-v2's pre-training: a softmax over the people of MS-Celeb-1M (5M pictures, 54K people).

    The paper gives the loss and the data, not the schedule. This library's choices are 12 epochs of
    Adam with a rate that drops by 10 every 4, at least 10 pictures of a person, and 1 % of the
    pictures held out for a test.
    """
    config = defaults()
    config.data.name = "ms_celeb"
    config.data.space = "train"
    config.data.protocol = "random"
    config.data.test_fraction = 0.01
    config.data.audit = False  # people are in both parts on purpose
    config.data.mean, config.data.std = MEAN, STD
    config.augment = recipe("dldl_v2")
    config.model.name = "thinagenet"
    config.method.name = "dex"  # cross-entropy of a softmax, over people here
    config.method.decode = "mode"
    config.evaluation.distributions = False
    config.epochs = 12
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.every = 4.0
    config.optimizer.weight_decay = 0.0
    config.chain.generations = 1
    return config


def ages_by_cen(model: str) -> ml_collections.ConfigDict:
    """CEN's pre-training: Eq. 14 on IMDB-WIKI at a learning rate of 1e-2, else the defaults."""
    config = defaults()
    config.data.name = "imdb_wiki"
    config.data.space = "train"
    config.data.protocol = "random"
    config.data.test_fraction = 0.01
    config.data.unreadable = "skip"
    config.model.name = model
    config.optimizer.learning_rate = 1e-2
    config.chain.generations = 1
    return config
