"""Eight age groups on Adience: ResNet-18 with LeakyReLU and GridMask, five official folds.

A laboratory report on Adience: accuracy 62.06 % and one-off accuracy 80.35 % of the fold whose
network it keeps; by fold 55.98, 54.57, 56.40, 59.94 and 52.12 %. One-hot labels and cross-entropy,
100 epochs at a learning rate of 0.1, times 0.1 at epochs 20, 50 and 75. The report names no
optimizer, batch size or weight decay: SGD with momentum 0.9, 128 and 1e-4 are this library's.

    python -m launch.main --config=configs/adience_resnet18.py --config.data.root=DIR \\
        --workdir=runs/adience_resnet18
"""

import ml_collections

from configs.recipes import pretraining
from ldl_jax.run.config import defaults


def get_config() -> ml_collections.ConfigDict:
    """Returns the config of all five folds, which end in their mean and spread."""
    config = defaults()
    config.data.name = "adience"
    config.data.space = "adience"
    config.data.protocol = "official_folds"
    config.augment = pretraining.recipe("adience")
    config.model.name = "resnet18_adience"
    config.method.name = "dex"
    config.method.decode = "mode"
    config.epochs = 100
    config.optimizer.learning_rate = 0.1
    config.optimizer.schedule = "milestones"
    config.optimizer.milestones = (20.0, 50.0, 75.0)
    config.evaluation.flip = False
    config.chain.generations = 1
    return config
