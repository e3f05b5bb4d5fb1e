"""Settings that SSR-Net's runs share: Yang et al., IJCAI 2018, Sec. 4, and the authors' code."""

import ml_collections

from configs.recipes import pretraining
from ldl_jax.run.config import defaults


def training(batch: int) -> ml_collections.ConfigDict:
    """SSR-Net (3, 3, 3): 90 epochs of Adam at 2e-3, a tenth of it every 30, on raw BGR of 64x64."""
    config = defaults()
    config.data.size = 64
    config.data.space = "age"
    config.data.channels = "bgr"
    config.data.mean, config.data.std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    config.augment = pretraining.recipe("ssr_net")
    config.model.name = "ssrnet"
    config.method.name = "ssr"
    config.batch_size = batch
    config.epochs = 90
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.every = 30.0
    config.optimizer.weight_decay = 0.0
    config.evaluation.flip = False
    config.chain.generations = 1
    return config


def after_imdb_and_wiki(data: str) -> ml_collections.ConfigDict:
    """The run on the target set after two stages: IMDB, then WIKI, each split 80-20.

    Every run starts from the whole model of the one before, its head included.
    """
    imdb, wiki, target = training(128), training(128), training(50)
    target.data.name = data
    for stage, name in ((imdb, "imdb"), (wiki, "wiki")):
        stage.data.name = "imdb_wiki"
        stage.data.options.only = name
        stage.data.protocol = "random"
        stage.data.unreadable = "skip"
    wiki.init.path, wiki.init.head = "stage:imdb", True
    target.init.path, target.init.head = "stage:wiki", True
    target.stages.imdb, target.stages.wiki = imdb, wiki
    return target
