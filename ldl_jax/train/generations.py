"""The chain of generations: a fold in which each learns from the last one's weights."""

import functools
from collections.abc import Callable, Mapping, Sequence

from ldl_jax import processes
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.compiled import JittedStep, JittedSteps
from ldl_jax.train.generation import ChainRun, Generation, Runs, States, Teachers, chosen
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.train.job import Chain, Job
from ldl_jax.train.log import Watcher
from ldl_jax.train.loop import Runner, train_generation
from ldl_jax.train.programs import Steps, first_state, jitted, like
from ldl_jax.train.state import Weights
from ldl_jax.workdir import Row, Workdir

# Makes what takes the steps of some members, from their states.
MakeRunner = Callable[[Runs, States, Teachers], Runner]


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
    # Process 0 puts checkpoints in their place. Another one that looks for the best before that
    # finds the one before it, and would test with other weights.
    processes.all_gather(None)
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

    Before the first one these are the ensemble's, where one teaches it. A finished generation whose
    checkpoints are all damaged is taken back, to be trained again.
    """
    while results := workdir.results():
        generation = len(results)
        folder = workdir.checkpoints(generation)
        checkpoints = Checkpoints(folder, job.keep)
        state = checkpoints.restore(like(job), watcher.log)
        checkpoints.close()
        if state is not None and int(state.step) == len(job.order(generation)):
            return chosen(job, state, folder, watcher)[0]
        workdir.unfinish(generation)
    return None if job.init.ensemble is None else job.init.ensemble.weights


def finished(chain: Chain, results: list[Row]) -> bool:
    """Returns whether a chain with these results has no generation left to train."""
    if len(results) >= chain.generations:
        return True
    if not chain.early_end or len(results) < 2:
        return False
    return bool(results[-1]["mae_validation"] >= results[-2]["mae_validation"])
