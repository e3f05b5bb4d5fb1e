"""CEN on SCUT-FBP5500 (attractiveness 1 to 5), the official 60/40 split.

The papers have no number for CEN here. A release without its test list is split by
`--config.data.protocol=random`.

    python -m launch.main --config=configs/cen_scut_fbp5500.py --config.data.root=DIR \\
        --workdir=runs/cen_scut_fbp5500
"""

import ml_collections

from ldl_jax.run.config import defaults


def get_config() -> ml_collections.ConfigDict:
    """The run."""
    config = defaults()
    config.data.name = "scut_fbp5500"
    config.data.space = "scut_fbp"
    config.data.size = 64
    config.data.stored_size = 80
    config.model.name = "resnet10_tiny"
    config.batch_size = 64
    config.epochs = 24
    config.optimizer.learning_rate = 0.05
    config.optimizer.weight_decay = 5e-4
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.schedule = "cosine"
    config.chain.generations = 3
    return config
