"""Runs that differ in their seed, fold or numbers alone, trained together as one state.

Each has its own folder, with all that it would have left there alone: it can be gone on with, or
looked at, alone. Its results are those of the run alone but for the order of sums: convolutions of
several runs are computed by other kernels.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from ldl_jax.evaluation.evaluate import JittedPredict
from ldl_jax.train import generations
from ldl_jax.train.generations import Generation, Steps
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.loop import Watcher
from ldl_jax.train.state import TrainState, Weights
from ldl_jax.train.step import make_predict_step
from ldl_jax.train.together.group import Group, Numbers, arrays_of
from ldl_jax.train.together.lockstep import Inputs, Lockstep
from ldl_jax.train.together.stack import OneStep, Stack, shared_pictures, stack_of
from ldl_jax.workdir import Workdir


def run(
    group: Group, folders: Sequence[Workdir], interrupt: Interrupt, watcher: Watcher
) -> dict[str, str]:
    """Trains the chains of all runs, or what is left of them.

    A run whose loss is not finite any more is left where it was, and the others go on.

    Args:
      group: the runs.
      folders: one for each, open.
      interrupt: of signals.
      watcher: looks on.

    Returns:
      The runs that were left, by name, each with the reason.

    Raises:
      Interrupted: a signal came; the same call goes on from there.
    """
    lost: dict[str, str] = {}
    programs = _Programs(group)
    teachers = [
        generations.resume(replica.job, folder, watcher)
        for replica, folder in zip(group.replicas, folders, strict=True)
    ]
    while members := _behind(group, folders, lost):
        number = len(folders[members[0]].results()) + 1
        runs = [
            Generation(
                group.replicas[place].job, programs.steps(place), folders[place], number, watcher
            )
            for place in members
        ]
        lockstep = Lockstep(programs.inputs(members), runs, interrupt, watcher)
        known = [teachers[place] for place in members]
        try:
            ended = lockstep.train(_start(runs, known), known)
        finally:
            for one in runs:
                one.close()
        for at, (place, one, state) in enumerate(zip(members, runs, ended, strict=True)):
            if at in lockstep.lost:
                lost[group.replicas[place].name] = lockstep.lost[at]
            else:
                teachers[place] = one.finish(state)
        if interrupt.check(now=True) is not None and _behind(group, folders, lost):
            assert interrupt.number is not None
            raise Interrupted(interrupt.number, number, len(runs[0].order))
    return lost


def _behind(group: Group, folders: Sequence[Workdir], lost: Mapping[str, str]) -> list[int]:
    """The places of the unfinished runs that have finished the fewest generations."""
    done = {
        place: len(folders[place].results())
        for place, replica in enumerate(group.replicas)
        if replica.name not in lost
        and not generations.finished(replica.job.chain, folders[place].results())
    }
    return [place for place, count in done.items() if count == min(done.values())]


def _start(runs: Sequence[Generation], teachers: Sequence[Weights | None]) -> list[TrainState]:
    """The runs' states of the last step that all have a checkpoint of, or their first states."""
    while shared := set.intersection(*(set(one.checkpoints.steps()) for one in runs)):
        for one in runs:
            one.checkpoints.rewind(max(shared))
        states = [one.restored() for one in runs]
        # A damaged one falls back to an earlier step, and then so do all.
        if all(state is not None and int(state.step) == max(shared) for state in states):
            return [state for state in states if state is not None]
    for one in runs:
        one.checkpoints.rewind(-1)
    return [one.first(teacher) for one, teacher in zip(runs, teachers, strict=True)]


class _Programs:
    """The group's jitted functions, each compiled once for all runs."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._job = job = group.replicas[0].job
        self._draw = generations.drawing(job)
        self._trains: dict[Stack, OneStep] = {}
        self._pictures = shared_pictures([one.job.train.part for one in group.replicas])

        def predict(told: tuple[Weights, Numbers], images: jax.Array) -> Any:
            weights, numbers = told
            method, _ = group.rebuild(numbers)
            return make_predict_step(job.model, method, flip=job.flip)(weights, images)

        self._test = generations.predicting(job, job.test, predict)
        self._validation = None
        if job.validation is not None:
            self._validation = generations.predicting(job, job.validation, predict)

    def inputs(self, members: Sequence[int]) -> Inputs:
        """What the steps of these runs are called with."""
        stack = stack_of(len(members), self._group.devices)
        if stack not in self._trains:
            self._trains[stack] = stack.jit(self._group.step(self._job))
        store, rows = self._pictures
        numbers = [arrays_of(self._group.replicas[place].numbers) for place in members]
        return Inputs(
            self._trains[stack],
            stack,
            stack.share(store),
            [rows[place] for place in members],
            stack.put(numbers),
        )

    def steps(self, place: int) -> Steps:
        """What a run needs before and after its training."""
        numbers = arrays_of(self._group.replicas[place].numbers)

        def of_run(predict: JittedPredict) -> JittedPredict:
            return lambda weights, store, item: predict((weights, numbers), store, item)

        validation = None if self._validation is None else of_run(self._validation)
        return Steps(self._draw, of_run(self._test), validation)


class Seconds(NamedTuple):
    """Of one step of each run of a group.

    Attributes:
      together: in one program.
      one_by_one: in R programs, one after another.
    """

    together: float
    one_by_one: float


def trials(group: Group) -> dict[str, Callable[[], Any]]:
    """A step of all runs "together", and one of a single run "alone", to be called and timed.

    Each goes on from its last state; nothing is written.
    """
    inputs = _Programs(group).inputs(range(len(group.replicas)))
    jobs = [replica.job for replica in group.replicas]
    one_call = dataclasses.replace(jobs[0].schedule, call=1)
    train, steps = generations.jitted(dataclasses.replace(jobs[0], schedule=one_call))
    step: Callable[..., Any] = train
    firsts = [generations.first_state(job, 1, None, steps.draw) for job in jobs]
    rows = [rows[job.order(1)[0]] for rows, job in zip(inputs.rows, jobs, strict=True)]
    items = inputs.stack.put(rows)
    item = next(jobs[0].train.items(jobs[0].order(1), 0))
    states, state = inputs.stack.put(firsts), firsts[0]

    def together() -> Any:
        nonlocal states
        states, scalars = inputs.step(states, None, inputs.store, items, inputs.numbers)
        return scalars

    def alone() -> Any:
        nonlocal state
        state, scalars = step(state, None, jobs[0].train.store, item)
        return scalars

    return {"together": together, "alone": alone}


def measure(group: Group, steps: int = 5) -> Seconds:
    """Times a group's first steps both ways, once all is compiled."""
    both = trials(group)
    alone = _seconds(both["alone"], steps)
    return Seconds(_seconds(both["together"], steps), len(group.replicas) * alone)


def _seconds(step: Callable[[], Any], steps: int) -> float:
    jax.block_until_ready([step(), step()])
    start = time.perf_counter()
    jax.block_until_ready([step() for _ in range(steps)])
    return (time.perf_counter() - start) / steps
