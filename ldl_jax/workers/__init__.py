"""Spreads units of work over processes of this machine or of others: workers."""

from ldl_jax.workers.spread import SpreadStopped, UnitsFailed, spread
from ldl_jax.workers.units import Launcher, Surroundings, UnitEnding, UnitStopped, WorkUnit

__all__ = [
    "Launcher",
    "SpreadStopped",
    "Surroundings",
    "UnitEnding",
    "UnitStopped",
    "UnitsFailed",
    "WorkUnit",
    "spread",
]
