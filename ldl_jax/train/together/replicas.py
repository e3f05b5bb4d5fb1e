"""Runs that differ in their seed, fold or numbers alone, trained together as one state.

Each has its own folder, with all that it would have left there alone: it can be gone on with, or
looked at, alone. Its results are those of the run alone but for the order of sums: convolutions of
several runs are computed by other kernels.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import jax
import numpy as np

from ldl_jax.evaluation.evaluate import JittedPredict
from ldl_jax.methods import Prediction
from ldl_jax.train import generations, programs
from ldl_jax.train.compiled import JittedStep, Store
from ldl_jax.train.generation import ChainRun, Runs, States, Teachers
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.train.log import NotFiniteError, Watcher
from ldl_jax.train.loop import Runner
from ldl_jax.train.programs import Steps
from ldl_jax.train.state import PyTree, TrainState, Weights
from ldl_jax.train.step import Scalars
from ldl_jax.train.together.group import Numbers, Replicas, arrays_of
from ldl_jax.train.together.stack import OneStep, Stack, shared_pictures, stack_of
from ldl_jax.workdir import Workdir


def run(
    group: Replicas, folders: Sequence[Workdir], interrupt: Interrupt, watcher: Watcher
) -> dict[str, str]:
    """Trains the chains of all runs, or what is left of them.

    A run whose loss is not finite any more is left where it was, and the others go on.

    Returns:
      The runs that were left, by name, each with the reason.

    Raises:
      Interrupted: a signal came; the same call goes on from there.
    """
    shared = _Programs(group)
    members = [
        ChainRun(replica.name, replica.job, shared.steps(replica.numbers), folder)
        for replica, folder in zip(group.replicas, folders, strict=True)
    ]

    def lockstep(runs: Runs, states: States, teachers: Teachers) -> Lockstep:
        return Lockstep(shared.program([run.name for run in runs]), runs, states, teachers)

    return generations.fold(members, lockstep, interrupt, watcher)


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
        program = self._program
        for step, _ in calls:
            pairs = zip(program.rows, self._runs, strict=True)
            yield program.stack.put([rows[run.order[step - 1]] for rows, run in pairs])

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
        pending, self._pending = self._pending, []
        if not pending:
            return
        values = [self._program.stack.take(scalars) for _, scalars in pending]
        for index, log in enumerate(self._logs):
            if index in self.lost:
                continue
            # All at once: a log takes what was between two of its looks for the time of the steps.
            of_run = jax.tree.map(lambda *steps: np.stack(steps), *(x[index] for x in values))
            try:
                log.add(pending[0][0], pending[-1][0], of_run)
                log.flush()
            except NotFiniteError as error:
                self.lost[index] = str(error)

    def states(self) -> list[TrainState]:
        """Returns each run's own state, where a run alone has it."""
        pairs = zip(self._runs, self._program.stack.take(self.state), strict=True)
        return [run.job.placement.place_state(state) for run, state in pairs]


class _Programs:
    """The group's jitted functions, each compiled once for all runs."""

    def __init__(self, group: Replicas) -> None:
        self._group = group
        self._job = job = group.replicas[0].job
        self._trains: dict[Stack, OneStep] = {}
        parts = [replica.job.data.train.part for replica in group.replicas]
        self._store, rows = shared_pictures(parts)
        self._of_run = {
            replica.name: (positions, arrays_of(replica.numbers))
            for replica, positions in zip(group.replicas, rows, strict=True)
        }

        def predict(arguments: tuple[Weights, Numbers], images: jax.Array) -> Prediction:
            weights, numbers = arguments
            method, _ = group.rebuild(numbers)
            return programs.predict_step(job, job.model, method)(weights, images)

        self._steps = programs.predicting(job, predict)

    def program(self, names: Sequence[str]) -> Program:
        """Returns the step of these runs, with its arguments."""
        stack = stack_of(len(names), self._group.devices)
        if stack not in self._trains:
            self._trains[stack] = stack.jit(self._group.step(self._job))
        rows, numbers = zip(*(self._of_run[name] for name in names), strict=True)
        store = stack.share(self._store)
        return Program(self._trains[stack], stack, store, rows, stack.put(numbers))

    def steps(self, numbers: dict[str, float]) -> Steps:
        """Returns the functions before and after training of a run with these numbers."""
        arrays = arrays_of(numbers)

        def of_run(predict: JittedPredict) -> JittedPredict:
            return lambda weights, store, item: predict((weights, arrays), store, item)

        shared = self._steps
        validation = None if shared.validation is None else of_run(shared.validation)
        return Steps(shared.draw, of_run(shared.test), validation)


class Seconds(NamedTuple):
    """The seconds that one step of each run of a group takes, in one program or in R."""

    together: float
    one_by_one: float


def trials(group: Replicas) -> dict[str, Callable[[], Scalars]]:
    """Returns a step of all runs "together", and one of a single run "alone", to be timed.

    Each goes on from its last state; nothing is written.
    """
    program = _Programs(group).program([replica.name for replica in group.replicas])
    jobs = [replica.job for replica in group.replicas]
    one_call = dataclasses.replace(jobs[0].schedule, steps_per_call=1)
    train, steps = programs.jitted(dataclasses.replace(jobs[0], schedule=one_call))
    step = cast(JittedStep, train)
    firsts = [programs.first_state(job, 1, None, steps.draw) for job in jobs]
    rows = [rows[job.order(1)[0]] for rows, job in zip(program.rows, jobs, strict=True)]
    items: PyTree = program.stack.put(rows)
    item = next(jobs[0].data.train.items(jobs[0].order(1), 0))
    states, state = program.stack.put(firsts), firsts[0]

    def together() -> Scalars:
        nonlocal states
        states, scalars = program.step(states, None, program.store, items, program.numbers)
        return scalars

    def alone() -> Scalars:
        nonlocal state
        state, scalars = step(state, None, jobs[0].data.train.store, item)
        return scalars

    return {"together": together, "alone": alone}


def measure(group: Replicas, steps: int = 5) -> Seconds:
    """Times a group's first steps both ways, once all is compiled."""
    both = trials(group)
    alone = _seconds(both["alone"], steps)
    return Seconds(_seconds(both["together"], steps), len(group.replicas) * alone)


def _seconds(step: Callable[[], Scalars], steps: int) -> float:
    jax.block_until_ready([step(), step()])
    start = time.perf_counter()
    jax.block_until_ready([step() for _ in range(steps)])
    return (time.perf_counter() - start) / steps
