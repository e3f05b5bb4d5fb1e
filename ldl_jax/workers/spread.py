"""Spreads units over workers, each after those that it needs, until all have ended."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from ldl_jax.workers.units import DIED, DONE, STOPPED, UNUSABLE, Launcher, UnitEnding, WorkUnit

LogLine = Callable[[str], None]
_WAIT = 0.5  # seconds from one look at the signals to the next
_SAVING = 120.0  # seconds that workers get to save what they are at
_YOUNG = 60.0  # a worker that is stopped from outside before so many seconds counts as dead


class UnitsFailed(ValueError):  # noqa: N818 - it tells of several
    """Some units failed; the others are done. The message lists each with its log."""


class SpreadStopped(Exception):  # noqa: N818 - it is news, not an error
    """The driver was asked to stop; the message says how far all is."""


def spread(
    units: Sequence[WorkUnit],
    launcher: Launcher,
    *,
    workers: int,
    retries: int,
    log: LogLine,
    stop: Callable[[], bool] = lambda: False,
    ended: Callable[[WorkUnit, UnitEnding], None] = lambda unit, ending: None,
) -> None:
    """Has all units done, and says how far they are whenever one has ended.

    A unit whose worker dies is started again, in a new worker. A unit that fails is not, and those
    that need it are not started; all others go on.

    Args:
      units: with names of their own, those that are needed before those that need them.
      launcher: what has them done.
      workers: how many run at a time.
      retries: how often a unit is started again after its worker died.
      log: takes lines for the user.
      stop: returns whether to stop.
      ended: is told of every unit that has ended for good.

    Raises:
      UnitsFailed: some units failed.
      SpreadStopped: `stop` said so.
      ValueError: the workers cannot be used at all.
    """
    state = _Standing(units, retries, log, ended)
    while state.waiting or state.running:
        if stop():
            raise SpreadStopped(_save(state, launcher))
        for unit in state.ready(workers - len(state.running)):
            launcher.start(unit)
        if state.running:
            for name, ending in launcher.wait(_WAIT):
                state.take(name, ending)
    if state.faults:
        lines = [f"{name}: {text}" for name, text in state.faults.items()]
        count = f"{len(lines)} of {len(units)} did not get done"
        again = "The same command tries them again, and keeps what is done"
        raise UnitsFailed("\n  - ".join([f"{count}. {again}:", *lines]))


class _Standing:
    """Keeps which units wait, run, are done and have failed."""

    def __init__(
        self,
        units: Sequence[WorkUnit],
        retries: int,
        log: LogLine,
        ended: Callable[[WorkUnit, UnitEnding], None],
    ) -> None:
        self.waiting = {unit.name: unit for unit in units}
        assert len(self.waiting) == len(units), "units have names of their own"
        self.running: dict[str, WorkUnit] = {}
        self.faults: dict[str, str] = {}
        self._done: set[str] = set()
        self._deaths: Counter[str] = Counter()
        self._count, self._retries, self._log, self._ended = len(units), retries, log, ended

    def ready(self, most: int) -> list[WorkUnit]:
        """Takes units that can start, at most so many; notes those that never can."""
        starting: list[WorkUnit] = []
        for unit in [*self.waiting.values()]:
            lost = [name for name in unit.needs if name in self.faults]
            if lost:
                del self.waiting[unit.name]
                self.faults[unit.name] = f"not started, for it needs {', '.join(lost)}"
                continue
            open_ = {*self.waiting, *self.running}
            if len(starting) < most and open_.isdisjoint((*unit.needs, *unit.after)):
                starting.append(unit)
                del self.waiting[unit.name]
                self.running[unit.name] = unit
        for unit in starting:
            self._log(f"--- {unit.name} starts; {self.summary()}; log: {unit.log}")
        return starting

    def take(self, name: str, ending: UnitEnding) -> None:
        """Notes how a unit has ended, and says it; one whose worker died waits again."""
        unit = self.running.pop(name)
        text = " ".join(ending.text.split())
        where = f" on {ending.host}" if ending.host else ""
        if ending.kind == UNUSABLE:
            raise ValueError(f"{text}; see {unit.log}")
        if ending.kind == DONE:
            self._done.add(name)
            self._log(f"{name} is done in {ending.seconds:.1f} s{where}; {self.summary()}")
            self._ended(unit, ending)
            return
        if ending.kind in (DIED, STOPPED):
            self._deaths[name] += ending.kind == DIED or ending.seconds < _YOUNG
            if self._deaths[name] <= self._retries:
                # It comes first: others may wait for it.
                self.waiting = {name: unit, **self.waiting}
                often = f"{self._deaths[name]} of at most {self._retries} times"
                self._log(
                    f"{name}: its worker {ending.kind}{where} ({text or 'no word'}); it is started"
                    f" again from its last checkpoint ({often}); {self.summary()}"
                )
                return
            text = f"its worker {ending.kind} {self._deaths[name]} times ({text or 'no word'})"
        self.faults[name] = f"{text} (log: {unit.log})"
        self._log(f"{name} failed{where}: {text}; {self.summary()}")
        self._ended(unit, ending)

    def summary(self) -> str:
        """Returns how many units are done, run and have failed."""
        faults = f", {len(self.faults)} failed" if self.faults else ""
        return f"{self.done()}, {len(self.running)} running{faults}"

    def done(self) -> str:
        """Returns how many units are done."""
        return f"{len(self._done)} of {self._count} done"


def _save(state: _Standing, launcher: Launcher) -> str:
    """Has the workers save what they are at, waits for them, and returns how far all is."""
    launcher.stop()
    lost, end = len(state.running), time.monotonic() + _SAVING
    while state.running and time.monotonic() < end:
        for name, ending in launcher.wait(_WAIT):
            state.running.pop(name)
            lost -= ending.kind in (DONE, STOPPED)
    if lost:
        return f"{state.done()}; {lost} of the others go on from an earlier checkpoint"
    return f"{state.done()}; what was running has saved a checkpoint"
