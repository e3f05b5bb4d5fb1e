"""DLDL-v2 on the features of a frozen face network, All-Age-Faces, the authors' own split.

The features of all pictures are computed once, and kept in --config.init.features_cache, by default
in the workdir. A head then trains in seconds; --config.method.name takes another method.

    python -m launch.main --config=configs/features_aaf.py --config.data.root=DIR \\
        --config.init.path=faceres-deep.json --workdir=runs/features_aaf

Ten seeds are one program: --config.sweep='{"seed": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)}'.
"""

import ml_collections

from configs.recipes import frozen


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    config = frozen.head_on_features(data="aaf", network="faceres")
    config.data.square = True  # the pictures are higher than wide
    return config
