"""Splits records into pictures for training, validation and test."""

import dataclasses
import hashlib
import json

import numpy as np

from ldl_jax.data.records import DataError, FoldSplit, Records
from ldl_jax.data.splits import copies, cross
from ldl_jax.data.splits import draw as draw
from ldl_jax.data.splits.copies import DROP, GROUP, KEEP, Removed
from ldl_jax.data.splits.hashes import PerceptualHashes
from ldl_jax.data.splits.people import leaks as shared_people
from ldl_jax.data.splits.people import people, unknown
from ldl_jax.labels import LabelSpace

FOLDED = ("kfold", "subject_kfold", "official_folds", "leave_one_person_out")
# Protocols that draw pictures whoever they show, so people in two parts are expected.
BY_PICTURE = ("random", "stratified", "kfold")
# Protocols that draw the test part, so that copies can be drawn together.
DRAWN = (*BY_PICTURE, "subject", "subject_kfold")
# What each draws into test:
#   official: nothing; the dataset's own parts.
#   random: pictures, as most MORPH papers have it.
#   stratified: pictures, the same share of every range of labels.
#   subject: subjects; nobody is in two parts.
#   kfold, subject_kfold: one of 1 / test_fraction folds of pictures, or of subjects.
#   official_folds: nothing; one of the dataset's own folds, or of its ways to part them.
#   leave_one_person_out: nothing; one subject, the fold-th to appear.
#   cross_dataset: nothing; the second set of `cross.combine`.
PROTOCOLS = ("official", "random", "stratified", "subject", *FOLDED, "cross_dataset")


@dataclasses.dataclass(frozen=True)
class Parts:
    """A split: int64 indices into the records, rising, each picture in at most one part."""

    train: np.ndarray  # what the network learns from
    validation: np.ndarray  # what choices are made on; empty where none is held out
    test: np.ndarray  # what results are reported on
    notes: tuple[str, ...] = ()  # for readers of the results, as "LEAK: ..."
    protocol: str = ""
    seed: int = 0  # of the draw
    fold: int = 0  # which of the protocol's runs this is
    leaks: str = KEEP  # what was done about leaks, one of `copies.LEAKS`
    removed: tuple[Removed, ...] = ()  # with DROP the pictures that are in no part, and why

    @property
    def name(self) -> str:
        """The name of a result on this split: the protocol, with what was done about leaks."""
        if self.removed:
            return f"{self.protocol}, leaks removed from training"
        return self.protocol + (", copies kept together" if self.leaks == GROUP else "")


def split(
    records: Records,
    protocol: str,
    seed: int = 0,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.0,
    fold: int = 0,
    leaks: str = KEEP,
    hashes: PerceptualHashes | None = None,
) -> Parts:
    """Splits records by a protocol: the same arguments give the same parts.

    `PROTOCOLS` says what each draws into test.

    Args:
      records: N pictures.
      protocol: one of `PROTOCOLS`.
      seed: of the draw; the test part does not depend on validation_fraction, and the test parts
        of one seed's folds are disjoint.
      test_fraction: share of the pictures in test; about that by subject; not used where nothing
        is drawn. Of the two k-folds it must be 1 / k.
      validation_fraction: share of the pictures outside test to hold out, by subject where
        subjects are known. 0 takes the official validation rows or none.
      fold: which run, from 0, of the protocols that have several (see `fold_count`).
      leaks: what is done about pictures that are copies, as the auditor finds them: "keep"
        nothing; "drop_train" leaves out of training and validation what is also in test (people
        too, unless the protocol draws pictures whoever they show), and draws a validation part
        with copies and people together; "group" draws all parts with copies together.
      hashes: of the pictures, by `hashes.take`; needed unless leaks are kept.

    Raises:
      ValueError: an unknown protocol, a fraction out of range, a fold that is not there, leaks that
        are not known or not the protocol's, or hashes that are missing.
      DataError: the records lack what the protocol needs, or a part would be empty.
    """
    _check_arguments(protocol, test_fraction, validation_fraction)
    count = fold_count(records, protocol, test_fraction)
    if not 0 <= fold < count:
        raise ValueError(f"fold: must be in 0..{count - 1} for {protocol!r} here, got {fold}")
    if leaks != KEEP:
        _check_leaks(records, protocol, leaks, hashes)
    rng = np.random.default_rng(seed)
    by_person = protocol in ("subject", "subject_kfold")
    groups = people(records) if by_person else np.arange(len(records))
    if leaks == GROUP and hashes is not None:
        groups = copies.linked(records, hashes, by_person)
    train, validation, test = _parts(records, rng, protocol, test_fraction, fold, groups)
    notes = list(records.notes)
    removed: tuple[Removed, ...] = ()
    if leaks == DROP and hashes is not None:
        known = {"train": train, "validation": validation}
        removed = copies.also_in_test(records, hashes, known, test, protocol not in BY_PICTURE)
        out = [entry.row for entry in removed]
        train, validation = np.setdiff1d(train, out), np.setdiff1d(validation, out)
        notes += copies.note(removed)
    if validation_fraction > 0:
        if validation.size:
            notes.append(f"the {validation.size} official validation pictures are drawn anew")
        pool = np.sort(np.concatenate([train, validation]))
        if leaks == KEEP or hashes is None:
            together = people(records)
        else:
            together = copies.linked(records, hashes, by_person=True)
        held_out = draw.by_group(rng, together[pool], validation_fraction)
        train, validation = pool[~held_out], pool[held_out]
        _check_some(records, "validation", validation, validation_fraction)
    _check_some(records, "train", train, 1 - validation_fraction)
    _check_some(records, "test", test, test_fraction)
    notes += shared_people(records, train, validation, test)
    return Parts(train, validation, test, tuple(notes), protocol, seed, fold, leaks, removed)


def fold_count(records: Records, protocol: str, test_fraction: float = 0.2) -> int:
    """Counts the runs that a protocol has on these records; 1 for those without folds.

    Raises:
      ValueError: an unknown protocol, or a k-fold's test_fraction is not 1 / k.
      DataError: the records lack folds or subjects that the protocol needs.
    """
    _check_arguments(protocol, test_fraction, 0)
    if protocol not in FOLDED:
        return 1
    if protocol == "official_folds":
        return len(_fold_splits(records))
    if protocol == "leave_one_person_out":
        _check_subjects(records, protocol)
        return int(people(records).max()) + 1
    folds = round(1 / test_fraction)
    if folds < 2 or abs(folds * test_fraction - 1) > 1e-3:
        raise ValueError(
            f"test_fraction: {protocol!r} has 1 / test_fraction folds, so it must be 0.5, 0.2, "
            f"0.1 or the like, got {test_fraction}"
        )
    return folds


def fingerprint(records: Records, parts: Parts) -> str:
    """Returns the SHA-256 (hex) of ids, labels, sigma and parts: equal for equal data.

    Neither the root nor the pictures' contents enter it. An unknown sigma counts as NaN.
    """
    size = len(records)
    sigma = np.full(size, np.nan) if records.sigma is None else np.asarray(records.sigma)
    # A NaN has many bit patterns; one of them stands for all.
    sigma = np.where(np.isnan(sigma), np.float32(np.nan), sigma)
    digest = hashlib.sha256(json.dumps(list(records.ids)).encode())
    for values in (np.asarray(records.labels), sigma):
        digest.update(values.astype("<f4").tobytes())
    for indices in (parts.train, parts.validation, parts.test):
        digest.update(f"{len(indices)}:".encode() + indices.astype("<i8").tobytes())
    return digest.hexdigest()


def check_labels(records: Records, space: LabelSpace, rows: np.ndarray) -> None:
    """Raises DataError if a label of these rows is not finite or lies outside the space.

    The message names the first one's file and row, its value, the range, and how many there are.
    """
    rows = np.asarray(rows)
    bad = rows[~space.contains(np.asarray(records.labels)[rows])]
    if bad.size:
        first = int(bad[0])
        raise DataError(
            f"{records.sources[first]}: label {records.labels[first]:g} lies outside the label "
            f"space {space.low:g}..{space.high:g} {space.unit}; {bad.size} of {rows.size} labels do"
        )


def _check_arguments(protocol: str, test_fraction: float, validation_fraction: float) -> None:
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction: must be between 0 and 1, got {test_fraction}")
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"validation_fraction: must be in [0, 1), got {validation_fraction}")


def _check_subjects(records: Records, protocol: str) -> None:
    nobody = unknown(records)
    if nobody.size:
        raise DataError(
            f"{records.name}: protocol {protocol!r} needs every picture's subject; unknown for "
            f"{nobody.size} of {len(records)} (the first: {records.sources[nobody[0]]}); "
            f"use {_alternatives(records, protocol)}"
        )


def _check_some(records: Records, part: str, rows: np.ndarray, fraction: float) -> None:
    if rows.size == 0:
        raise DataError(
            f"{records.name}: the {part} part is empty; {len(records)} pictures of "
            f"{len(np.unique(people(records)))} subjects are too few for a share of {fraction:g}"
        )


def _check_leaks(
    records: Records, protocol: str, leaks: str, hashes: PerceptualHashes | None
) -> None:
    if leaks not in copies.LEAKS:
        raise ValueError(f"leaks: expected one of {', '.join(copies.LEAKS)}, got {leaks!r}")
    if leaks == GROUP and protocol not in DRAWN:
        raise ValueError(
            f"leaks: {GROUP!r} draws copies together, and {protocol!r} draws nothing into test; "
            f"take {DROP!r}, or one of {', '.join(DRAWN)}"
        )
    if hashes is None or len(hashes.files) != len(records):
        count = "none" if hashes is None else f"those of {len(hashes.files)}"
        raise ValueError(f"hashes: expected those of {len(records)} pictures, got {count}")


def _parts(
    records: Records,
    rng: np.random.Generator,
    protocol: str,
    test_fraction: float,
    fold: int,
    groups: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if protocol == "cross_dataset" and not cross.is_combined(records):
        raise DataError(
            f"{records.name}: is one dataset; protocol 'cross_dataset' needs two, combined; "
            f"use {_alternatives(records, protocol)}"
        )
    if protocol in ("official", "cross_dataset"):
        return _official(records, protocol)
    rows = np.arange(len(records))
    if protocol == "official_folds":
        parts, folds = _fold_splits(records)[fold], np.asarray(records.folds)
        train, validation, test = (np.flatnonzero(np.isin(folds, part)) for part in parts)
        return train, validation, test
    if protocol in ("subject", "subject_kfold"):
        _check_subjects(records, protocol)
    if protocol == "leave_one_person_out":
        test = people(records) == fold
    elif protocol == "stratified":
        test = draw.stratified(rng, np.asarray(records.labels), test_fraction, groups)
    elif protocol in ("kfold", "subject_kfold"):
        test = draw.fold_of_each(rng, groups, fold_count(records, protocol, test_fraction)) == fold
    else:
        test = draw.by_group(rng, groups, test_fraction)
    return rows[~test], rows[:0], rows[test]


def _official(records: Records, protocol: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    names = np.asarray(records.split or [""] * len(records))
    counts = {part: int(np.sum(names == part)) for part in ("train", "validation", "test", "")}
    if counts[""] == len(records):
        problem = "there is no official split"
    elif counts[""]:
        first = records.sources[int(np.flatnonzero(names == "")[0])]
        problem = f"{counts['']} of {len(records)} pictures are in no part (the first: {first})"
    elif not counts["train"] or not counts["test"]:
        problem = (
            f"the official split lists {counts['train']} train, {counts['validation']} validation "
            f"and {counts['test']} test pictures"
        )
    else:
        train, validation = np.flatnonzero(names == "train"), np.flatnonzero(names == "validation")
        return train, validation, np.flatnonzero(names == "test")
    raise DataError(f"{records.name}: {problem}; use {_alternatives(records, protocol)}")


def _fold_splits(records: Records) -> tuple[FoldSplit, ...]:
    """Returns the official ways to part the folds: the records' own, or each fold in turn."""
    if records.folds is None or (records.fold_splits == () and (records.folds < 0).any()):
        problem = "there are no official folds"
        if records.folds is not None:
            first = records.sources[int(np.argmin(records.folds))]
            problem = f"{int((records.folds < 0).sum())} pictures are in no fold (as {first})"
        alternatives = _alternatives(records, "official_folds")
        raise DataError(f"{records.name}: {problem}; use {alternatives}")
    if records.fold_splits:
        return records.fold_splits
    folds = set(np.unique(records.folds).tolist())
    return tuple(FoldSplit(tuple(sorted(folds - {fold})), (), (fold,)) for fold in sorted(folds))


def _alternatives(records: Records, but: str) -> str:
    possible = ["random"]
    if not unknown(records).size:
        possible.append("subject")
    if "test" in records.split and "train" in records.split and "" not in records.split:
        possible.append("official")
    return "protocol " + " or ".join(repr(name) for name in possible if name != but)
