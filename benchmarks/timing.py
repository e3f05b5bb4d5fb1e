"""Times several functions in turns, so that a busy machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax

# `run(calls)` runs a function that many times and returns when all of its results are there.
Run = Callable[[int], None]


class Timing(NamedTuple):
    """The seconds of one call, one value for each turn; functions share their turns."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the turns, in seconds."""
        return statistics.median(self.seconds)

    def over(self, other: "Timing") -> float:
        """Returns how many times as long as `other` this takes, the median of each turn's ratio."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)


def in_turns(
    runs: Mapping[str, Run], repeats: int, least: float = 0.2, most: float = 30.0
) -> dict[str, Timing]:
    """Times every function `repeats` times in turns (A B B A A B), so that none is always first.

    Args:
      runs: the functions by name; each is called once before, to warm up.
      repeats: the number of values for each function.
      least: the least seconds of one value; a quicker function runs several times for it.
      most: the seconds for all values of one function. Where one would take longer, all functions
        get fewer values, but at least 2.
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


def repeated(function: Callable[..., object], *arguments: object) -> Run:
    """Returns a run that calls a function of JAX with these arguments and waits for the last."""

    def run(calls: int) -> None:
        for _ in range(calls):
            result = function(*arguments)
        jax.block_until_ready(result)

    return run


def _time(run: Run, calls: int) -> float:
    start = time.perf_counter()
    run(calls)
    return (time.perf_counter() - start) / calls
