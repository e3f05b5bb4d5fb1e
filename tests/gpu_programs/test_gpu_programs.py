"""The training and inference programs, compiled for a GPU on a machine without one.

They are skipped without the extra `gpu-programs`. After a change that is meant to change them,

    python -m benchmarks.gpu_programs --quick --write

writes the committed table anew.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[2]
TRAINING = ("resnet10_tiny 64 bfloat16 train", "ssrnet 64 bfloat16 train")
PROGRAMS = (*TRAINING, "resnet10_tiny 64 bfloat16 infer")


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The facts of each program, compiled without the tests' flags for XLA."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        from benchmarks import gpu_target

        if reason := gpu_target.missing():
            pytest.skip(reason)
    file = tmp_path_factory.mktemp("programs") / "table.json"
    environment = {k: x for k, x in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-m", "benchmarks.gpu_programs", "--quick", "--write", str(file)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=900)
    return json.loads(file.read_text())[jax.__version__]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_network_convolves_in_bfloat16(programs, name):
    assert set(programs[name]["convolutions"]) == {"bf16"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_never_calls_the_host(programs, name):
    assert programs[name]["host_calls"] == []


@pytest.mark.parametrize("name", TRAINING)
def test_a_step_takes_the_state_s_own_memory(programs, name):
    assert programs[name]["given_up"] == programs[name]["state"] > 0


@pytest.mark.parametrize("name", TRAINING)
def test_the_number_of_steps_of_a_call_is_known(programs, name):
    """Without it XLA waits for the device before each step."""
    assert programs[name]["steps_known"] == 16


@pytest.mark.parametrize("name", PROGRAMS)
def test_kernels_and_bytes_are_those_of_the_table(programs, name):
    table = json.loads((ROOT / "benchmarks/gpu_programs.json").read_text())
    if jax.__version__ not in table:
        pytest.skip(f"the table has no programs of jax {jax.__version__}; write them as told above")
    for key in ("kernels", "megabytes", "gigaflops"):
        assert programs[name][key] == pytest.approx(table[jax.__version__][name][key], rel=0.03)
