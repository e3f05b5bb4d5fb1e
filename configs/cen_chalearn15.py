"""CEN on ChaLearn 2015 (apparent age), ResNet10-Tiny, the paper's settings: four generations.

Li et al., A Coupled Evolutionary Network for Age Estimation, Table 3: MAE 3.052, ε-error 0.274,
after pre-training on IMDB-WIKI by Eq. 14, the stage "imdb_wiki".
Trained on the training set's 2,476 pictures, evaluated on the validation set's 1,136.

    python -m launch.main --config=configs/cen_chalearn15.py --config.data.root=DIR \\
        --config.stages.imdb_wiki.data.root=DIR --workdir=runs/cen_chalearn15
"""

import ml_collections

from configs.recipes import pretraining
from ldl_jax.run.config import defaults


def get_config() -> ml_collections.ConfigDict:
    """The run; optimizer, schedule, batch and crops are the defaults, which are the paper's."""
    config = defaults()
    config.stages.imdb_wiki = pretraining.ages_by_cen("resnet10_tiny")
    config.init.path = "stage:imdb_wiki"
    config.data.name = "chalearn15"
    config.data.space = "train"
    config.data.size = 224
    config.model.name = "resnet10_tiny"
    config.chain.generations = 4
    return config
