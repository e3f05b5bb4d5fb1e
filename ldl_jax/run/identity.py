"""Compares a folder's run with the one that would go on in it, key by key.

`CHANGES` and `UNCHANGED` together name every key of a config: whether it changes a run's numbers.
A key stands for all keys below it.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ldl_jax.data.records import Records
from ldl_jax.data.splits import hashes_file, split_file
from ldl_jax.data.splits.protocols import Parts
from ldl_jax.run.config import completed
from ldl_jax.run.reading import Content
from ldl_jax.workdir import Admit, WorkdirError, differences, read_results

# Another value gives other numbers, so a run cannot go on with it.
CHANGES = (
    *("seed", "batch_size", "epochs", "best", "use", "accumulate", "precision"),
    *("data.name", "data.options", "data.test.name", "data.test.options", "data.space"),
    *("data.size", "data.crop", "data.square", "data.stored_size", "data.channels"),
    *("data.mean", "data.std"),
    *("data.alignment", "data.protocol", "data.fold", "data.leaks", "data.test_fraction"),
    *("data.validation_fraction", "data.seed", "data.synthetic_count"),
    *("augment", "model", "method", "optimizer"),
    *("init.head", "init.freeze", "init.frozen_blocks", "init.backbone_rate", "init.layer_decay"),
    "chain.student",
    *("init.features", "init.features_views", "init.teachers"),
    *("evaluation.flip", "evaluation.crops", "evaluation.every", "evaluation.distributions"),
    *("faults.not_finite", "faults.in_a_row"),
)
# A run goes on with another value. Where the pictures, the split or the first weights lie and how
# they were chosen is among these: what they are is compared itself, under "resolved".
UNCHANGED = (
    *("log_every", "checkpoint_every", "keep", "steps_per_call", "mesh", "log"),
    *("data.root", "data.csv", "data.test.root", "data.test.csv", "data.split_file"),
    *("data.columns", "data.test.columns"),
    *("data.audit", "data.unreadable", "data.feed", "data.memory_gb"),
    *("init.path", "init.strict", "init.features_cache", "chain.generations", "chain.early_end"),
    *("evaluation.batch_size", "faults.spike", "faults.dead_after"),
)
# Keys that say how long and how a network is trained: a finished run's can be trained further.
_TRAINING = ("epochs", "batch_size", "accumulate", "optimizer", "augment")
_SHOWN = 3  # examples of pictures


def changes_numbers(key: str) -> bool:
    """Returns whether another value of a config's key, as "data.root", changes a run's numbers."""
    return not _below(key, UNCHANGED)


def admission(records: Records, parts: Parts, key: str = "") -> Admit:
    """Returns the check of a folder's description against a run's, for `Workdir`.

    Args:
      records: what the run reads, to say which pictures or labels are others than the folder's.
      parts: its split.
      key: where the config has the run, "stages.NAME." or "".
    """

    def admit(path: Path, old: Content, new: Content) -> None:
        try:
            saved = completed(old)
        except ValueError as error:
            raise WorkdirError(f"{path / 'config.json'}: {error}") from None
        _check_config(path, saved, new, key)
        _check_data(path, saved.get("resolved", {}), new.get("resolved", {}), records, parts)

    return admit


def harmless(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Lists the differences of two descriptions that change no number, as "a.b: old -> new"."""
    plain = json.loads(json.dumps(new))
    changes = differences(_config(completed(dict(old))), _config(plain))
    return [text for text in changes if not changes_numbers(_key(text))]


def _check_config(path: Path, saved: Content, new: Content, key: str) -> None:
    """Raises WorkdirError where a key that changes the numbers has another value."""
    differing = differences(_config(saved), _config(new))
    changes = [text for text in differing if changes_numbers(_key(text))]
    changes += _other_weights(saved, new)
    taught = {x.get("resolved", {}).get("teachers", "") for x in (saved, new)} - {""}
    changes += ["init.teachers: hold other weights than before"] * (len(taught) > 1)
    if not changes:
        return
    further = ""
    trained = all(_below(_key(text), _TRAINING) for text in changes)
    if trained and read_results(path):
        further = (
            f"; the run is finished: to train its network further, give another --workdir, "
            f"--config.{key}init.path={path} and --config.{key}init.head=true"
        )
    raise WorkdirError(
        f"workdir: {path} holds another config's run ({'; '.join(changes)}); "
        f"give another --workdir, or that config again to go on{further}"
    )


def _other_weights(saved: Content, new: Content) -> list[str]:
    """Says that a run began with other weights: by what they are, or else where they lie."""
    if "resolved" in new and "pictures" not in new["resolved"]:
        return []  # they are not read yet
    old_hash, new_hash = (x.get("resolved", {}).get("weights") for x in (saved, new))
    old_path, new_path = (str(x.get("init", {}).get("path", "")) for x in (saved, new))
    if old_hash and new_hash:
        return ["init.path: holds other weights than before"] * (old_hash != new_hash)
    real_paths = [os.path.realpath(text) if text else "" for text in (old_path, new_path)]
    return [] if real_paths[0] == real_paths[1] else [f"init.path: {old_path!r} -> {new_path!r}"]


def _check_data(path: Path, old: Content, new: Content, records: Records, parts: Parts) -> None:
    """Raises WorkdirError where the data is not what the folder's run has seen."""
    changes = []
    if "split" in old and "split" in new and old["split"] != new["split"]:
        changes += data_changes(path / "split.json", records, parts)
    if "space" in old and "space" in new and old["space"] != new["space"]:
        changes.append(f"label space: {_space(old['space'])} -> {_space(new['space'])}")
    if "votes" in old and "votes" in new and old["votes"] != new["votes"]:
        changes.append("other votes on the training pictures")
    if not changes and "pictures" in old and "pictures" in new:
        changes += differences(old["pictures"], new["pictures"], "readable pictures")
    if changes:
        raise WorkdirError(_data_changed(path, changes))


def check_pictures(path: Path, files: Mapping[str, bytes], records: Records) -> None:
    """Raises WorkdirError where the files of pictures have other bytes than the folder's run saw.

    `files` are those that the run would keep. What the auditor has not hashed is not known.
    """
    stored, new = path / hashes_file.NAME, files.get(hashes_file.NAME)
    if new is None or not stored.is_file() or not (path / "config.json").exists():
        return
    old = stored.read_bytes()
    before, after = hashes_file.digests(old), hashes_file.digests(new)
    if before is None or after is None or len(before) != len(after):
        return
    other = [x for x, a, b in zip(records.ids, before, after, strict=True) if a != b]
    if other:
        raise WorkdirError(_data_changed(path, [_some(other, "with other content")]))


def _data_changed(path: Path, changes: list[str]) -> str:
    return (
        f"workdir: the config is that of the run in {path}, but the data has changed since "
        f"({'; '.join(changes)}); give the data of before to go on, or another --workdir"
    )


def data_changes(path: Path, records: Records, parts: Parts) -> list[str]:
    """Says in what records and their split differ from those of a split.json."""
    try:
        before = split_file.by_id(path)
    except ValueError as error:
        return [f"pictures, labels or parts, and which is not known: {error}"]
    after = {"part": _values(records, parts, None)}
    for key, column in (("labels", records.labels), ("sigma", records.sigma)):
        if column is not None:
            after[key] = _values(records, parts, column)
    old, new = before["part"], after["part"]
    changes = [
        _some([name for name in old if name not in new], "missing"),
        _some([name for name in new if name not in old], "new"),
    ]
    names = {"part": "part", "labels": "label", "sigma": "sigma"}
    for key, noun in names.items():
        first, last = before.get(key), after.get(key)
        if first is not None and last is not None:
            other = [x for x in first if x in last and first[x] != last[x]]
            texts = [f"{x} ({first[x]} -> {last[x]})" for x in other]
            changes.append(_some(texts, f"with another {noun}"))
    rest = "labels or sigma, the pictures' order, or pictures outside of the parts"
    return [text for text in changes if text] or [rest]


def _values(records: Records, parts: Parts, column: np.ndarray | None) -> dict[str, object]:
    """Returns a column by picture as a split.json has it, or without one each picture's part."""
    rows_of = {part: getattr(parts, part) for part in split_file.PARTS}
    if column is None:
        return {records.ids[row]: part for part, rows in rows_of.items() for row in rows}
    values = split_file.plain(column)
    return {records.ids[row]: values[row] for rows in rows_of.values() for row in rows}


def _some(names: list[str], what: str) -> str:
    """Returns "3 pictures WHAT: a, b, c", or "" where there are none."""
    if not names:
        return ""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    noun = "picture" if len(names) == 1 else "pictures"
    return f"{len(names)} {noun} {what}: {', '.join(names[:_SHOWN])}{rest}"


def _space(space: object) -> str:
    if not isinstance(space, dict) or not space.get("values"):
        return repr(space)
    values = space["values"]
    return f"{values[0]:g} to {values[-1]:g} {space.get('unit', '')} ({len(values)} labels)"


def _config(description: Content) -> Content:
    return {key: value for key, value in description.items() if key != "resolved"}


def _key(difference: str) -> str:
    return difference.partition(":")[0]


def _below(key: str, listed: tuple[str, ...]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in listed)
