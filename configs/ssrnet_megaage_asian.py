"""SSR-Net on MegaAge-Asian, the paper's settings: IMDB, then WIKI, then MegaAge-Asian.

Yang et al., SSR-Net: A Compact Soft Stagewise Regression Network for Age Estimation: CA(3) 54.9 %,
CA(5) 74.1 % of the official 3,945 test pictures.

    python -m launch.main --config=configs/ssrnet_megaage_asian.py --config.data.root=DIR \\
        --config.stages.imdb.data.root=DIR --config.stages.wiki.data.root=DIR \\
        --workdir=runs/ssrnet_megaage_asian
"""

import ml_collections

from configs.recipes import ssrnet


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    return ssrnet.after_imdb_and_wiki(data="megaage_asian")
