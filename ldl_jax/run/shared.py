"""Keeps what runs of several sweeps share: audited data, and features on the devices."""

import json
from collections.abc import Hashable

from ldl_jax.run.config import Config, to_dict
from ldl_jax.run.experiment import Experiment
from ldl_jax.run.resolved import Resolved
from ldl_jax.train.compiled import JittedStep, JittedSteps
from ldl_jax.train.programs import Steps

Programs = dict[Hashable, tuple[JittedStep | JittedSteps, Steps]]


class Shared:
    """Keeps the newest run of each section of data, for others of the same data to take from.

    Experiments on features stay, each with its features; of those with pictures, which may be many,
    the newest alone does.

    Attributes:
      programs: the compiled ones of the newest run, for others that differ in their seeds alone.
    """

    def __init__(self) -> None:
        self.programs: Programs = {}
        self._resolved: dict[str, Resolved] = {}
        self._on_features: dict[str, Experiment] = {}
        self._newest: Experiment | None = None

    def resolved(self, config: Config) -> Resolved | None:
        """Returns a run of the same data that was resolved, None where there is none."""
        return self._resolved.get(_key(config))

    def keep_resolved(self, resolved: Resolved) -> None:
        """Keeps a run that was resolved."""
        self._resolved[_key(resolved.config)] = resolved

    def experiment(self, config: Config) -> Experiment | None:
        """Returns an experiment of the same data, or the newest one, None before the first."""
        return self._on_features.get(_key(config), self._newest)

    def keep_experiment(self, config: Config, built: Experiment) -> None:
        """Keeps an experiment of this config."""
        self._newest = built
        if built.frozen is not None:
            self._on_features[_key(config)] = built


def _key(config: Config) -> str:
    return json.dumps(to_dict(config)["data"], sort_keys=True)
