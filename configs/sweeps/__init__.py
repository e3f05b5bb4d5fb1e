"""One file a table: many runs of one config, trained and put side by side."""

import ml_collections


def small(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The same sweep on a few small drawn faces, one short epoch each: to see that it runs."""
    config.data.name = "synthetic"
    config.data.synthetic_count = 48
    config.data.protocol = "official"
    config.data.size = 64
    config.data.stored_size = 0
    config.batch_size = 16
    config.epochs = 1
    config.log_every = 1
    config.evaluation.batch_size = 16
    config.chain.generations = min(2, config.chain.generations)
    return config
