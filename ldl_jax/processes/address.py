"""Finds out which process this is, and where all meet, from flags, the environment or SLURM."""

import dataclasses
import re
from collections.abc import Mapping

# The flags, and the variable for each of them, by the names that JAX's users know. Below are the
# variables that `srun` sets in each of its tasks.
VARIABLES = {
    "coordinator": "JAX_COORDINATOR_ADDRESS",
    "processes": "JAX_NUM_PROCESSES",
    "process": "JAX_PROCESS_ID",
}
BIND = "JAX_COORDINATOR_BIND_ADDRESS"  # where process 0 listens, if not at the coordinator's host
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")


@dataclasses.dataclass(frozen=True)
class Address:
    """The index of a process among several, and where it meets the others.

    Attributes:
      host: where process 0 runs, as the others reach it.
      port: where it listens.
      count: how many processes there are.
      index: which one this is, from 0.
      bind: the address on which process 0 listens; "" for that of the host.
    """

    host: str
    port: int
    count: int
    index: int
    bind: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def find(
    coordinator: str | None,
    processes: int | None,
    process: int | None,
    environment: Mapping[str, str],
) -> Address | None:
    """Reads the address from the flags, else the environment, else SLURM; None for one process.

    Args:
      coordinator: HOST:PORT of process 0, None where the flag is not given.
      processes: how many there are, or None; 1 is one process alone, whatever the environment says.
      process: which one this is, or None.
      environment: the process's, as `os.environ`.

    Raises:
      ValueError: some but not all are given, or one cannot be.
    """
    if processes == 1 and process in (None, 0):
        return None
    flags = {"coordinator": coordinator, "processes": processes, "process": process}
    slurm, text = _of_slurm(environment), {}
    for name, flag in flags.items():
        given = environment.get(VARIABLES[name], "") if flag is None else str(flag)
        text[name] = given or slurm.get(name, "")
    missing = [name for name, value in text.items() if not value]
    if len(missing) == len(text):
        return None
    if missing:
        names = ", ".join(f"--{name} (or {VARIABLES[name]})" for name in missing)
        raise ValueError(
            f"several processes take --coordinator, --processes and --process; missing {names}"
        )
    return _checked(**text, bind=environment.get(BIND, ""))


def _checked(coordinator: str, processes: str, process: str, bind: str) -> Address | None:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(
            f"--coordinator: expected HOST:PORT of process 0, as node1:12345, got {coordinator!r}"
        )
    if not processes.isdecimal() or int(processes) < 1:
        raise ValueError(f"--processes: expected 1 or more, got {processes}")
    count = int(processes)
    if not process.isdecimal() or int(process) >= count:
        raise ValueError(f"--process: expected 0 to {count - 1} of {count}, got {process}")
    if count == 1:
        return None
    return Address(host.strip("[]"), int(port), count, int(process), _bound(bind, port))


def _bound(text: str, port: str) -> str:
    """Returns the host of HOST or HOST:PORT, whose port must be the coordinator's."""
    # An IPv6 address has colons of its own, and brackets where a port follows.
    ported = text.count(":") == 1 or re.fullmatch(r"\[.*\]:.*", text)
    host, _, own_port = text.rpartition(":") if ported else (text, "", port)
    if own_port != port:
        raise ValueError(f"{BIND}: expected HOST or HOST:{port}, got {text!r}")
    return host.strip("[]")


def _of_slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """Reads the flags' values in a task that `srun` started; empty elsewhere.

    The processes meet on the first node of the list, at a port that follows from the job's number.
    """
    job = {name: environment.get(name, "") for name in _SLURM}
    if not all(job.values()) or job["SLURM_STEP_NUM_TASKS"] == "1":
        return {}
    nodes = job["SLURM_STEP_NODELIST"]  # gpu1,gpu2 or gpu[001-004,7],cpu1 or a2-r[1-4]n[1-8]
    first = re.sub(r"\[([^],-]+)[^]]*\]", r"\1", re.split(r",(?![^\[]*\])", nodes)[0])
    port = 2**16 - 2**12 + int(job["SLURM_JOB_ID"]) % 2**12
    return {
        "coordinator": f"{first}:{port}",
        "processes": job["SLURM_STEP_NUM_TASKS"],
        "process": job["SLURM_PROCID"],
    }
