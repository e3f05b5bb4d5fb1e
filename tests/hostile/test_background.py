"""Background writers that fail, as on a full disk: one line each, and the command's is the last."""

import subprocess
import sys
import textwrap

import pytest

from ldl_jax.workdir import Workdir

PROGRAM = """
    import threading
    from absl import flags
    from ldl_jax.run.command import fail, quiet, start

    class Broken:
        def __del__(self):
            raise OSError("No space left on device (in a destructor)")

    kept = Broken()

    def write():
        raise OSError("No space left\\non device")

    def main(arguments):
        quiet()
        for _ in range(50):
            thread = threading.Thread(target=write)
            thread.start()
            thread.join()
        Broken()
        fail("the disk is full")

    if __name__ == "__main__":
        start(main)
"""


def test_fifty_failing_threads_are_one_line_and_ours_is_the_last():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "warning: in the background: OSError: No space left on device",
        "warning: in the background: OSError: No space left on device (in a destructor)",
        "error: the disk is full",
    ]


def test_events_that_cannot_be_written_fail_where_they_are_written(tmp_path, monkeypatch):
    """TensorBoard's own thread would die alone, and the run would wait for it for ever."""
    row = {"kind": "train", "generation": 1, "step": 1, "total_step": 1, "loss": 1.0}
    with Workdir(tmp_path / "run", {}) as opened:
        opened.start_metrics(1, 0)
        opened.write(row)

        def full(event):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(opened._files[1]._writer, "write_event", full)
        with pytest.raises(OSError, match="No space left on device"):
            opened.write(row)
    with Workdir(tmp_path / "run", {}):  # the lock is gone
        pass
