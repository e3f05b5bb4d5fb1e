"""Reads what a run's folder says of one of its models, for the card."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldl_jax import workdir
from ldl_jax.evaluation import predictions
from ldl_jax.evaluation.predictions import Predictions

UNKNOWN = "not known"
_UP = 4  # folders above a checkpoint that its run may be


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """The files of a run that tell of one generation; each is empty or None where it is not there.

    Attributes:
      config: the resolved config, with the data's fingerprint.
      split: which picture is in which part, and what was done about leaks.
      starts: how the run was started: the commands and the versions of the software.
      results: the generation's metrics on the test part.
      analysis: its errors by label and by group, and its calibration.
      answers: its predictions for the test part.
    """

    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    split: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    starts: tuple[Mapping[str, Any], ...] = ()
    results: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    analysis: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    answers: Predictions | None = None

    def at(self, key: str) -> Any:
        """Returns the config's value of a dotted key; None where the run does not know it."""
        value: Any = self.config
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def text(self, key: str) -> str:
        """Returns the config's value of a dotted key as a text; `UNKNOWN` where it has none."""
        value = self.at(key)
        return UNKNOWN if value is None or value == "" else str(value)


def read(path: Path, generation: int) -> RunFacts:
    """Reads the facts on a generation of the run that a path is, or lies in; none of other paths.

    Raises:
      ValueError: a file of the run is damaged.
    """
    absolute = path.absolute()
    folders = (absolute, *list(absolute.parents)[:_UP])
    run = next((folder for folder in folders if _is_run(folder)), None)
    if run is None:
        return RunFacts()
    table = run / "predictions" / f"generation_{generation}.csv"
    finished = workdir.read_results(run)
    results = finished[generation - 1] if 0 < generation <= len(finished) else {}
    starts = _content(run / "started.json", list)
    return RunFacts(
        workdir.read_config(run),
        _content(run / "split.json", dict),
        tuple(start for start in starts if isinstance(start, dict)),
        results,
        _content(run / "analysis" / f"generation_{generation}.json", dict),
        predictions.read(table) if results and table.is_file() else None,
    )


def _is_run(folder: Path) -> bool:
    return (folder / "config.json").is_file() and (folder / "checkpoints").is_dir()


def _content(path: Path, kind: type) -> Any:
    """Returns a JSON file's content, or an empty one where there is no such file."""
    if not path.is_file():
        return kind()
    content = workdir.read_json(path)
    if not isinstance(content, kind):
        raise ValueError(f"{path}: expected a {kind.__name__}, got a {type(content).__name__}")
    return content
