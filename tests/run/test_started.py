"""A run's folder says by which commands it was started, and with which versions."""

import json

import jax
import pytest

from ldl_jax.run import started
from ldl_jax.workdir import WorkdirError


def test_each_different_start_is_kept_once(tmp_path, monkeypatch):
    commands = [["/x/launch/main.py", "--workdir=a b"], ["/bin/ldl-train", "--config=c.py"]]
    for arguments in (*commands, commands[0], commands[1]):
        monkeypatch.setattr("sys.argv", arguments)
        (tmp_path / started.NAME).write_bytes(started.dumped(tmp_path))
    starts = json.loads((tmp_path / started.NAME).read_text())
    assert [start["command"] for start in starts] == [
        "python -m launch.main '--workdir=a b'",
        "ldl-train --config=c.py",
    ]
    assert starts[0]["versions"]["jax"] == jax.__version__
    assert starts[0]["device"].startswith(f"{jax.device_count()} x ")


@pytest.mark.parametrize("content", ["{}", "3", "[", "[" * 100_000])
def test_a_damaged_file_is_one_line_and_stays(tmp_path, content):
    (tmp_path / started.NAME).write_text(content)
    with pytest.raises(WorkdirError, match=r"started\.json") as failed:
        started.dumped(tmp_path)
    assert "\n" not in str(failed.value)
    assert (tmp_path / started.NAME).read_text() == content
