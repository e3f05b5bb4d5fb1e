"""The runs that one config asks for: its stages first, then the run itself, or all its folds."""

import dataclasses

from ldl_jax.run.config import Config, ConfigError


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a plan: its folder under the workdir, "" for that itself, and its own config."""

    folder: str
    config: Config


def runs(config: Config, folds: int = 1) -> tuple[Run, ...]:
    """Returns the runs in the order in which they are to be trained.

    Stages lie in stages/NAME, folds in folds/NUMBER. More than 1 of `folds` trains each.

    Raises:
      ConfigError: a stage that is named is not there, none starts from one that is, or they go in
        a circle.
    """
    names = chain(config)
    for unused in config.stages.keys() - set(names):
        raise ConfigError(
            f"stages.{unused}: no run starts from it; name it with init.path='stage:{unused}'"
        )
    last = dataclasses.replace(config, stages={})
    before = [Run(f"stages/{name}", config.stages[name]) for name in names]
    if folds == 1:
        return (*before, Run("", last))
    each = [dataclasses.replace(last.data, fold=fold) for fold in range(folds)]
    after = [
        Run(f"folds/{fold}", dataclasses.replace(last, data=data)) for fold, data in enumerate(each)
    ]
    return (*before, *after)


def chain(config: Config) -> list[str]:
    """Returns the names of the stages that the config starts from, the first to train first.

    Raises:
      ConfigError: a stage that is named is not there, or they go in a circle.
    """
    names: list[str] = []
    key, name = "init.path", config.init.stage
    while name:
        if name not in config.stages:
            known = ", ".join(config.stages) or "there are none"
            raise ConfigError(f"{key}: names the stage {name!r}; stages: {known}")
        if name in names:
            raise ConfigError(f"{key}: the stages {', '.join(names)} start from one another")
        names.insert(0, name)
        key, name = f"stages.{name}.init.path", config.stages[name].init.stage
    return names
