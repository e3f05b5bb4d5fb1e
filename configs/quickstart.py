"""CEN on synthetic faces: three generations in about two minutes on two cores.

ResNet10-Tiny at 64x64 on 1,600 drawn faces, whose true label distributions are known.

    python -m launch.main --config=configs/quickstart.py --workdir=runs/quickstart
"""

import ml_collections

from ldl_jax.run.config import defaults


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    config = defaults()
    config.data.name = "synthetic"
    config.data.synthetic_count = 1600
    config.data.space = "2:1:80"
    config.data.size = 64
    config.model.name = "resnet10_tiny"
    config.batch_size = 32
    config.epochs = 8
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 0.0
    config.optimizer.schedule = "cosine"
    config.chain.generations = 3
    config.chain.student = "teacher"  # there is no pre-training to start from
    return config
