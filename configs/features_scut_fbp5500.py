"""DLDL-v2 on the features of a frozen face network, SCUT-FBP5500, the official 60/40 split.

A release without its test list is split by --config.data.protocol=random, or into five folds by
--config.data.protocol=kfold.

    python -m launch.main --config=configs/features_scut_fbp5500.py --config.data.root=DIR \\
        --config.init.path=faceres-deep.json --workdir=runs/features_scut_fbp5500
"""

import ml_collections

from configs.recipes import frozen


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    config = frozen.head_on_features(data="scut_fbp5500", network="faceres")
    config.data.space = "scut_fbp"
    return config
