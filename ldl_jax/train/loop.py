"""The training loop of one generation, of a run alone or of several in one program."""

from collections.abc import Iterator, Sequence

import numpy as np

from ldl_jax.train.compiled import JittedStep, JittedSteps
from ldl_jax.train.generation import Runs, States, Teachers
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.train.log import Watcher
from ldl_jax.train.state import PyTree, TrainState, Weights


class Runner:
    """Takes the steps of one generation of a run alone; `together.replicas` those of several.

    Attributes:
      start: the step of the state at first.
      steps_per_call: the most steps of a call.
      state: the state after the last call, of all runs.
      lost: the runs that diverged, by their index, each with the reason.
    """

    def __init__(
        self, train: JittedStep | JittedSteps, runs: Runs, states: States, teachers: Teachers
    ) -> None:
        """Takes `jit_train_step` where `schedule.steps_per_call` is 1, else `jit_train_steps`.

        The state is given up to the first call.
        """
        self._train = train
        self._set_up(runs, states[0], teachers[0], int(states[0].step))
        self.steps_per_call = runs[0].job.schedule.steps_per_call
        self._feed, self._order = runs[0].job.data.train, runs[0].order

    def _set_up(self, runs: Runs, state: TrainState, teacher: Weights | None, start: int) -> None:
        self.state, self.start, self._teacher = state, start, teacher
        self.lost: dict[int, str] = {}
        self._runs, self._logs = runs, [run.log() for run in runs]

    def items(self, calls: Sequence[tuple[int, int]]) -> Iterator[PyTree]:
        """Yields the pictures that each call takes; a call is its (first, last) step."""
        if self.steps_per_call == 1:
            return self._feed.items(self._order, self.start)
        # Always as long, since each other length would be another program.
        ends = [last for _, last in calls]
        return self._feed.spans(self._order, ends, self.start, self.steps_per_call)

    def call(self, first: int, last: int, item: PyTree) -> None:
        """Sends steps to the devices; waits for nothing but scalars that are two calls old."""
        count = last - first + 1
        full = count == self.steps_per_call
        counts = () if self.steps_per_call == 1 else (None if full else np.int32(count),)
        store = self._feed.store
        self.state, scalars = self._train(self.state, self._teacher, store, item, *counts)
        self._logs[0].add(first, last, scalars)

    def look(self) -> None:
        """Waits for all steps, and looks at their scalars.

        Raises:
          NotFiniteError: a run alone diverged.
        """
        self._logs[0].flush()

    def resume(self) -> None:
        """Training goes on after something else, which is not to count as its time."""
        for log in self._logs:
            log.resume()

    def states(self) -> list[TrainState]:
        """Returns the state of each run, of those lost too."""
        return [self.state]


def train_generation(
    runner: Runner, members: Runs, interrupt: Interrupt, watcher: Watcher
) -> list[TrainState]:
    """Takes the steps from the runner's state to the end; returns the state of each run then.

    Nothing waits for the devices but a checkpoint, an evaluation, and scalars that are two calls
    old (of several runs: those of `log_every` steps). It ends early where all runs are lost.

    Raises:
      Interrupted: a signal came; checkpoints of the last step are saved.
      NotFiniteError: a run alone diverged; no checkpoint holds what came of it.
    """
    job, order = members[0].job, members[0].order
    schedule, validated = job.schedule, job.data.validation is not None
    ends = [schedule.checkpoint_every, *([schedule.evaluation_every] if validated else [])]
    calls = list(_calls(runner.start, len(order), runner.steps_per_call, ends))
    for (first, step), item in zip(calls, runner.items(calls), strict=True):
        runner.call(first, step, item)
        for done in range(first, step + 1):
            watcher.step((done - 1) // order.steps_per_epoch + 1)
        if job.trace is not None:
            job.trace.after(step, runner.state)
        last = step == len(order)
        validates = validated and (last or step % schedule.evaluation_every == 0)
        saves = last or step % schedule.checkpoint_every == 0
        stops = interrupt.check() is not None
        if validates or saves or stops:
            runner.look()
            for index, (member, state) in enumerate(zip(members, runner.states(), strict=True)):
                if validates and index not in runner.lost:
                    member.validate(state)
                if (saves or stops) and index not in runner.lost:
                    member.save(state)
        if stops and not last:
            interrupt.stop(members[0].generation, step)
        if validates or saves:
            runner.resume()
        if len(runner.lost) == len(members):
            break
    return runner.states()


def _calls(start: int, total: int, most: int, ends: list[int]) -> Iterator[tuple[int, int]]:
    """The (first, last) step of each call, none across a multiple of one of the ends."""
    done = start
    while done < total:
        last = min(done + most, total, *(done - done % end + end for end in ends))
        yield done + 1, last
        done = last
