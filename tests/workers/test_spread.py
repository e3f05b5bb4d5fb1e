"""The order of units, what they need, what fails, what dies and what stops, without processes."""

import itertools

import pytest

from ldl_jax.workers import SpreadStopped, UnitEnding, UnitsFailed, WorkUnit, spread
from ldl_jax.workers.units import DIED, DONE, FAILED, STOPPED, UNUSABLE


class StandIn:
    """Ends the oldest unit at each call, as `endings` say: by name a list, of which the first."""

    def __init__(self, **endings):
        self.endings = {name: [*kinds] for name, kinds in endings.items()}
        self.started, self.running, self.most, self.stopped = [], [], 0, False

    def start(self, unit):
        self.started.append(unit.name)
        self.running.append(unit.name)
        self.most = max(self.most, len(self.running))

    def wait(self, seconds):
        name = self.running.pop(0)
        kinds = self.endings.get(name, [])
        kind = STOPPED if self.stopped else kinds.pop(0) if kinds else DONE
        return [(name, UnitEnding(kind, f"{name} says {kind}", 100.0, "here"))]

    def stop(self):
        self.stopped = True

    def close(self):
        self.running.clear()


def unit(name, needs="", after="", **named):
    return WorkUnit(name, "module:task", {}, f"logs/{name}.log", (*needs,), (*after,), **named)


def done(units, launcher, workers=2, retries=2, **named):
    said = []
    spread(units, launcher, workers=workers, retries=retries, log=said.append, **named)
    return said


def test_all_units_are_done_in_their_order_and_no_more_at_a_time_than_workers():
    launcher = StandIn()
    said = done([unit(name) for name in "abcde"], launcher)
    assert launcher.started == [*"abcde"]
    assert launcher.most == 2
    assert said[-1] == "e is done in 100.0 s on here; 5 of 5 done, 0 running"
    assert said[0] == "--- a starts; 0 of 5 done, 2 running; log: logs/a.log"


def test_units_wait_for_what_they_need_and_others_do_not():
    launcher = StandIn()
    done([unit("s"), unit("a", needs="s"), unit("t", needs="a"), unit("b")], launcher)
    assert launcher.started == ["s", "b", "a", "t"]


def test_a_unit_that_fails_is_listed_with_its_log_and_the_others_go_on():
    launcher = StandIn(a=[FAILED], c=[DIED, DIED, DIED])
    units = [unit("a"), unit("b", needs="a"), unit("c"), unit("d", after="a"), unit("e")]
    with pytest.raises(UnitsFailed) as caught:
        done(units, launcher)
    assert str(caught.value).split("\n") == [
        "3 of 5 did not get done. The same command tries them again, and keeps what is done:",
        "  - a: a says failed (log: logs/a.log)",
        "  - b: not started, for it needs a",
        "  - c: its worker died 3 times (c says died) (log: logs/c.log)",
    ]
    assert launcher.started.count("c") == 3
    assert {"d", "e"} <= {*launcher.started}
    assert "b" not in launcher.started


def test_a_unit_whose_worker_dies_is_started_again_before_those_that_wait():
    launcher = StandIn(a=[DIED, STOPPED, DIED])
    said = done([unit(name) for name in "abcd"], launcher, workers=1)
    assert launcher.started == [*"aaaabcd"]  # of the stop after 100 s nothing is counted
    assert "1 of at most 2 times" in said[1]
    assert sum("its worker died on here (a says died)" in line for line in said) == 2


def test_a_stop_has_the_running_units_saved_and_starts_no_other():
    launcher, calls = StandIn(), itertools.count()
    with pytest.raises(SpreadStopped, match="1 of 4 done; what was running has saved"):
        done([unit(name) for name in "abcd"], launcher, stop=lambda: next(calls) == 1)
    assert launcher.stopped
    assert launcher.started == ["a", "b"]
    assert not launcher.running


def test_workers_that_cannot_be_used_end_all_at_once():
    launcher = StandIn(a=[UNUSABLE])
    with pytest.raises(ValueError, match=r"^a says unusable; see logs/a\.log$"):
        done([unit(name) for name in "abcd"], launcher)
    assert launcher.started == ["a", "b"]


def test_who_asks_is_told_of_every_unit_that_has_ended_for_good():
    told = []
    with pytest.raises(UnitsFailed):
        done(
            [unit("a"), unit("b")],
            StandIn(a=[DIED], b=[FAILED]),
            ended=lambda unit, ending: told.append((unit.name, ending.kind)),
        )
    assert sorted(told) == [("a", DONE), ("b", FAILED)]
