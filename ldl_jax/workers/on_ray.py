"""Launches units through Ray: an actor a worker, on this machine or on a cluster."""

import contextlib
import logging
import os
import socket
from typing import Any

import ray

from ldl_jax.workers.supervisor import Supervisor
from ldl_jax.workers.units import DIED, Surroundings, UnitEnding, WorkUnit

_STORE = 100_000_000  # bytes of Ray's object store, through which nothing of size goes
_CONNECT = 5.0  # seconds that a cluster gets to answer
_CLOSE = 15.0  # seconds that workers get to end


class RayLauncher:
    """Has units done by actors of Ray, each with a process of its own that computes."""

    def __init__(
        self,
        workers: int,
        address: str = "",
        cpus: float | None = None,
        gpus: float | None = None,
    ) -> None:
        """Starts Ray on this machine, or connects to a cluster.

        Args:
          workers: how many are to run at a time.
          address: of a cluster, as HOST:PORT or "auto"; "" for this machine alone.
          cpus: of each worker, None for an equal share of this machine's, or 1 of a cluster's.
          gpus: of each worker, None for 1 where there are any.

        Raises:
          ValueError: there is no cluster, or it never has what a worker needs.
        """
        self._actors: dict[Any, str] = {}  # by their units' references, with the units' names
        self._of: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._surroundings: Surroundings | None = None
        cores = _cores()
        if cpus is None:
            cpus = 1.0 if address else float(max(1, cores // workers))
        self._cpus, self._gpus = cpus, gpus or 0.0
        about = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
        # Ray only counts CPUs: its actors are not bound to some of them.
        local = {"num_cpus": max(cores, workers), "object_store_memory": _STORE}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers
        # No GPU is shown to a worker that asks for none.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
        if address:
            _check_answers(address)
        try:
            ray.init(address=address or "local", **about, **({} if address else local))
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ValueError(f"--address={address}: {' '.join(str(error).split())}") from None
        try:
            self._check_resources(gpus)
        except ValueError:
            ray.shutdown()
            raise

    def prepare(self, surroundings: Surroundings) -> None:
        """Takes what each worker is given once; it comes before the first unit."""
        self._surroundings = surroundings

    def start(self, unit: WorkUnit) -> None:
        """Hands a unit to a worker that is idle, or to a new one."""
        actor = self._idle.pop() if self._idle else self._new()
        reference = actor.run.remote(unit)
        self._actors[reference], self._of[reference] = unit.name, actor

    def wait(self, seconds: float) -> list[tuple[str, UnitEnding]]:
        """Returns the units that have ended; a worker that died is not used again."""
        ready, _ = ray.wait([*self._actors], num_returns=1, timeout=seconds)
        ended = []
        for reference in ready:
            name, actor = self._actors.pop(reference), self._of.pop(reference)
            try:
                ending: UnitEnding = ray.get(reference)
                self._idle.append(actor)
            except ray.exceptions.RayError as error:
                ending = UnitEnding(DIED, f"{type(error).__name__}: {str(error).splitlines()[0]}")
            ended.append((name, ending))
        return ended

    def stop(self) -> None:
        """Asks all workers to save what they are at."""
        for actor in self._of.values():
            actor.stop.remote()

    def close(self) -> None:
        """Ends the workers, and Ray on this machine or the connection to the cluster."""
        ends = [actor.close.remote() for actor in (*self._idle, *self._of.values())]
        with contextlib.suppress(ray.exceptions.RayError):
            ray.wait(ends, num_returns=len(ends), timeout=_CLOSE) if ends else None
        ray.shutdown()

    def _new(self) -> Any:
        options = {"num_cpus": self._cpus, "num_gpus": self._gpus, "max_restarts": 0}
        # A second thread takes `stop` while `run` waits for the process.
        actor = ray.remote(Supervisor).options(max_concurrency=2, **options)
        return actor.remote(self._surroundings)

    def _check_resources(self, gpus: float | None) -> None:
        """Settles a worker's GPUs, and checks that some machine has what a worker needs."""
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if gpus is None:
            self._gpus = 1.0 if any(machine.get("GPU", 0) for machine in machines) else 0.0
        for flag, key, count in (("cpus", "CPU", self._cpus), ("gpus", "GPU", self._gpus)):
            most = max((machine.get(key, 0) for machine in machines), default=0)
            if count > most:
                raise ValueError(
                    f"--{flag}: no machine has {count:g} {key}s for a worker; the largest has "
                    f"{most:g}"
                )


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _check_answers(address: str) -> None:
    """Raises ValueError where nothing listens at HOST:PORT, which Ray would wait for."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal():
        raise ValueError(f"--address: expected HOST:PORT of a Ray cluster or auto, got {address!r}")
    try:
        socket.create_connection((host, int(port)), _CONNECT).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"--address: no Ray cluster answers at {address} ({error}); start one with 'ray start "
            "--head', or leave --address out for this machine alone"
        ) from None
