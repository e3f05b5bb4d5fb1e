"""CEN on MORPH (album 2), ResNet18, the paper's settings: four generations.

Li et al., A Coupled Evolutionary Network for Age Estimation, Tables 2 and 5: MAE 1.905 at t = 3,
after pre-training on IMDB-WIKI by Eq. 14, the stage "imdb_wiki". Random 80-20 split
by picture, as the paper; it leaks persons, and the run says so.
`--config.data.protocol=subject` splits by person.

    python -m launch.main --config=configs/cen_morph.py --config.data.root=DIR \\
        --config.data.csv=morph.csv --config.stages.imdb_wiki.data.root=DIR \\
        --workdir=runs/cen_morph
"""

import ml_collections

from configs.recipes import pretraining
from ldl_jax.run.config import defaults


def get_config() -> ml_collections.ConfigDict:
    """The run; optimizer, schedule, batch and crops are the defaults, which are the paper's."""
    config = defaults()
    config.stages.imdb_wiki = pretraining.ages_by_cen("resnet18")
    config.init.path = "stage:imdb_wiki"
    config.data.name = "morph"
    config.data.protocol = "random"
    config.data.space = "train"
    config.data.size = 224
    config.model.name = "resnet18"
    config.chain.generations = 4
    return config
