"""Writes a run to MLflow: the server, file or SQLite store of MLFLOW_TRACKING_URI."""

import itertools
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ldl_jax.trackers.writer import Ending, TrackedRow, TrackedRun

_STATUS = {"finished": "FINISHED", "pruned": "FINISHED", "interrupted": "KILLED"}  # else FAILED
_PARAMS, _METRICS = 100, 1000  # of one call, at most
_LONGEST = 500  # of a parameter's value, which older servers take


class MlflowWriter:
    """A run of MLflow; a project is an experiment, a group is the tag "group"."""

    def start(self, run: TrackedRun) -> str:
        """Opens the run, or goes on with the one of `run.id` where the store has it."""
        for name in ("mlflow", "alembic"):  # which tell of each table of a new store
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = MlflowClient()
        if run.id and self._goes_on(run.id):
            self._id = run.id
            return run.id
        tags = {"group": run.group, "workdir": str(run.folder)} | dict.fromkeys(run.tags, "true")
        tags = {_key(key): value for key, value in tags.items() if value}
        created = self._client.create_run(
            self._experiment(run.project), run_name=run.name, tags=tags
        )
        self._id = str(created.info.run_id)
        params = [Param(_key(key), str(value)[:_LONGEST]) for key, value in _flat(run.config)]
        for some in _cut(params, _PARAMS):
            self._client.log_batch(self._id, params=some)
        return self._id

    def rows(self, rows: Sequence[TrackedRow]) -> None:
        """Logs each row as PART/NAME over the step."""
        metrics = [
            Metric(_key(name), value, int(row.seconds * 1000), row.step)
            for row in rows
            for name, value in row.named.items()
        ]
        for some in _cut(metrics, _METRICS):
            self._client.log_batch(self._id, metrics=some)

    def end(self, ending: Ending) -> None:
        """Logs the figures and the table of results, and ends the run."""
        if ending.results:
            table = {key: [row.get(key) for row in ending.results] for key in ending.columns}
            self._client.log_table(self._id, table, "results.json")
        for path in ending.figures:
            self._client.log_artifact(self._id, str(path), "figures")
        tags = [RunTag("status", ending.status), RunTag("why", ending.why[:_LONGEST])]
        self._client.log_batch(self._id, tags=tags)
        self._client.set_terminated(self._id, _STATUS.get(ending.status, "FAILED"))

    def _goes_on(self, identity: str) -> bool:
        """Returns whether the store has the run, which is then open again."""
        try:
            self._client.update_run(identity, status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def _experiment(self, name: str) -> str:
        """Returns the id of an experiment, which another run may make at the same time."""
        known = self._client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        try:
            return str(self._client.create_experiment(name))
        except MlflowException:
            known = self._client.get_experiment_by_name(name)
            if known is None:
                raise
            return str(known.experiment_id)


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yields the values of nested dicts by dotted key."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _key(text: str) -> str:
    """Returns a key of the characters that MLflow takes."""
    return re.sub(r"[^\w.\-/ ]", "_", text)[: _LONGEST // 2]


def _cut(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    left = iter(items)
    while some := list(itertools.islice(left, size)):
        yield some
