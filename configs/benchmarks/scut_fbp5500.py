"""SCUT-FBP5500 (attractiveness 1 to 5): the same, over five folds with copies kept together.

    python -m launch.benchmark --config=configs/benchmarks/scut_fbp5500.py --workdir=runs/scut \\
        --config.data.root=DIR --config.weights=faceres-deep.json

All pictures of the release are dealt into the folds; of a release without its test list these are
the official training pictures. --only and --minutes are as with configs/benchmarks/aaf.py.
"""

import ml_collections

from configs.recipes import comparison
from ldl_jax.run import benchmark


def get_config() -> ml_collections.ConfigDict:
    """Returns the benchmark's config."""
    config = benchmark.defaults()
    config.title = "SCUT-FBP5500"
    config.metrics = comparison.SCORES
    config.data.name = "scut_fbp5500"
    config.data.space = "scut_fbp"
    config.data.protocol = "kfold"
    config.data.leaks = "group"
    config.parts.frozen = comparison.on_features("scut_fbp5500", 10, "score")
    config.parts.scratch = comparison.from_scratch("scut_fbp5500", 3, "score")
    config.parts.finetune = comparison.fine_tuned("scut_fbp5500", 3)
    config.order = ("frozen", "finetune", "scratch")
    return config
