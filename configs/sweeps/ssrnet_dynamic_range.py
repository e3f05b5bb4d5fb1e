"""SSR-Net's dynamic range: Yang et al., SSR-Net: A Compact Soft Stagewise Regression Network.

On MORPH the paper has MAE 3.16 with the dynamic range and 9.29 without. The range is what moves a
bin (λ_η η) and what stretches it (λ_Δ Δ); here also each alone, three seeds of each row. The
paper's networks are pre-trained on IMDB and WIKI; `init.path` takes the workdir of such a run.

    python -m launch.main --config=configs/sweeps/ssrnet_dynamic_range.py \\
        --config.data.root=DIR --config.data.csv=morph.csv --workdir=runs/ssrnet_dynamic_range
"""

import ml_collections

from configs.sweeps import small
from ldl_jax.config import defaults, to_dict
from ldl_jax.data.augment_recipes import RECIPES


def get_config() -> ml_collections.ConfigDict:
    """The sweep: 90 epochs of Adam at 2e-3, times 0.1 every 30, on raw BGR pictures of 64x64."""
    config = defaults()
    config.data.name = "morph"
    config.data.protocol = "random"
    config.data.space = "age"
    config.data.size = 64
    config.data.channels = "bgr"
    config.data.mean, config.data.std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    config.augment = ml_collections.ConfigDict(to_dict(RECIPES["ssr_net"]))
    config.model.name = "ssrnet"
    config.method.name = "ssr"
    config.batch_size = 50
    config.epochs = 90
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.every = 30.0
    config.optimizer.weight_decay = 0.0
    config.evaluation.flip = False
    config.chain.generations = 1
    config.sweep = {
        "method.offset_scale": (1.0, 0.0),
        "method.delta_scale": (1.0, 0.0),
        "seed": (0, 1, 2),
    }
    config.table.columns = "mae"
    return config


def smoke() -> ml_collections.ConfigDict:
    """The sweep in small."""
    return small(get_config())
