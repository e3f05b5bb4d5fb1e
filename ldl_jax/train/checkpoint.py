"""Saves a generation's checkpoints in the background, and reads the newest one that can be read.

A checkpoint is a folder named by its step, with the arrays in `state` and the record in `about`.
"""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

from ldl_jax import files, processes
from ldl_jax.train.intact import (
    DamageError,
    LogLine,
    UnfitError,
    check_seal,
    digest,
    newest,
    reason_of,
    seal_of,
)
from ldl_jax.train.record import Record
from ldl_jax.train.stored import Arrays, read, read_step, read_weights, renamed

__all__ = ["Arrays", "CheckpointError", "Checkpoints", "read", "read_step", "read_weights"]
State = TypeVar("State")


class Checkpoints:
    """The last checkpoints of a generation, each a state with its record.

    A checkpoint appears under its step all at once, after it is wholly written, so a kill leaves
    the ones before it as they were. A seal beside it, STEP.sha256, tells damage at rest, which
    Orbax does not always see. Several processes write one checkpoint together, and process 0 its
    seal.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder.absolute()
        # A generation's last and its best checkpoints are saved at the same time, so that their
        # barriers need different names.
        barriers = ocp.options.MultiprocessingOptions(barrier_sync_key_prefix=self.folder.name)
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, multiprocessing_options=barriers)
        self._manager = ocp.CheckpointManager(
            self.folder, options=options, item_names=("state", "about")
        )
        self._sealing: threading.Thread | None = None
        self._failed = threading.Event()

    def save(self, step: int, state: object, about: Record) -> None:
        """Saves a state, a tree of arrays, in the background.

        Raises:
          CheckpointError: it cannot be written, or the one before it could not.
        """
        self.wait()
        arrays, record = ocp.args.StandardSave(state), ocp.args.JsonSave(about.to_json())
        with self._writing():
            self._manager.save(step, args=ocp.args.Composite(state=arrays, about=record))
        if processes.primary():
            # A daemon, since a save that fails leaves it nothing to wait for.
            self._sealing = threading.Thread(target=self._seal, args=(step,), daemon=True)
            self._sealing.start()

    def steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, latest first."""
        return processes.broadcast(sorted(self._manager.all_steps(), reverse=True))

    def rewind(self, step: int) -> None:
        """Removes the checkpoints after a step."""
        for later in [saved for saved in self.steps() if saved > step]:
            self.remove(later)

    def restore(self, like: State, log: LogLine) -> State | None:
        """Returns the latest state that can be read, or None.

        A damaged checkpoint is named, removed, and the one before it is taken.

        Args:
          like: a state of the same shapes and dtypes, and of the shardings that are wanted.
          log: takes one line of text for the user.

        Raises:
          UnfitError: a checkpoint is as it was written, but not of a state like this one.
        """
        self.wait()
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)

        def read(path: Path) -> State:
            intact = False
            try:
                intact = check_seal(path, shared=True)
                if not intact:
                    log(f"checkpoint {path} has no seal: it is taken as it is")
                return self._restored(int(path.name), abstract)
            except DamageError:
                raise
            except Exception as error:  # Orbax and its storage raise many kinds for damage
                # One that is intact may not be removed; and where there are several processes, the
                # others may see no fault, and wait for this one.
                if not intact and processes.count() == 1:
                    raise
                remedy = "" if intact else "; remove it to go on from the one before it"
                raise UnfitError(
                    f"checkpoint {path} cannot be restored: {reason_of(error)}{remedy}"
                ) from error

        return newest([self.folder / str(step) for step in self.steps()], read, log, self.remove)

    def remove(self, step: int) -> None:
        """Removes a step's checkpoint and its seal."""
        self._manager.delete(step)
        if processes.primary():
            seal_of(self.folder / str(step)).unlink(missing_ok=True)

    def _restored(self, step: int, abstract: Any) -> Any:
        """Returns a state; what is optional in it is None where an older checkpoint lacks it."""
        stored = ocp.PyTreeCheckpointHandler().metadata(self.folder / str(step) / "state").tree
        kind, fields = type(abstract), abstract
        if optional := getattr(kind, "_field_defaults", None):
            fields = {
                name: value
                for name, value in abstract._asdict().items()
                if name in stored or name not in optional
            }
        old = "trunk" in stored.get("weights", {}).get("params", {})
        if old:
            fields = renamed(fields, "backbone", "trunk")
        args = ocp.args.Composite(state=ocp.args.StandardRestore(fields))
        state = self._manager.restore(step, args=args)["state"]
        if old:
            state = renamed(state, "trunk", "backbone")
            if watch := state.get("watch"):  # its units are in the order of the old names
                state["watch"] = watch._replace(idle=0 * watch.idle)
        return kind(**state) if optional else state

    def wait(self) -> None:
        """Waits until all that was saved is on disk and sealed; removes seals without checkpoints.

        Raises:
          CheckpointError: what was saved last could not be written.
        """
        with self._writing():
            self._manager.wait_until_finished()
        if self._sealing is not None:
            self._sealing.join()
            self._sealing = None
        if processes.primary():
            files.remove_partial(self.folder)
            for seal in self.folder.glob("*.sha256"):
                if not seal.with_suffix("").exists():
                    seal.unlink(missing_ok=True)

    def close(self) -> None:
        """Waits, then lets go of the folder."""
        self.wait()
        self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns what fails inside into a CheckpointError that names the last good checkpoint."""
        try:
            yield
        except Exception as error:  # Orbax and its storage raise many kinds
            self._failed.set()
            reason = reason_of(error)
            if "No space left" in str(error):  # which storage says at length
                reason = "No space left on device"
            steps = sorted(self._manager.all_steps(), reverse=True)  # the others may be elsewhere
            good = [path for step in steps if (path := self.folder / str(step)).exists()]
            last = f"the last good one is {good[0]}" if good else "there is none"
            raise CheckpointError(
                f"a checkpoint cannot be written to {self.folder} ({reason}); {last}; make room, "
                "or mend what is wrong with the disk, and run the same command again"
            ) from error

    def _seal(self, step: int) -> None:
        """Seals a checkpoint once it appears; without room for the seal it stays without."""
        path = self.folder / str(step)
        while not path.exists():
            if self._failed.wait(0.02):
                return
        with contextlib.suppress(OSError):
            files.write(seal_of(path), digest(path))


class CheckpointError(ValueError):
    """A checkpoint cannot be written; the message names the last good one."""
