"""Five seeds of one run, and their spread; by default CEN's quickstart on synthetic faces.

Any method or dataset takes its place:

    python -m launch.main --config=configs/sweeps/five_seeds.py --config.method.name=dldl_v2 \\
        --workdir=runs/five_seeds_of_dldl_v2
"""

import ml_collections

from configs import quickstart


def get_config() -> ml_collections.ConfigDict:
    """Returns the sweep's config."""
    config = quickstart.get_config()
    config.sweep = {"seed": (0, 1, 2, 3, 4)}
    config.table.generations = True
    return config
