"""The section of a config that says what a search tries."""

import dataclasses
from typing import Any

from ldl_jax.run.sections import ConfigError, at_least, one_of
from ldl_jax.search import PRUNERS, SAMPLERS


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """A search for the setting whose validation metric is best; it needs Optuna.

    Attributes:
      ranges: by dotted key, as {"method.lam": ("log", 0.01, 1.0)}: ("uniform", low, high), ("log",
        low, high), ("int", low, high), ("int_log", low, high) or ("choice", a, b, ...); without
        any there is no search.
      trials: how many settings are tried; a search may go on with more. 0 trains the config itself.
      metric: what is searched for, a key of a validation's row in metrics.jsonl, as "mae"; "" for
        `best`, or else for "mae". `ldl_jax.metrics.table` says whether more of it is better.
      seed: of what is drawn; the same seed gives the same search.
      sampler: "tpe", which learns from the trials before, or "random".
      pruner: stops a trial after an evaluation of the validation part: "median", where it is worse
        than the median of the trials before; "asha", where it is not in the best quarter at a rung;
        or "none".
    """

    ranges: dict[str, Any] = dataclasses.field(default_factory=dict)
    trials: int = 20
    metric: str = ""
    seed: int = 0
    sampler: str = "tpe"
    pruner: str = "median"

    def __post_init__(self) -> None:
        at_least("search.trials", self.trials, 0)
        at_least("search.seed", self.seed, 0)
        one_of("search.sampler", self.sampler, SAMPLERS)
        one_of("search.pruner", self.pruner, PRUNERS)

    @property
    def wanted(self) -> bool:
        """True where there is something to search."""
        return bool(self.ranges) and self.trials > 0


def check_key(key: object, known: frozenset[str]) -> None:
    """Raises ConfigError where a key is none that a search may set.

    `known` are the names of a run's keys and sections, those before the first dot.
    """
    if not isinstance(key, str):
        raise ConfigError(f"search.ranges: expected dotted keys, as 'method.lam', got {key!r}")
    if key == "seed":
        raise ConfigError(
            "search.ranges: seed: a seed that does better is luck; search other keys, and train "
            "the best setting with several seeds (config.sweep)"
        )
    if key.partition(".")[0] not in known - {"log"}:
        raise ConfigError(
            f"search.ranges: {key}: unknown key; expected one that --help lists, as "
            "'method.lam' or 'optimizer.learning_rate'"
        )
