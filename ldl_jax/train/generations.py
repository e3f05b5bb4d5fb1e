"""The chain of generations: a fold in which each learns from the last one's weights."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ldl_jax import processes
from ldl_jax.data.feed.feeds import EpochOrder
from ldl_jax.evaluation import predictions, report
from ldl_jax.evaluation.evaluate import evaluate, summarize
from ldl_jax.train.best import Best, read_best
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.compiled import JittedStep, JittedSteps
from ldl_jax.train.faults import first_watch
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.train.job import Chain, Job
from ldl_jax.train.log import Log, Watcher
from ldl_jax.train.loop import Runner, train_generation
from ldl_jax.train.programs import Steps, first_state, jitted, like
from ldl_jax.train.state import TrainState, Weights
from ldl_jax.workdir import Row, Workdir

Runs = Sequence["Generation"]
States = Sequence[TrainState]
Teachers = Sequence[Weights | None]
# Makes what takes the steps of some members, from their states.
MakeRunner = Callable[[Runs, States, Teachers], Runner]


@dataclasses.dataclass(frozen=True)
class ChainRun:
    """A chain of a fold: its functions before and after training, and its open workdir."""

    name: str
    job: Job
    steps: Steps
    workdir: Workdir


def run(
    job: Job,
    workdir: Workdir,
    interrupt: Interrupt,
    watcher: Watcher,
    programs: tuple[JittedStep | JittedSteps, Steps] | None = None,
) -> list[Row]:
    """Trains the chain, or what is left of it; returns the results of each generation.

    `programs` are those of `jitted` for this job, or for one that differs in its seed alone.

    Raises:
      Interrupted: a signal came; the same call goes on from there.
      NotFiniteError: training diverged.
    """
    train, steps = programs or jitted(job)
    fold([ChainRun("", job, steps, workdir)], functools.partial(Runner, train), interrupt, watcher)
    return workdir.results()[: job.chain.generations]


def fold(
    members: Sequence[ChainRun], make_runner: MakeRunner, interrupt: Interrupt, watcher: Watcher
) -> dict[str, str]:
    """Trains the chains of all members, or what is left of them.

    Those that have finished the fewest generations train the next one, all at the same step.
    Returns those that diverged and were left where they were, by name, each with the reason. It
    raises what `run` raises.
    """
    lost: dict[str, str] = {}
    teachers = [resume(member.job, member.workdir, watcher) for member in members]
    while behind := _behind(members, lost):
        indices, generation = behind
        runs = [Generation(members[index], generation, watcher) for index in indices]
        known = [teachers[index] for index in indices]
        results = _next(runs, known, make_runner, interrupt, watcher)
        for index, result in zip(indices, results, strict=True):
            if isinstance(result, str):
                lost[members[index].name] = result
            else:
                teachers[index] = result
        if interrupt.check(now=True) is not None and _behind(members, lost):
            interrupt.stop(generation, len(runs[0].order))
    return lost


def _next(
    runs: Runs, teachers: Teachers, make_runner: MakeRunner, interrupt: Interrupt, watcher: Watcher
) -> list[Weights | str]:
    """Trains, evaluates and finishes one generation, or what is left of it.

    Returns for each run the weights that teach the next one, or the reason why it is lost.
    """
    try:
        runner = make_runner(runs, _start(runs, teachers), teachers)
        watcher.generation(runs[0].generation, len(runs[0].order), runner.start)
        for training in runs:
            training.start(runner.start)
        states = train_generation(runner, runs, interrupt, watcher)
    finally:
        for training in runs:
            training.close()
    return [
        runner.lost[index] if index in runner.lost else training.finish(state)
        for index, (training, state) in enumerate(zip(runs, states, strict=True))
    ]


def _behind(members: Sequence[ChainRun], lost: Mapping[str, str]) -> tuple[list[int], int] | None:
    """Returns the unfinished members that stand at the earliest generation, and its number."""
    results = [member.workdir.results() for member in members]
    done = {
        index: len(rows)
        for index, (member, rows) in enumerate(zip(members, results, strict=True))
        if member.name not in lost and not finished(member.job.chain, rows)
    }
    fewest = min(done.values(), default=0)
    return ([index for index in done if done[index] == fewest], fewest + 1) if done else None


def _start(runs: Runs, teachers: Teachers) -> States:
    """Returns the states of the last step that all have a checkpoint of, or the first ones."""
    while shared := set.intersection(*(set(run.checkpoints.steps()) for run in runs)):
        step = max(shared)
        for training in runs:
            training.checkpoints.rewind(step)
        states = [training.restored() for training in runs]
        # A damaged one falls back to an earlier step, and then so do all.
        if all(state is not None and int(state.step) == step for state in states):
            return [state for state in states if state is not None]
    for training in runs:
        training.checkpoints.rewind(-1)
    return [
        first_state(run.job, run.generation, teacher, run.steps.draw)
        for run, teacher in zip(runs, teachers, strict=True)
    ]


def resume(job: Job, workdir: Workdir, watcher: Watcher) -> Weights | None:
    """Returns the weights of the last finished generation, the next one's teacher.

    A finished generation whose checkpoints are all damaged is taken back, to be trained again.
    """
    while results := workdir.results():
        generation = len(results)
        folder = workdir.checkpoints(generation)
        checkpoints = Checkpoints(folder, job.keep)
        state = checkpoints.restore(like(job), watcher.say)
        checkpoints.close()
        if state is not None and int(state.step) == len(job.order(generation)):
            return _chosen(job, state, folder, watcher)[0]
        workdir.unfinish(generation)
    return None


def _chosen(
    job: Job, state: TrainState, folder: Path, watcher: Watcher
) -> tuple[Weights, int | None]:
    """Returns the weights that are tested and teach, and their step where they are the best."""
    if job.use == "best":
        if (best := read_best(folder, watcher.say)) is not None:
            return job.placement.place_state(best[1]), best[0]
        watcher.say(f"{folder}: no best checkpoint can be read, so the last weights are taken")
    return state.answers, None


def finished(chain: Chain, results: list[Row]) -> bool:
    """Returns whether a chain with these results has no generation left to train."""
    if len(results) >= chain.generations:
        return True
    if not chain.early_end or len(results) < 2:
        return False
    return bool(results[-1]["mae_validation"] >= results[-2]["mae_validation"])


class Generation:
    """A generation of a run in training: its order, checkpoints, rows and results."""

    def __init__(self, member: ChainRun, generation: int, watcher: Watcher) -> None:
        self.job, self.generation, self.order = member.job, generation, member.job.order(generation)
        self.name, self.steps = member.name, member.steps
        self._workdir, self._watcher = member.workdir, watcher
        batch_size = member.job.evaluation.batch_size
        self._way = (member.job.method.space, batch_size, watcher.evaluation)  # to evaluate
        folder = member.workdir.checkpoints(generation)
        self.checkpoints = Checkpoints(folder, member.job.keep)
        self._best = Best(folder, member.job.best) if member.job.best else None

    def restored(self) -> TrainState | None:
        """The state of the last checkpoint that can be read."""
        state = self.checkpoints.restore(like(self.job), self._watcher.say)
        if state is not None and state.watch is None:
            watch = self.job.placement.place(first_watch(state.weights.params))
            state = state._replace(watch=watch)
        return state

    def start(self, step: int) -> None:
        """Prepares to go on after a step: rows after it will be written anew."""
        self._workdir.start_metrics(self.generation, step)
        if self._best is not None:
            self._best.start(self._watcher.say)

    def log(self) -> Log:
        """Returns a log that writes the rows of this generation."""
        job = self.job
        every, rate = job.schedule.log_every, job.optimizer.learning_rate
        writers = functools.partial(self._write, "train"), functools.partial(self._write, "fault")
        return Log(self.generation, self.order, every, rate, job.faults, *writers, self._watcher)

    def close(self) -> None:
        """Waits for the checkpoints that are being saved."""
        self.checkpoints.close()
        if self._best is not None:
            self._best.close()

    def finish(self, state: TrainState) -> Weights:
        """Tests the last or the best weights, and marks the generation as finished; gives them."""
        folder = self._workdir.checkpoints(self.generation)
        weights, best_step = _chosen(self.job, state, folder, self._watcher)
        results = evaluate(self.steps.test, weights, self.job.data.test, *self._way)
        if not processes.primary():
            return weights
        predictions.write(self._workdir.predictions(self.generation), results)
        summary = report.summary(results)
        last = len(self.order)
        self._write("test", {"step": last, "epoch": _epoch(last, self.order), **summary})
        row: Row = {"generation": self.generation, "test pictures": len(results.ids), **summary}
        if self.job.data.validation is not None:
            step = last if best_step is None else best_step
            key = "validation", self.generation, step
            rows = self._workdir.rows()
            validations = [x for x in rows if (x["kind"], x["generation"], x["step"]) == key]
            row["mae_validation"] = float(validations[-1]["mae"])
        if best_step is not None:
            row["best_step"] = best_step
        self._workdir.finish(self.generation, row)
        return weights

    def _write(self, kind: str, row: Row, speed: float | None = None) -> None:
        origin = {"kind": kind, "generation": self.generation}
        total = (self.generation - 1) * len(self.order) + row["step"]
        self._workdir.write({**origin, **row, "total_step": total}, speed)

    def validate(self, state: TrainState) -> None:
        """Evaluates the validation part, writes a row, and keeps the weights if they are best."""
        step = int(state.step)
        predict, feed = self.steps.validation, self.job.data.validation
        assert predict is not None
        assert feed is not None
        summary = summarize(predict, state.answers, feed, *self._way)
        self._write("validation", {"step": step, "epoch": _epoch(step, self.order), **summary})
        if self._best is not None:
            about = dataclasses.replace(self.job.about, generation=self.generation)
            self._best.offer(step, summary, state.answers, about)

    def save(self, state: TrainState) -> None:
        """Saves a checkpoint in the background."""
        step = int(state.step)
        about = dataclasses.replace(self.job.about, generation=self.generation, step=step)
        self.checkpoints.save(step, state, about)


def _epoch(step: int, order: EpochOrder) -> float:
    return round(step / order.steps_per_epoch, 4)
