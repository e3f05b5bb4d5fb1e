"""Writes a run to Trackio: on this machine, or to the Space or server that its variables name."""

import uuid
from collections.abc import Sequence
from typing import Any

import trackio

from ldl_jax.trackers.writer import Ending, TrackedRow, TrackedRun


class TrackioWriter:
    """A run of Trackio. It is found by its name again, so the name ends in letters of its own."""

    def start(self, run: TrackedRun) -> str:
        """Opens the run, or goes on with the one of `run.id`."""
        name = run.id or f"{run.name}-{uuid.uuid4().hex[:6]}"
        self._run: Any = trackio.init(
            project=run.project,
            name=name,
            group=run.group or None,
            config={**run.config, "tags": list(run.tags), "workdir": str(run.folder)},
            resume="allow",
            embed=False,
        )
        return name

    def rows(self, rows: Sequence[TrackedRow]) -> None:
        """Logs each row as PART/NAME over the step."""
        for row in rows:
            self._last = row.step
            self._run.log(row.named, step=row.step)

    def end(self, ending: Ending) -> None:
        """Logs the figures, the table of results and the status, and finishes the run."""
        last: dict[str, Any] = {"status": ending.status}
        if ending.why:
            last["why"] = ending.why
        for path in ending.figures:
            last[f"figures/{path.stem}"] = trackio.Image(str(path))
        if ending.results:
            last["results"] = trackio.Table(columns=ending.columns, data=ending.cells)
        self._run.log(last, step=getattr(self, "_last", 0))
        self._run.finish()
