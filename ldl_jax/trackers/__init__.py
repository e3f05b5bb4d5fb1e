"""Experiment trackers: what a run tells them, and how it never waits for them."""

from ldl_jax.trackers.background import Background
from ldl_jax.trackers.builtin import BUILTIN, make
from ldl_jax.trackers.writer import STATUSES, Ending, RunWriter, TrackedRow, TrackedRun, tracked_row

__all__ = [
    "BUILTIN",
    "STATUSES",
    "Background",
    "Ending",
    "RunWriter",
    "TrackedRow",
    "TrackedRun",
    "make",
    "tracked_row",
]
