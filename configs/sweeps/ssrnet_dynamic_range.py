"""SSR-Net's dynamic range: Yang et al., SSR-Net: A Compact Soft Stagewise Regression Network.

On MORPH the paper has MAE 3.16 with the dynamic range and 9.29 without. The range is what moves a
bin (λ_η η) and what stretches it (λ_Δ Δ); here also each alone, three seeds of each row, from one
pre-training on IMDB and then WIKI.

    python -m launch.main --config=configs/sweeps/ssrnet_dynamic_range.py \\
        --config.data.root=DIR --config.data.csv=morph.csv \\
        --config.stages.imdb.data.root=DIR --config.stages.wiki.data.root=DIR \\
        --workdir=runs/ssrnet_dynamic_range
"""

import ml_collections

from configs import ssrnet_morph


def get_config() -> ml_collections.ConfigDict:
    """Returns the sweep's config."""
    config = ssrnet_morph.get_config()
    config.sweep = {
        "method.offset_scale": (1.0, 0.0),
        "method.delta_scale": (1.0, 0.0),
        "seed": (0, 1, 2),
    }
    config.table.columns = "mae"
    return config
