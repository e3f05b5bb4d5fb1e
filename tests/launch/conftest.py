"""Starts the command in several processes, as a user does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ldl_jax.processes.address import Address
from ldl_jax.processes.listening import free_port

ROOT = Path(__file__).parents[2]
_GLOO = re.compile(r"\[Gloo\]|connected to|peer ranks|^[\d\s]*$")
_PATIENCE = 600.0  # seconds, for machines that do much else
Ended = tuple[int, str, str, float]


@pytest.fixture(scope="session")
def two_processes() -> Callable[..., list[Ended]]:
    """Gives `two_processes(workdir, *flags, **environment)`, which runs two of 4 devices each.

    It returns of both the exit code, what was printed to either stream, and when the process ended.
    A name in the environment that ends in _1 is set for process 1 alone, without that end.
    """
    return _two_processes


def _two_processes(workdir: Path, *given: str, **environment: str) -> list[Ended]:
    port, started = free_port(Address("127.0.0.1", 0, 2, 0)), []
    for index in (0, 1):
        own = {
            name.removesuffix("_1"): value
            for name, value in environment.items()
            if index == 1 or not name.endswith("_1")
        }
        started.append(
            subprocess.Popen(
                [
                    sys.executable,
                    "tests/launch/tiny_command.py",
                    *given,
                    f"--workdir={workdir}",
                    f"--coordinator=127.0.0.1:{port}",
                    "--processes=2",
                    f"--process={index}",
                ],
                cwd=ROOT,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "XLA_FLAGS": "--xla_force_host_platform_device_count=4 "
                    "--xla_backend_optimization_level=0",
                    "CACHE": str(workdir.with_name("compiled")),
                    **own,
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    ended: dict[int, float] = {}
    deadline = time.monotonic() + _PATIENCE
    while len(ended) < 2:
        # One time for both: process 0, which is asked first, may end because of process 1.
        now = time.monotonic()
        for index, process in enumerate(started):
            if index not in ended and process.poll() is not None:
                ended[index] = now
            elif now > deadline:
                process.kill()  # they wait for one another for ever
        time.sleep(0.05)
    results = []
    for index, process in enumerate(started):
        printed, errors = process.communicate()
        assert process.returncode is not None
        texts = [_without_gloo(text) for text in (printed, errors)]
        results.append((process.returncode, *texts, ended[index]))
    return results


def _without_gloo(text: str) -> str:
    """Returns a text without what JAX's operations between CPUs print about their connections.

    Each of the devices' threads prints in pieces, which may come between those of another.
    """
    return "".join(line for line in text.splitlines(keepends=True) if not _GLOO.search(line))
