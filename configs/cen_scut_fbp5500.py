"""CEN on SCUT-FBP5500 (attractiveness 1 to 5), the official 60/40 split.

The papers have no number for CEN here. A release without its test list is split by
`--config.data.protocol=random`.

    python -m launch.main --config=configs/cen_scut_fbp5500.py --config.data.root=DIR \\
        --workdir=runs/cen_scut_fbp5500
"""

import ml_collections

from configs.recipes import cen


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    config = cen.from_scratch(data="scut_fbp5500")
    config.data.space = "scut_fbp"
    return config
