"""CEN's generations: Li et al., A Coupled Evolutionary Network for Age Estimation.

Table 5, four networks and four generations; here three seeds of each network:

    Network           t    Morph    MegaAge-Asian
                           MAE      CA(3)  CA(5)  CA(7)
    ResNet10-Tiny     1    2.446    60.52  80.13  90.64
                      2    2.300    62.01  81.90  91.64
                      3    2.241    63.14  82.31  91.84
                      4    2.229    63.60  82.36  91.80
    ResNet10          1    2.321    59.57  79.44  89.39
                      2    2.207    61.91  81.18  91.16
                      3    2.150    62.86  81.47  91.34
                      4    2.134    62.78  81.77  91.00
    ResNet18-Tiny     1    2.304    61.88  81.31  91.34
                      2    2.136    63.57  82.00  91.46
                      3    2.069    64.52  82.03  91.70
                      4    2.074    64.45  82.95  91.98
    ResNet18          1    2.220    60.83  80.11  90.52
                      2    1.996    62.42  82.75  91.59
                      3    1.905    63.31  83.11  92.28
                      4    1.919    63.73  82.88  91.64

Each network starts from its own pre-training, the stage of its name. The other columns are
--config.data.name=megaage_asian with --config.data.protocol=official.

    python -m launch.main --config=configs/sweeps/cen_table5.py --config.data.root=DIR \\
        --config.data.csv=morph.csv --config.stages.resnet18.data.root=DIR ... \\
        --workdir=runs/cen_table5
"""

import ml_collections

from configs import cen_morph
from configs.recipes import pretraining

NETWORKS = ("resnet10_tiny", "resnet10", "resnet18_tiny", "resnet18")


def get_config() -> ml_collections.ConfigDict:
    """Returns the sweep's config."""
    config = cen_morph.get_config()
    config.chain.generations = 4
    config.stages = {name: pretraining.ages_by_cen(name) for name in NETWORKS}
    config.sweep = tuple(
        {"model.name": name, "init.path": f"stage:{name}", "seed": (0, 1, 2)} for name in NETWORKS
    )
    config.table.columns = "mae ca3 ca5 ca7"
    config.table.generations = True
    return config
