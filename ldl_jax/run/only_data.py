"""The config of a command that trains nothing and was given no file: all keys at their defaults."""

import sys

import ml_collections
from absl import flags
from ml_collections import config_flags

from ldl_jax.run import own_keys
from ldl_jax.run.config import defaults


def get_config() -> ml_collections.ConfigDict:
    """Returns the config."""
    return defaults()


def define_flag(values: flags.FlagValues) -> None:
    """Defines --config for such a command, with this config where none is given.

    A flag with a default is parsed here already, with the keys of the command line: those that the
    config has no place for, as options of one's own reader, are put into it later.
    """
    given = sys.argv
    try:
        sys.argv = own_keys.taken_out(given)[0]
        config_flags.DEFINE_config_file(
            "config",
            __file__,
            "whose data section is taken; --config.data.KEY=VALUE alone does as well",
            flag_values=values,
        )
    finally:
        sys.argv = given


def keys_given(values: flags.FlagValues) -> list[str]:
    """Returns the keys of the config on the command line.

    Raises:
      ValueError: neither they nor a config say which pictures are meant.
    """
    keys = [*config_flags.get_override_values(values["config"])]
    if not keys and not values["config"].present:
        raise ValueError(
            "--config: says which pictures are scored; give that of the run, with the keys that it "
            "was given, or --config.data.name=NAME with --config.data.root=DIR or "
            "--config.data.csv=FILE"
        )
    return keys
