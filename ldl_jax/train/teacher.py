"""The teacher of the next generation: the weights that a finished one leaves."""

from __future__ import annotations

from pathlib import Path

from ldl_jax.train.best import read_best
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.job import Job
from ldl_jax.train.log import Watcher
from ldl_jax.train.programs import like
from ldl_jax.train.state import TrainState, Weights
from ldl_jax.workdir import Workdir


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
            return chosen(job, state, folder, watcher)[0]
        workdir.unfinish(generation)
    return None


def chosen(
    job: Job, state: TrainState, folder: Path, watcher: Watcher
) -> tuple[Weights, int | None]:
    """Returns the weights that are tested and teach, and their step where they are the best."""
    if job.use == "best":
        if (best := read_best(folder, watcher.say)) is not None:
            return job.placement.place_state(best[1]), best[0]
        watcher.say(f"{folder}: no best checkpoint can be read, so the last weights are taken")
    return state.answers, None
