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

from configs.recipes import cen


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    config = cen.fine_tuning("resnet18", data="morph")
    config.data.protocol = "random"
    return config
