"""A generation of a run in training: its order, rows, checkpoints and results."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from ldl_jax import processes
from ldl_jax.data.feed.feeds import EpochOrder
from ldl_jax.evaluation import predictions, report
from ldl_jax.evaluation.evaluate import evaluate, summarize
from ldl_jax.train.best import Best, read_best
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.faults import first_watch
from ldl_jax.train.job import Job
from ldl_jax.train.log import Log, Watcher
from ldl_jax.train.programs import Steps, like
from ldl_jax.train.state import TrainState, Weights
from ldl_jax.workdir import Row, Workdir


@dataclasses.dataclass(frozen=True)
class ChainRun:
    """A chain of a fold: its functions before and after training, and its open workdir."""

    name: str
    job: Job
    steps: Steps
    workdir: Workdir


def chosen(
    job: Job, state: TrainState, folder: Path, watcher: Watcher
) -> tuple[Weights, int | None]:
    """Returns the weights that are tested and teach, and their step where they are the best."""
    if job.use == "best":
        if (best := read_best(folder, watcher.log)) is not None:
            return job.placement.place_state(best[1]), best[0]
        watcher.log(f"{folder}: no best checkpoint can be read, so the last weights are taken")
    return state.answers, None


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
        state = self.checkpoints.restore(like(self.job), self._watcher.log)
        if state is not None and state.watch is None:
            watch = self.job.placement.place(first_watch(state.weights.params))
            state = state._replace(watch=watch)
        return state

    def start(self, step: int) -> None:
        """Prepares to go on after a step: rows after it will be written anew."""
        self._workdir.start_metrics(self.generation, step)
        if self._best is not None:
            self._best.start(self._watcher.log)

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
        weights, best_step = chosen(self.job, state, folder, self._watcher)
        row: Row = {"generation": self.generation}
        if self.job.tested:
            row |= self._test(weights)
        if not processes.primary():
            return weights
        last = len(self.order)
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

    def _test(self, weights: Weights) -> Row:
        """Writes the predictions of the test part and their row; returns what results have of it.

        All processes call it; process 0 writes, and it is {} of the others.
        """
        results = evaluate(self.steps.test, weights, self.job.data.test, *self._way)
        if not processes.primary():
            return {}
        predictions.write(self._workdir.predictions(self.generation), results)
        summary, last = report.summary(results), len(self.order)
        self._write("test", {"step": last, "epoch": _epoch(last, self.order), **summary})
        return {"test pictures": len(results.ids), **summary}

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


# What several runs of one generation have, each at its index.
Runs = Sequence[Generation]
States = Sequence[TrainState]
Teachers = Sequence[Weights | None]
