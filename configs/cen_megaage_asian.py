"""CEN on MegaAge-Asian, ResNet18-Tiny, the paper's settings: four generations.

Li et al., A Coupled Evolutionary Network for Age Estimation, Tables 4 and 5: CA(3) 64.45,
CA(5) 82.95, CA(7) 91.98 at t = 4, after pre-training on IMDB-WIKI by Eq. 14, the stage
"imdb_wiki". The official 3,945 test pictures.

    python -m launch.main --config=configs/cen_megaage_asian.py --config.data.root=DIR \\
        --config.stages.imdb_wiki.data.root=DIR --workdir=runs/cen_megaage_asian
"""

import ml_collections

from configs.recipes import cen


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    return cen.fine_tuning("resnet18_tiny", data="megaage_asian")
