"""The section of a config that says where the rows of a run go."""

import dataclasses
import difflib

from ldl_jax.factories import is_own
from ldl_jax.run.sections import ConfigError
from ldl_jax.trackers import BUILTIN

FILES = ("jsonl", "tensorboard")  # in the run's folder
_KNOWN = (*FILES, *BUILTIN)


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """The trackers of a run, and how they find it; a run may go on with others.

    Attributes:
      to: where rows go, several of "jsonl" (metrics.jsonl, which is always written, as the run
        goes on from it), "tensorboard", "wandb", "mlflow", "trackio", or an own
        "package.module:factory" of a `ldl_jax.trackers.RunWriter`.
      project: the name under which a tracker puts runs together.
      group: of the runs of a sweep or of folds; "" for the workdir's name.
      name: the run's; "" for the workdir's name. Of a sweep or of folds it comes before each run's.
      tags: words to find the run by.
    """

    to: tuple[str, ...] = FILES
    project: str = "ldl_jax"
    group: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        faults = []
        for name in self.to:
            if name not in _KNOWN and not is_own(name):
                near = difflib.get_close_matches(name, _KNOWN, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                known = ", ".join(_KNOWN)
                faults.append(
                    f"log.to: expected some of {known}, or package.module:factory, got "
                    f"{name!r}{hint}"
                )
            if self.to.count(name) > 1:
                faults.append(f"log.to: {name!r} is given more than once")
        if not self.project:
            faults.append("log.project: expected a name, got ''")
        if faults:
            raise ConfigError("; and ".join(dict.fromkeys(faults)))
