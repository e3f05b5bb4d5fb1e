"""Writes scalars for TensorBoard, in the thread that asks for it, so that it fails there too.

tensorboardX is an extra. Where it is not installed nothing is written; `left_out` says so.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldl_jax import extras

_SECONDS = 30.0  # between flushes to the disk
_NEEDED = ("tensorboardX", "writing files for TensorBoard", "tensorboard")


def left_out() -> str:
    """Says that nothing is written and what would change that; "" where it is written."""
    return extras.missing(*_NEEDED)


class Events:
    """A file of scalars that TensorBoard shows from a step on; earlier files' later ones are gone.

    Args:
      folder: of the files; it is made where there is none.
      step: the first step to come.
      name: the end of the file's name, which begins with the time in seconds.
    """

    def __init__(self, folder: Path, step: int, name: str) -> None:
        self._writer: Any = None
        if left_out():
            return
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"), name)
        self._flushed = time.monotonic()
        self._write(Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def scalar(self, name: str, value: float, step: int) -> None:
        """Writes a scalar of a step."""
        if self._writer is None:
            return
        from tensorboardX import summary
        from tensorboardX.proto.event_pb2 import Event

        self._write(Event(step=step, summary=summary.scalar(name, value)))

    def row(self, row: Mapping[str, Any], speed: float | None) -> None:
        """Writes the scalars of a row of metrics.jsonl, and the speed in images/s."""
        for name, value in row.items():
            if isinstance(value, float):
                self.scalar(f"{row['kind']}/{name}", value, row["total_step"])
        if speed is not None:
            self.scalar("train/images_per_second", speed, row["total_step"])

    def close(self) -> None:
        """Brings all of it onto the disk, and closes the file."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
        if time.monotonic() - self._flushed > _SECONDS:
            self._writer.flush()
            self._flushed = time.monotonic()
