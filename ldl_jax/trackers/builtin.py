"""The trackers that a run knows by name; a tracker's package is imported where a run uses it."""

import importlib

from ldl_jax.trackers.writer import RunWriter

# By name, the class of its module `ldl_jax.trackers.NAME_writer`.
BUILTIN = {"wandb": "WandbWriter", "mlflow": "MlflowWriter", "trackio": "TrackioWriter"}


def make(name: str) -> RunWriter:
    """Returns a new writer to a known tracker; imports its package."""
    module = importlib.import_module(f"ldl_jax.trackers.{name}_writer")
    writer: RunWriter = getattr(module, BUILTIN[name])()
    return writer
