"""One generation of several runs at once: `loop.train_generation` for a group."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ldl_jax.train.generations import Generation
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.log import Log, NotFiniteError
from ldl_jax.train.loop import Hooks, Watcher
from ldl_jax.train.state import TrainState, Weights
from ldl_jax.train.together.stack import OneStep, Stack


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the steps of a group's runs are called with.

    Attributes:
      step: of all runs, by `Stack.jit`.
      stack: their places.
      store: the pictures, on every device.
      rows: where each run's pictures lie in the store, [N] int32.
      numbers: of all runs, with the leading axis.
    """

    step: OneStep
    stack: Stack
    store: Any
    rows: Sequence[np.ndarray]
    numbers: Any


class Lockstep:
    """The runs' generation, all of them at the same step.

    Attributes:
      lost: the runs that diverged, by their place, each with the reason.
    """

    def __init__(
        self, inputs: Inputs, runs: Sequence[Generation], interrupt: Interrupt, watcher: Watcher
    ) -> None:
        self.lost: dict[int, str] = {}
        self._inputs, self._runs = inputs, runs
        self._interrupt, self._watcher = interrupt, watcher
        self._hooks = [one.hooks() for one in runs]
        self._pending: list[tuple[int, Any]] = []
        self._logs: list[Log] = []

    def train(
        self, states: Sequence[TrainState], teachers: Sequence[Weights | None]
    ) -> list[TrainState]:
        """Takes the steps from the states' to the end; the states then, of those lost too.

        Raises:
          Interrupted: a signal came; checkpoints of the last step are saved.
        """
        first, inputs = self._runs[0], self._inputs
        start, steps = int(states[0].step), len(first.order)
        self._watcher.generation(first.number, steps, start)
        for one in self._runs:
            one.start(start)
        if start == steps:
            return list(states)
        state, teacher = inputs.stack.put(states), inputs.stack.put(teachers)
        self._logs = [
            self._log(one, hooks) for one, hooks in zip(self._runs, self._hooks, strict=True)
        ]
        for number in range(start + 1, steps + 1):
            state, scalars = inputs.step(
                state, teacher, inputs.store, self._items(number - 1), inputs.numbers
            )
            self._pending.append((number, scalars))
            self._watcher.step((number - 1) // first.order.steps_per_epoch + 1)
            self._after(number, state)
            if len(self.lost) == len(self._runs):
                break
        return self._states(state)

    def _items(self, step: int) -> jax.Array:
        """The rows [R, B] of a step's pictures."""
        orders = [one.order[step] for one in self._runs]
        return self._inputs.stack.put(
            [rows[order] for rows, order in zip(self._inputs.rows, orders, strict=True)]
        )

    def _after(self, number: int, state: TrainState) -> None:
        """What is due after a step: rows, an evaluation, checkpoints, the end by a signal."""
        first = self._runs[0]
        schedule, last = first.job.schedule, number == len(first.order)
        validates = first.job.validation is not None and (number % schedule.validate == 0 or last)
        saves = number % schedule.checkpoint == 0 or last
        stops = self._interrupt.check() is not None
        if number % schedule.log == 0 or validates or saves or stops:
            self._flush()
        if validates or saves or stops:
            for place, one in enumerate(self._states(state)):
                hooks = self._hooks[place]
                if place in self.lost:
                    continue
                if validates and hooks.validate is not None:
                    hooks.validate(one)
                if saves or stops:
                    hooks.save(one)
        if stops and not last:
            assert self._interrupt.number is not None
            raise Interrupted(self._interrupt.number, first.number, number)

    def _flush(self) -> None:
        """Looks at all scalars since the last time; a run that diverged is lost."""
        numbers = [number for number, _ in self._pending]
        values = [self._inputs.stack.take(scalars) for _, scalars in self._pending]
        self._pending = []
        for place, log in enumerate(self._logs):
            if place in self.lost:
                continue
            try:
                for number, scalars in zip(numbers, values, strict=True):
                    log.add(number, number, scalars[place])
                log.flush()
            except NotFiniteError as error:
                self.lost[place] = str(error)

    def _log(self, one: Generation, hooks: Hooks) -> Log:
        job = one.job
        return Log(
            one.number,
            one.order,
            job.schedule.log,
            job.rate,
            job.faults,
            hooks.write,
            hooks.fault,
            self._watcher,
        )

    def _states(self, state: TrainState) -> list[TrainState]:
        """Each run's own state, where a run alone has it."""
        apart = self._inputs.stack.take(state)
        return [one.job.placement.place_state(x) for one, x in zip(self._runs, apart, strict=True)]
