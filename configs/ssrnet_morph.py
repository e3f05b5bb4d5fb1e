"""SSR-Net on MORPH (album 2), the paper's settings: IMDB, then WIKI, then MORPH (album 2).

Yang et al., SSR-Net: A Compact Soft Stagewise Regression Network for Age Estimation, Table 1: MAE
3.16. Random 80-20 split by picture, as the paper; it leaks persons, and the run says so.

    python -m launch.main --config=configs/ssrnet_morph.py --config.data.root=DIR \\
        --config.data.csv=morph.csv \\
        --config.stages.imdb.data.root=DIR --config.stages.wiki.data.root=DIR \\
        --workdir=runs/ssrnet_morph
"""

import ml_collections

from configs.recipes import ssrnet


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    config = ssrnet.after_imdb_and_wiki(data="morph")
    config.data.protocol = "random"
    return config
