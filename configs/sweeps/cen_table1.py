"""CEN's two heads, alone and joint: Li et al., A Coupled Evolutionary Network for Age Estimation.

Table 1, ResNet18, the first generation; here three seeds of each row:

    Method             Morph    MegaAge-Asian
                       MAE      CA(3)  CA(5)  CA(7)
    Reg                2.578    58.22  79.01  89.03
    LDL                2.323    59.14  78.70  89.26
    LDL+Reg (y^reg)    2.243    60.57  79.77  90.21
    LDL+Reg (y^ldl)    2.231    59.14  79.24  89.62
    LDL+Reg (y^)       2.220    60.83  80.11  90.52

Reg is `regression_l1`, Eq. 9 alone; LDL is `dex`, Eq. 4 alone with the expectation; LDL+Reg is
`cen`, with the rows of its heads "regression" and "distribution". All start from one pre-training,
the stage "imdb_wiki". The other columns are --config.data.name=megaage_asian with
--config.data.protocol=official.

    python -m launch.main --config=configs/sweeps/cen_table1.py --config.data.root=DIR \\
        --config.data.csv=morph.csv --config.stages.imdb_wiki.data.root=DIR \\
        --workdir=runs/cen_table1
"""

import ml_collections

from configs import cen_morph


def get_config() -> ml_collections.ConfigDict:
    """Returns the sweep's config."""
    config = cen_morph.get_config()
    config.chain.generations = 1
    config.sweep = {"method.name": ("regression_l1", "dex", "cen"), "seed": (0, 1, 2)}
    config.table.columns = "mae ca3 ca5 ca7"
    config.table.heads = True
    return config
