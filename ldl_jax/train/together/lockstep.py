"""The steps of several runs at once, all of them at the same step of one generation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from ldl_jax.train.compiled import Store
from ldl_jax.train.generations import Runs, States, Teachers
from ldl_jax.train.log import NotFiniteError
from ldl_jax.train.loop import Runner
from ldl_jax.train.state import PyTree, TrainState
from ldl_jax.train.step import Scalars
from ldl_jax.train.together.stack import OneStep, Stack


@dataclasses.dataclass(frozen=True)
class Program:
    """The step of several runs, and the arguments that stay the same over a generation.

    `rows` are the positions of each run's pictures in the store, [N] int32.
    """

    step: OneStep
    stack: Stack
    store: Store
    rows: Sequence[np.ndarray]
    numbers: PyTree


class Lockstep(Runner):
    """Takes the steps of several runs in one program."""

    steps_per_call = 1

    def __init__(self, program: Program, runs: Runs, states: States, teachers: Teachers) -> None:
        put = program.stack.put
        self._set_up(runs, put(states), put(teachers), int(states[0].step))
        self._program = program
        self._pending: list[tuple[int, Scalars]] = []

    def items(self, calls: Sequence[tuple[int, int]]) -> Iterator[jax.Array]:
        """Yields the rows [R, B] of each step's pictures."""
        for step, _ in calls:
            orders = [run.order[step - 1] for run in self._runs]
            yield self._program.stack.put(
                [rows[order] for rows, order in zip(self._program.rows, orders, strict=True)]
            )

    def call(self, first: int, last: int, item: jax.Array) -> None:
        """Sends a step to the devices; looks at the scalars where a row is due."""
        program = self._program
        self.state, scalars = program.step(
            self.state, self._teacher, program.store, item, program.numbers
        )
        self._pending.append((first, scalars))
        if last % self._runs[0].job.schedule.log_every == 0:
            self.look()

    def look(self) -> None:
        """Looks at all scalars since the last time; a run that diverged is lost."""
        steps = [step for step, _ in self._pending]
        values = [self._program.stack.take(scalars) for _, scalars in self._pending]
        self._pending = []
        for index, log in enumerate(self._logs):
            if index in self.lost:
                continue
            try:
                for step, scalars in zip(steps, values, strict=True):
                    log.add(step, step, scalars[index])
                log.flush()
            except NotFiniteError as error:
                self.lost[index] = str(error)

    def states(self) -> list[TrainState]:
        """Returns each run's own state, where a run alone has it."""
        apart = self._program.stack.take(self.state)
        return [
            run.job.placement.place_state(state)
            for run, state in zip(self._runs, apart, strict=True)
        ]
