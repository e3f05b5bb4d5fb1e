"""Which process this is: flags before the environment, the environment before SLURM."""

import pytest

from ldl_jax.processes.address import Address, find

JAX = {
    "JAX_COORDINATOR_ADDRESS": "node9:1000",
    "JAX_NUM_PROCESSES": "4",
    "JAX_PROCESS_ID": "3",
}
SLURM = {
    "SLURM_JOB_ID": "5000",
    "SLURM_STEP_NODELIST": "gpu[07-09,12],cpu1",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_PROCID": "5",
}


def test_one_process_alone():
    assert find(None, None, None, {}) is None
    assert find(None, None, None, {"SLURM_JOB_ID": "5", "SLURM_PROCID": "0"}) is None  # no srun
    assert find(None, None, None, {**SLURM, "SLURM_STEP_NUM_TASKS": "1"}) is None
    assert find(None, 1, None, SLURM) is None
    assert find(None, 1, None, JAX) is None
    assert find("a:1", 1, 0, {}) is None


def test_flags():
    assert find("node1:1234", 2, 1, {}) == Address("node1", 1234, 2, 1)
    assert find("[fe80::1]:1234", 2, 0, {}) == Address("fe80::1", 1234, 2, 0)
    assert str(find("node1:1234", 2, 1, {})) == "node1:1234"


def test_the_environment_fills_in_what_the_flags_leave():
    assert find(None, None, None, JAX) == Address("node9", 1000, 4, 3)
    assert find(None, None, 0, JAX) == Address("node9", 1000, 4, 0)
    assert find("node1:1", 2, 0, {**JAX, **SLURM}) == Address("node1", 1, 2, 0)
    assert find(None, None, None, {**JAX, **SLURM}) == Address("node9", 1000, 4, 3)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[07-09,12],cpu1", "gpu07"),
        ("gpu[7,12]", "gpu7"),
        ("node1,node2", "node1"),
        ("node1", "node1"),
        ("a2-r[3-4]n[1-8]", "a2-r3n1"),
        ("rack1-[01-02]-ib,other", "rack1-01-ib"),
    ],
)
def test_slurm(nodes, first):
    found = find(None, None, None, {**SLURM, "SLURM_STEP_NODELIST": nodes})
    assert found == Address(first, 61440 + 5000 % 4096, 8, 5)
    assert find("other:7", None, None, SLURM) == Address("other", 7, 8, 5)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ((None, 2, 1), r"missing --coordinator \(or JAX_COORDINATOR_ADDRESS\)$"),
        (("a:1", 2, None), r"missing --process \(or JAX_PROCESS_ID\)$"),
        (("a:1", None, None), "missing --processes .* --process "),
        (("a", 2, 0), "--coordinator: expected HOST:PORT of process 0, .* got 'a'"),
        ((":1", 2, 0), "--coordinator: expected HOST:PORT"),
        (("a:port", 2, 0), "--coordinator: expected HOST:PORT"),
        (("a:70000", 2, 0), "--coordinator: expected HOST:PORT"),
        (("a:1", 0, 0), "--processes: expected 1 or more, got 0"),
        (("a:1", 2, 2), "--process: expected 0 to 1 of 2, got 2"),
        (("a:1", 2, -1), "--process: expected 0 to 1 of 2, got -1"),
    ],
)
def test_what_cannot_be(flags, line):
    with pytest.raises(ValueError, match=line):
        find(*flags, {})
