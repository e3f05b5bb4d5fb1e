"""The flags that say where runs are trained: in this process, or by workers of Ray or SLURM."""

import contextlib
import dataclasses
import os
import secrets
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
from absl import flags

from ldl_jax import extras, processes
from ldl_jax.files import write
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.workdir.folder import LOGS
from ldl_jax.workers import Launcher, SpreadStopped, Surroundings, UnitEnding, WorkUnit, spread

_LAUNCHER = flags.DEFINE_enum(
    "launcher", "local", ["local", "ray", "slurm"],
    "what trains the runs: this process, one after the other, or workers",
)  # fmt: skip
# A command that prepares data has a flag of this name for itself.
_WORKERS = flags.DEFINE_integer(
    "workers", 0, "runs at a time, of ray and slurm", allow_override=True
)
_ADDRESS = flags.DEFINE_string(
    "address", "", "of a Ray cluster, HOST:PORT or auto; this machine alone where none is given"
)
_CPUS = flags.DEFINE_float("cpus", None, "CPU cores a worker; an equal share of this machine's")
_GPUS = flags.DEFINE_float("gpus", None, "GPUs a worker; of Ray 1 where there are any")
_RETRIES = flags.DEFINE_integer("retries", 3, "new workers for a run whose worker has died")
# The options of a job, by submitit's names.
_SLURM = {
    "slurm_partition": flags.DEFINE_string("slurm.partition", None, "of the jobs"),
    "timeout_min": flags.DEFINE_integer(
        "slurm.time", 240, "minutes of a job; a run that takes longer goes on in another one"
    ),
    "slurm_account": flags.DEFINE_string("slurm.account", None, "of the jobs"),
    "slurm_qos": flags.DEFINE_string("slurm.qos", None, "of the jobs"),
    "slurm_constraint": flags.DEFINE_string("slurm.constraint", None, "on the machines"),
    "mem_gb": flags.DEFINE_float("slurm.memory", None, "GB of a job"),
}
_CLUSTER = flags.DEFINE_enum(
    "slurm.cluster", "slurm", ["slurm", "local"], "local tries it with processes of this machine"
)
_PACKAGES = {"ray": "ray", "slurm": "submitit"}
_TAKEN = ("JAX_", "XLA_", "TF_", "NVIDIA_")  # variables that a worker has from the driver
_FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"


class _Prepared(Launcher, Protocol):
    def prepare(self, surroundings: Surroundings) -> None: ...


class WorkersStopped(Interrupted):
    """A signal came to the driver, and the workers have saved what they were at."""

    def __init__(self, number: int, text: str) -> None:
        """Says the signal, and how far the units were."""
        super().__init__(number, 0)
        self.args = (f"stopped by {self.args[0].split()[2]}: {text}",)


@dataclasses.dataclass(frozen=True)
class WorkerPlan:
    """The workers that the flags ask for; `setup` are the arguments of `tasks.prepare`."""

    launcher: str
    count: int
    setup: dict[str, Any]

    @contextlib.contextmanager
    def ready(self, path: Path, log: Callable[[str], None]) -> Iterator["Crew"]:
        """Connects to what runs the workers, before anything is written; ends them at the end.

        Args:
          path: the folder of the command, which all workers see.
          log: takes lines for the user.

        Raises:
          ValueError: there is no such cluster, or it has not what a worker needs.
        """
        # JAX warns of a fork, but Ray and submitit start another program in it at once.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        launcher = self._launcher(path)
        try:
            log(f"workers: {self.count} of {self.launcher}; what they print: {path / LOGS}")
            yield Crew(self, launcher, path, log)
        finally:
            launcher.close()

    def _launcher(self, path: Path) -> _Prepared:
        if self.launcher == "ray":
            from ldl_jax.workers.on_ray import RayLauncher

            return RayLauncher(self.count, _ADDRESS.value, _CPUS.value, _GPUS.value)
        from ldl_jax.workers.on_slurm import SlurmLauncher

        options = {key: flag.value for key, flag in _SLURM.items() if flag.value is not None}
        options |= {"cpus_per_task": int(_CPUS.value)} if _CPUS.value else {}
        options |= {"gpus_per_node": int(_GPUS.value)} if _GPUS.value else {}
        return SlurmLauncher(path / LOGS / "jobs", {"name": "ldl", **options}, _CLUSTER.value)


@dataclasses.dataclass(frozen=True)
class Crew:
    """WorkerPlan that can be given units, below the folder `path`."""

    workers: WorkerPlan
    launcher: _Prepared
    path: Path
    log: Callable[[str], None]

    def run(
        self,
        units: Sequence[WorkUnit],
        interrupt: Interrupt,
        ended: Callable[[WorkUnit, UnitEnding], None] = lambda unit, ending: None,
    ) -> None:
        """Has units done; `interrupt` stops them, `ended` is told of each.

        Raises:
          UnitsFailed: some failed, and the others are done.
          WorkersStopped: a signal came; the same command goes on from there.
          ValueError: the workers cannot be used.
        """
        if not units:
            return
        word = self.path / LOGS / f".seen-{secrets.token_hex(8)}"
        write(word, word.name)
        try:
            self.launcher.prepare(_surroundings(word, self.workers.setup))
            spread(
                units,
                self.launcher,
                workers=self.workers.count,
                retries=_RETRIES.value,
                log=self.log,
                stop=lambda: interrupt.check() is not None,
                ended=ended,
            )
        except SpreadStopped as stop:
            assert interrupt.number is not None
            raise WorkersStopped(interrupt.number, str(stop)) from None
        finally:
            word.unlink(missing_ok=True)


def wanted(cache: str = "", *, smoke: bool = False) -> WorkerPlan | None:
    """Returns the workers that the flags ask for; None where this process trains.

    The driver of workers computes on its CPU, to leave them the GPUs.

    Args:
      cache: the folder of compiled programs, "" for none.
      smoke: whether programs are to be compiled quickly.

    Raises:
      ValueError: all that is wrong with the flags; the launcher's package is not installed.
    """
    values = flags.FLAGS
    if _LAUNCHER.value == "local":
        others = ["workers", "address", "cpus", "gpus", "retries", *_of_slurm()]
        if present := [f"--{name}" for name in others if values[name].present]:
            raise ValueError(f"{', '.join(present)}: for --launcher=ray or --launcher=slurm alone")
        return None
    if faults := _faults():
        raise ValueError("; and ".join(faults))
    jax.config.update("jax_platforms", "cpu")
    obeyed = [
        f"--{name}={values[name].value}"
        for name in ("require",)
        if name in values and values[name].value
    ]
    obeyed += [f"--verbosity={values.verbosity}"] if values["verbosity"].present else []
    setup = {"command": sys.argv, "obeyed": obeyed, "cache": cache, "smoke": smoke}
    return WorkerPlan(_LAUNCHER.value, _WORKERS.value, setup)


def _faults() -> list[str]:
    """Returns all that is wrong with the flags of workers."""
    values, launcher, faults = flags.FLAGS, _LAUNCHER.value, []
    if missing := extras.missing(_PACKAGES[launcher], f"--launcher={launcher}", launcher):
        faults.append(missing)
    if _WORKERS.value < 1:
        said = f"got {_WORKERS.value}" if values["workers"].present else "and none is given"
        faults.append(f"--workers: expected 1 or more runs at a time, as --workers=2, {said}")
    for name, least in (("cpus", 1), ("gpus", 0), ("retries", 0), ("slurm.time", 1)):
        value = values[name].value
        if value is not None and not least <= value < float("inf"):
            faults.append(f"--{name}: expected {least} or more, got {value:g}")
        elif launcher == "slurm" and name in ("cpus", "gpus") and value is not None and value % 1:
            faults.append(f"--{name}: SLURM has whole ones, got {value:g}")
    of_others = ["address"] if launcher == "slurm" else _of_slurm()
    present = [f"--{name}" for name in of_others if values[name].present]
    if present:
        faults.append(f"{', '.join(present)}: not for --launcher={launcher}")
    if processes.count() > 1:
        faults.append("--launcher: the driver of workers is one process, and these are several")
    return faults


def _of_slurm() -> list[str]:
    return [name for name in flags.FLAGS if name.startswith("slurm.")]


def _surroundings(seen: Path, setup: dict[str, Any]) -> Surroundings:
    """Returns what of this process a worker takes over."""
    environment = {key: x for key, x in os.environ.items() if key.startswith(_TAKEN)}
    if _GPUS.value and _GPUS.value < 1:  # several workers share one
        environment.setdefault(_FRACTION, f"{0.9 * _GPUS.value:.2f}")
    return Surroundings(
        folder=os.getcwd(),
        search=tuple(os.path.abspath(folder) for folder in sys.path),
        environment=environment,
        setup="ldl_jax.run.tasks:prepare",
        arguments=setup,
        seen=(seen.absolute(), seen.name),
    )
