"""The trials of a search in a file, proposed and pruned by Optuna."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from ldl_jax.search.ranges import Range
from ldl_jax.search.tried import Tried
from ldl_jax.workdir import WorkdirError

_NAME = "search"  # of the study in its file
_STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}
_SPREAD = 1_000_003  # puts the seeds of two searches far apart


@contextlib.contextmanager
def reading(path: Path, *others: type[Exception]) -> Iterator[None]:
    """Raises WorkdirError where a study's file cannot be read or written.

    `others` are errors that a file of another form raises where it is looked at.
    """
    expected: tuple[type[Exception], ...] = (SQLAlchemyError, OptunaError, *others)
    try:
        yield
    except expected as error:
        why = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
        raise WorkdirError(
            f"{path}: the trials of a search cannot be read or written ({type(error).__name__}: "
            f"{why}); make room, give back an undamaged file, or take another --workdir"
        ) from error


class Trial:
    """A trial at work.

    Attributes:
      number: from 0.
      values: what its keys are set to.
    """

    def __init__(self, trial: optuna.Trial, ranges: Mapping[str, Range]) -> None:
        self.own, self.number = trial, trial.number
        self.values = {key: _suggested(trial, key, limits) for key, limits in ranges.items()}

    def report(self, step: int, value: float) -> None:
        """Takes the objective after so many evaluations; of a step that is known, nothing."""
        known = self.own.storage.get_trial(self.own._trial_id).intermediate_values
        if step not in known and math.isfinite(value):
            self.own.report(value, step)

    def should_prune(self) -> bool:
        """Returns whether the trial is worse than the others were at its last report."""
        return self.own.should_prune()


class Study:
    """A search's trials, in a SQLite file that Optuna and its dashboard read.

    What a trial is given depends on the seed, its number, and the trials before it; so a search
    that was killed goes on as it would have gone on.
    """

    def __init__(
        self,
        path: Path,
        ranges: Mapping[str, Range],
        *,
        more_is_better: bool,
        seed: int = 0,
        sampler: str = "tpe",
        pruner: str = "median",
    ) -> None:
        """Opens the file, or makes it.

        Args:
          path: the file.
          ranges: of the keys.
          more_is_better: whether the objective is to be high.
          seed: of what is drawn.
          sampler: one of `ldl_jax.search.SAMPLERS`.
          pruner: one of `ldl_jax.search.PRUNERS`.

        Raises:
          WorkdirError: the file is damaged, or cannot be written.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._ranges, self._seed, self._sampler = ranges, seed, sampler
        with reading(path, KeyError, TypeError, ValueError):
            self._study = optuna.create_study(
                storage=f"sqlite:///{path.absolute()}",
                study_name=_NAME,
                direction="maximize" if more_is_better else "minimize",
                pruner=_pruner(pruner),
                load_if_exists=True,
            )
            self.trials()

    def next(self, count: int) -> Trial | None:
        """Returns the trial that was not ended, or a new one; None where `count` have ended."""
        known = self._study.get_trials(deepcopy=False)
        left = [trial for trial in known if not trial.state.is_finished()]
        if not left and len(known) >= count:
            return None
        index = left[0].number if left else len(known)
        self._study.sampler = _sampler(self._sampler, self._seed * _SPREAD + index)
        trial = optuna.Trial(self._study, left[0]._trial_id) if left else self._study.ask()
        return Trial(trial, self._ranges)

    def finish(self, trial: Trial, value: float) -> None:
        """Ends a trial with its objective."""
        self._study.tell(trial.own, value)

    def leave(self, trial: Trial, why: str, *, pruned: bool = False) -> None:
        """Ends a trial that was pruned, or that failed."""
        trial.own.set_user_attr("why", why)
        self._study.tell(trial.own, state=TrialState.PRUNED if pruned else TrialState.FAIL)

    def trials(self) -> list[Tried]:
        """Returns the trials: the best first, then those pruned, then those that failed."""
        sign = -1 if self._study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
        order = [*_STATES.values()]

        def place(trial: Tried) -> tuple[int, float, int]:
            value = math.inf if trial.value is None else sign * trial.value
            return order.index(trial.state), value, trial.number

        return sorted(map(self._finished, self._study.get_trials(deepcopy=False)), key=place)

    def _finished(self, trial: FrozenTrial) -> Tried:
        state = _STATES.get(trial.state, "running")
        values = {
            key: _chosen(limits, trial.params[key])
            for key, limits in self._ranges.items()
            if key in trial.params
        }
        value = trial.value if state == "finished" else None
        return Tried(trial.number, values, state, value, trial.user_attrs.get("why", ""))


def _suggested(trial: optuna.Trial, key: str, given: Range) -> Any:
    if given.kind == "choice":
        return _chosen(given, trial.suggest_categorical(key, _options(given)))
    log = "log" in given.kind
    if given.kind.startswith("int"):
        return trial.suggest_int(key, int(given.low), int(given.high), log=log)
    return trial.suggest_float(key, given.low, given.high, log=log)


def _options(given: Range) -> list[Any]:
    """Returns the choices as the file can hold them, as a tuple's text."""
    return [x if isinstance(x, str | int | float) else repr(x) for x in given.choices]


def _chosen(given: Range, value: Any) -> Any:
    """Returns the choice that a value of the file stands for."""
    if given.kind != "choice":
        return value
    options = _options(given)
    exact = [i for i, x in enumerate(options) if x == value and type(x) is type(value)]
    return given.choices[exact[0] if exact else options.index(value)]


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    seed %= 2**32
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def _pruner(name: str) -> optuna.pruners.BasePruner:
    if name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner()
    return optuna.pruners.MedianPruner() if name == "median" else optuna.pruners.NopPruner()
