"""Times of several functions measured in turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

# Runs a function some number of times and returns when all of its results are there.
Run = Callable[[int], None]


class Timing(NamedTuple):
    """Seconds of one call, one value a repeat; the repeats of several functions belong together."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over repeats, in seconds."""
        return statistics.median(self.seconds)

    def over(self, other: Timing) -> float:
        """How many times as long as `other` this takes: the median of each repeat's ratio."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(mine / its for mine, its in pairs)


def in_turns(
    runs: Mapping[str, Run], repeats: int, least: float = 0.2, most: float = 30.0
) -> dict[str, Timing]:
    """Times every function `repeats` times in turns: A B B A A B, so that none is always first.

    Args:
      runs: the functions by name; each is called once before, to warm up.
      repeats: how many values each gets.
      least: seconds that one value takes at least; quicker functions run several times for it.
      most: seconds for all values of one function; a slow one, and so all, get fewer, but 2.
    """
    calls, longest = {}, 0.0
    for name, run in runs.items():
        run(1)
        once = _time(run, 1)
        calls[name] = max(1, round(least / once))
        longest = max(longest, once * calls[name])
    repeats = max(2, min(repeats, int(most / longest)))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats):
        for name in list(runs)[:: -1 if turn % 2 else 1]:
            seconds[name].append(_time(runs[name], calls[name]))
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def _time(run: Run, calls: int) -> float:
    start = time.perf_counter()
    run(calls)
    return (time.perf_counter() - start) / calls
