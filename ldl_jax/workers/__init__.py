"""Spreads units of work over processes of this machine or of others: workers."""

from ldl_jax.workers.spread import SpreadStopped, UnitsFailed, spread
from ldl_jax.workers.units import Ending, Launcher, Surroundings, UnitStopped, WorkUnit

__all__ = [
    "Ending",
    "Launcher",
    "SpreadStopped",
    "Surroundings",
    "UnitStopped",
    "UnitsFailed",
    "WorkUnit",
    "spread",
]
