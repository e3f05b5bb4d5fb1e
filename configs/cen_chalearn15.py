"""CEN on ChaLearn 2015 (apparent age), ResNet10-Tiny, the paper's settings: four generations.

Li et al., A Coupled Evolutionary Network for Age Estimation, Table 3: MAE 3.052, ε-error 0.274,
after pre-training on IMDB-WIKI by Eq. 14, the stage "imdb_wiki".
Trained on the training set's 2,476 pictures, evaluated on the validation set's 1,136.

    python -m launch.main --config=configs/cen_chalearn15.py --config.data.root=DIR \\
        --config.stages.imdb_wiki.data.root=DIR --workdir=runs/cen_chalearn15
"""

import ml_collections

from configs.recipes import cen


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    return cen.fine_tuning("resnet10_tiny", data="chalearn15")
