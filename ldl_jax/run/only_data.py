"""The config of a command that trains nothing and was given no file: all keys at their defaults."""

import ml_collections

from ldl_jax.run.config import defaults


def get_config() -> ml_collections.ConfigDict:
    """Returns the config."""
    return defaults()
