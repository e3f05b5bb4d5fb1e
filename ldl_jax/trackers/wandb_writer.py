"""Writes a run to Weights & Biases, online or (WANDB_MODE=offline) into the run's folder."""

import inspect
import uuid
from collections.abc import Sequence
from typing import Any

import wandb

from ldl_jax.trackers.writer import Ending, TrackedRow, TrackedRun

_EXIT = {"finished": 0, "pruned": 0, "interrupted": 255}  # 1 for others


class WandbWriter:
    """A run of wandb; the key is the one that `wandb login` or WANDB_API_KEY gives."""

    def start(self, run: TrackedRun) -> str:
        """Opens the run, or goes on with the one of `run.id`.

        Raises:
          ValueError: no key is known, and the run is not offline.
        """
        _check_key()
        settings = wandb.Settings(console="off", silent=True)
        self._run: Any = wandb.init(
            project=run.project,
            group=run.group or None,
            name=run.name,
            tags=list(run.tags),
            config=dict(run.config),
            dir=str(run.folder),
            id=run.id or uuid.uuid4().hex[:12],
            resume="allow",
            reinit="create_new",  # a sweep may have several at once
            settings=settings,
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        return str(self._run.id)

    def rows(self, rows: Sequence[TrackedRow]) -> None:
        """Logs each row as PART/NAME over the step."""
        for row in rows:
            self._run.log({"step": row.step, **row.named})

    def end(self, ending: Ending) -> None:
        """Logs the figures and the table of results, and finishes the run."""
        if ending.results:
            table = wandb.Table(columns=ending.columns, data=ending.cells)
            self._run.log({"results": table})
        for path in ending.figures:
            self._run.log({f"figures/{path.stem}": wandb.Image(str(path))})
        self._run.summary.update({"status": ending.status, "why": ending.why})
        self._run.finish(exit_code=_EXIT.get(ending.status, 1))


def _check_key() -> None:
    """Raises ValueError where wandb would ask for a key on the terminal."""
    if wandb.setup().settings.mode in ("offline", "disabled", "dryrun"):
        return
    # Newer versions can look for a key without asking for one; older ones have an attribute.
    if "prompt" in inspect.signature(wandb.login).parameters:
        known = wandb.login(prompt=False)
    else:
        known = wandb.api.api_key
    if not known:
        raise ValueError("no key is known; wandb login, WANDB_API_KEY=..., or WANDB_MODE=offline")
