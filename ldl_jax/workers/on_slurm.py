"""Launches units through SLURM by submitit: a job a unit."""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, UncompletedJobError

from ldl_jax.workers.supervisor import run_once
from ldl_jax.workers.units import DIED, Surroundings, UnitEnding, WorkUnit

# Seconds from one look at the jobs to the next; SLURM is asked seldom.
_LOOK = {"slurm": 2.0, "local": 0.1}


class SlurmLauncher:
    """Has each unit done by a job of its own, which another one follows where it is killed."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any], cluster: str = "slurm") -> None:
        """Checks that jobs can be submitted, and what they are to ask for.

        Args:
          folder: for the files of the jobs; every machine sees it.
          parameters: of the jobs, by submitit's names.
          cluster: "slurm"; "local" has processes of this machine in the place of jobs.

        Raises:
          ValueError: there is no SLURM here, or it knows no such parameter.
        """
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise ValueError(
                "--launcher=slurm: SLURM is not found here, for there is no sbatch on the path; "
                "call the command on a machine that submits jobs"
            )
        self._folder, self._parameters, self._cluster = folder, parameters, cluster
        self._jobs: dict[str, submitit.Job[UnitEnding]] = {}
        self._surroundings: Surroundings | None = None
        self._stopping = False

    def prepare(self, surroundings: Surroundings) -> None:
        """Takes what each worker is given once; it comes before the first unit."""
        self._surroundings = surroundings
        # The job looks there for this module, as the process that it starts does for others.
        os.environ["PYTHONPATH"] = os.pathsep.join(surroundings.search)
        self._executor = submitit.AutoExecutor(self._folder, cluster=self._cluster)
        try:
            self._executor.update_parameters(**self._parameters)
        except (NameError, TypeError, ValueError) as error:
            raise ValueError(f"--slurm: {' '.join(str(error).split())}") from None

    def start(self, unit: WorkUnit) -> None:
        """Submits the job of a unit."""
        assert self._surroundings is not None, "prepare comes first"
        self._jobs[unit.name] = self._executor.submit(run_once, self._surroundings, unit)

    def wait(self, seconds: float) -> list[tuple[str, UnitEnding]]:
        """Returns the units whose jobs have ended."""
        end = time.monotonic() + seconds
        while not (ended := self._ended()) and time.monotonic() < end:
            time.sleep(_LOOK[self._cluster])
        return [(name, _ending(self._jobs.pop(name))) for name in ended]

    def _ended(self) -> list[str]:
        """Returns the names of the units whose jobs have ended."""
        # SLURM's word of a job that leaves no result is minutes old, unless it is asked for.
        return [n for n, job in self._jobs.items() if job.done(force_check=self._stopping)]

    def stop(self) -> None:
        """Cancels the jobs, which have their units saved before SLURM kills them."""
        self._stopping = True
        for job in self._jobs.values():
            job.cancel(check=False)

    def close(self) -> None:
        """Cancels what is left of the jobs."""
        self.stop()


def _ending(job: "submitit.Job[UnitEnding]") -> UnitEnding:
    """Returns how a job's unit has ended, by what the job left or by what SLURM says of it."""
    try:
        return job.result()
    except (FailedJobError, UncompletedJobError):
        return UnitEnding(DIED, f"job {job.job_id} ended as {job.state} without a result")
