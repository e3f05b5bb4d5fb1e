"""The runs that one config asks for: its stages first, then the run itself, or all its folds."""

from __future__ import annotations

import dataclasses

from ldl_jax.run.config import Config, ConfigError


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a plan.

    Attributes:
      folder: where it lies under the workdir; "" for the workdir itself.
      config: whole, and without stages.
    """

    folder: str
    config: Config


def runs(config: Config, folds: int = 1) -> tuple[Run, ...]:
    """Returns the runs in the order in which they are to be trained.

    Stages lie in stages/NAME, folds in folds/NUMBER.

    Args:
      config: of all of them.
      folds: how many the config's protocol has; more than 1 trains each.

    Raises:
      ConfigError: a stage that is named is not there, none starts from one that is, or they go in
        a circle.
    """
    last = dataclasses.replace(config, stages={})
    before = [Run(f"stages/{name}", config.stages[name]) for name in _chain(config)]
    if folds == 1:
        return (*before, Run("", last))
    each = [dataclasses.replace(last.data, fold=fold) for fold in range(folds)]
    after = [
        Run(f"folds/{fold}", dataclasses.replace(last, data=data)) for fold, data in enumerate(each)
    ]
    return (*before, *after)


def _chain(config: Config) -> list[str]:
    """Returns the names of the stages, the first to be trained first."""
    chain: list[str] = []
    key, name = "init.path", config.init.stage
    while name:
        if name not in config.stages:
            known = ", ".join(config.stages) or "there are none"
            raise ConfigError(f"{key}: names the stage {name!r}; stages: {known}")
        if name in chain:
            raise ConfigError(f"{key}: the stages {', '.join(chain)} start from one another")
        chain.insert(0, name)
        key, name = f"stages.{name}.init.path", config.stages[name].init.stage
    for unused in config.stages.keys() - set(chain):
        raise ConfigError(
            f"stages.{unused}: no run starts from it; name it with init.path='stage:{unused}'"
        )
    return chain
