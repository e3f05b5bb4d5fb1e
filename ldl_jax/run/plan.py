"""The runs that one config asks for: its stages first, then the run itself, or all its folds."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator

from ldl_jax.data.records import DataError
from ldl_jax.run.config import Config, ConfigError, to_dict
from ldl_jax.train.log import NotFiniteError
from ldl_jax.workdir import WorkdirError

_KINDS = (ConfigError, NotFiniteError)
# Keys in a message: "data.root" anywhere, "batch_size" at its beginning.
_SECTIONS = "|".join(key for key, value in to_dict(Config()).items() if isinstance(value, dict))
_PLAIN = "|".join(key for key, value in to_dict(Config()).items() if not isinstance(value, dict))
_KEYS = re.compile(rf"(?<![\w./-])(?:{_SECTIONS})(?:\.[a-z]\w*)+|^(?:{_PLAIN})\b")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a plan: its folder under the workdir, "" for that itself, and its own config."""

    folder: str
    config: Config

    @property
    def key(self) -> str:
        """The place of this run's keys in the config: "stages.NAME." of a stage, else ""."""
        name = self.folder.removeprefix("stages/")
        return "" if name == self.folder else f"stages.{name}."


@contextlib.contextmanager
def keys_of(run: Run) -> Iterator[None]:
    """Names the keys in the errors of a stage as the whole config has them.

    "data.root" of the stage "imdb_wiki" becomes "stages.imdb_wiki.data.root".
    """
    try:
        yield
    except (ValueError, NotFiniteError) as error:
        if not run.key or isinstance(error, WorkdirError):
            raise
        text = str(error).replace("--config.", f"--config.{run.key}")
        if isinstance(error, DataError):  # which names files, as data.csv, and may have many lines
            error.args = (text,)
            raise
        text = _KEYS.sub(lambda found: f"{run.key}{found[0]}", text)
        kind = type(error) if isinstance(error, _KINDS) else ValueError
        raise kind(text) from error


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
