"""A benchmark in small: two methods, two seeds, on drawn faces, in a minute on two cores.

Its numbers mean nothing; it shows what the command does, and what its page looks like.

    python -m launch.benchmark --config=configs/benchmarks/drawn.py --workdir=runs/drawn
"""

import ml_collections

from ldl_jax.run import benchmark
from ldl_jax.run.config import defaults


def get_config() -> ml_collections.ConfigDict:
    """Returns the benchmark's config."""
    config = benchmark.defaults()
    config.title = "Drawn faces"
    config.metrics = ("mae", "balanced_mae", "ca5", "nll", "crps", "coverage90")
    config.data.name = "synthetic"
    config.data.synthetic_count = 400
    config.data.space = "2:1:80"
    run = defaults()
    run.data.size = 32
    run.batch_size = 32
    run.epochs = 4
    run.optimizer.name = "adam"
    run.optimizer.schedule = "cosine"
    run.optimizer.weight_decay = 0.0
    run.chain.generations = 1
    run.sweep = {"optimizer.learning_rate": (1e-3, 3e-3)}
    part = benchmark.part(run, "From scratch: ResNet10-Tiny at 32 pixels", seeds=2)
    part.methods = ("dldl_v2", "dex")
    config.parts.scratch = part
    return config
